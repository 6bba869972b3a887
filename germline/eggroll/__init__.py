"""EGGROLL (arXiv 2511.16652): an evolution strategy from seeds, exact on every machine. See docs/eggroll.md."""

from germline.eggroll.factors import Drawn, materialise
from germline.eggroll.forward import LowRankForward
from germline.eggroll.slots import UntraceableError
from germline.eggroll.space import Space
from germline.pairs import Member, NoiseKey

__all__ = ["Drawn", "LowRankForward", "Member", "NoiseKey", "Space", "UntraceableError", "materialise"]
