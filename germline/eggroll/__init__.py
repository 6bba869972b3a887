"""EGGROLL (arXiv 2511.16652): an evolution strategy from seeds, exact everywhere. See docs/eggroll.md."""

from germline.eggroll.ascent import Adam, Moments, Sgd
from germline.eggroll.eggroll_optimiser import EggrollOptimiser
from germline.eggroll.eggroll_trainer import EggrollTrainer
from germline.eggroll.evolution import Evolution, Told
from germline.eggroll.exact import materialise
from germline.eggroll.forward import LowRankForward
from germline.eggroll.forward_choice import try_out
from germline.eggroll.materialised import MaterialisedForward
from germline.eggroll.schedules import Decay, Ramp
from germline.eggroll.settings import Settings
from germline.eggroll.slots import UntraceableError
from germline.eggroll.space import Space
from germline.eggroll.trainer import EpochReport, StopTraining, Trainer
from germline.eggroll.vector_trainer import GaussianTrainer, VectorTrainer
from germline.low_rank import Drawn
from germline.pairs import Member, NoiseKey

__all__ = [
    "Adam",
    "Decay",
    "Drawn",
    "EggrollOptimiser",
    "EggrollTrainer",
    "EpochReport",
    "Evolution",
    "GaussianTrainer",
    "LowRankForward",
    "MaterialisedForward",
    "Member",
    "Moments",
    "NoiseKey",
    "Ramp",
    "Settings",
    "Sgd",
    "Space",
    "StopTraining",
    "Told",
    "Trainer",
    "UntraceableError",
    "VectorTrainer",
    "materialise",
    "try_out",
]
