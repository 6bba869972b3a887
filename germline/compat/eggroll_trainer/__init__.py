"""The interface of eggroll-trainer 0.1.0 over germline's engine; what is different says docs/migrating.md."""

from germline.compat.eggroll_trainer.base import ESTrainer
from germline.compat.eggroll_trainer.eggroll import EGGROLLTrainer
from germline.compat.eggroll_trainer.vanilla import VanillaESTrainer

__all__ = ["EGGROLLTrainer", "ESTrainer", "VanillaESTrainer"]
__version__ = "0.1.0"
