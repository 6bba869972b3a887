"""How far a mutation steps."""

from __future__ import annotations

import math
from collections.abc import Callable

from germline.algorithms.draws import Dice, normal
from germline.algorithms.ga_settings import GaSettings
from germline.genome import Genome, float32

PowerRule = Callable[[int, Genome, Dice], float]  # (ticket, parent, dice) -> a float32 value

_SCHEDULE_STEPS = 64  # few distinct powers keep genomes short: equal powers are written once a run


def power_rule(settings: GaSettings) -> PowerRule:
    """The function that gives a child its power."""
    if settings.power_rule == "constant":
        power = float32(settings.power)
        return lambda _ticket, _parent, _dice: power
    if settings.power_rule == "self-adapted":
        return _self_adapted(settings)
    powers = [float32(_scheduled(settings, step / _SCHEDULE_STEPS)) for step in range(_SCHEDULE_STEPS + 1)]
    asks = settings.power_evaluations
    return lambda ticket, _parent, _dice: powers[min(ticket, asks) * _SCHEDULE_STEPS // asks]


def _scheduled(settings: GaSettings, progress: float) -> float:
    if settings.power_rule == "linear":
        return settings.power + (settings.power_end - settings.power) * progress
    return float(settings.power * (settings.power_end / settings.power) ** progress)


def _self_adapted(settings: GaSettings) -> PowerRule:
    """Log-normal self-adaptation (Schwefel 1981): the power is mutated first, then used."""

    def rule(_ticket: int, parent: Genome, dice: Dice) -> float:
        inherited = parent.mutations[-1].power if parent.mutations else settings.power
        stepped = inherited * math.exp(settings.power_adaptation * normal(dice.power))
        return float32(min(max(stepped, settings.power_min), settings.power_max))

    return rule
