"""EGGROLL (arXiv 2511.16652): an evolution strategy from seeds, exact everywhere. See docs/eggroll.md."""

from germline.eggroll.evolution import Evolution, Settings, Told
from germline.eggroll.factors import Drawn, materialise
from germline.eggroll.forward import LowRankForward
from germline.eggroll.materialised import MaterialisedForward
from germline.eggroll.optimiser import EggrollOptimiser
from germline.eggroll.optimisers import Adam, Moments, Sgd
from germline.eggroll.schedules import Decay, Ramp
from germline.eggroll.slots import UntraceableError
from germline.eggroll.space import Space
from germline.pairs import Member, NoiseKey

__all__ = [
    "Adam",
    "Decay",
    "Drawn",
    "EggrollOptimiser",
    "Evolution",
    "LowRankForward",
    "MaterialisedForward",
    "Member",
    "Moments",
    "NoiseKey",
    "Ramp",
    "Settings",
    "Sgd",
    "Space",
    "Told",
    "UntraceableError",
    "materialise",
]
