"""Networks that are served as models: how they are found and called, by the protocol of model-runner-client.

`Models`, and `AsyncModels` for programs with an event loop, call them; they need the extra `models`. Values,
announcements and paths stand here for both sides; :mod:`worker.serving` serves.
"""

from germline.models.answers import Answer, Given, Model, Status
from germline.models.blocking import Models
from germline.models.tracking import AsyncModels, ModelsError
from germline.models.variants import VariantError

__all__ = ["Answer", "AsyncModels", "Given", "Model", "Models", "ModelsError", "Status", "VariantError"]
