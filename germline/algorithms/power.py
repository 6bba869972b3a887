"""How far a mutation steps."""

from __future__ import annotations

import math
from collections.abc import Callable

from germline.algorithms.draws import Dice, normal
from germline.algorithms.ga_settings import LARGEST_POWER, GaSettings
from germline.genome import Genome, float32
from germline.normalisation import is_mark

PowerRule = Callable[[int, Genome, Dice], float]  # (ticket, parent, dice) -> a float32 value

_SCHEDULE_STEPS = 64  # few distinct powers keep genomes short: equal powers are written once a run


def power_rule(settings: GaSettings) -> PowerRule:
    """The function that gives a child its power."""
    if settings.power_schedule == "constant":
        power = float32(settings.power)
        return lambda _ticket, _parent, _dice: power
    if settings.power_schedule == "self_adapted":
        return _self_adapted(settings)
    steps = range(_SCHEDULE_STEPS + 1)
    powers = [float32(_scheduled(settings, step / _SCHEDULE_STEPS)) for step in steps]
    asks = settings.power_evaluations or 1
    return lambda ticket, _parent, _dice: powers[min(ticket, asks) * _SCHEDULE_STEPS // asks]


def _scheduled(settings: GaSettings, progress: float) -> float:
    first, last = settings.power, settings.final_power or settings.power
    if settings.power_schedule == "linear":
        return first + (last - first) * progress
    return math.exp(math.log(first) + math.log(last / first) * progress)


def _self_adapted(settings: GaSettings) -> PowerRule:
    """Log-normal self-adaptation (Schwefel 1981): the power is mutated first, then used."""
    first, rate = float32(settings.power), settings.power_learning_rate
    least = float32(settings.final_power or settings.power)

    def rule(_ticket: int, parent: Genome, dice: Dice) -> float:
        inherited = _last_power(parent) or first
        stepped = inherited * math.exp(rate * normal(dice.power))
        return max(float32(min(stepped, LARGEST_POWER)), least)

    return rule


def _last_power(genome: Genome) -> float | None:
    """The power of the last mutation that changed weights; None for a founder's."""
    each: Genome | None = genome
    while each is not None and is_mark(each.last):
        each = each.parent()
    return each.last.power if each is not None and each.last is not None else None
