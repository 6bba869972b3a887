"""How far a mutation steps: schedules go exactly where they were told, self-adapted powers stay in bounds."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import cast

import pytest

from germline.algorithms.draws import Dice, normal
from germline.algorithms.ga_settings import LARGEST_POWER, GaSettings, PowerSchedule
from germline.algorithms.power import power_rule
from germline.genome import Genome, Mutation, float32

FOUNDER = Genome.founder(1)
DICE = Dice(1, 1)


def scheduled(schedule: PowerSchedule, ticket: int, asks: int = 640) -> float:
    settings = GaSettings(power=2.0, power_schedule=schedule, final_power=0.5, power_evaluations=asks)
    return power_rule(settings)(ticket, FOUNDER, DICE)


@pytest.mark.parametrize(("schedule", "halfway"), [("linear", 1.25), ("exponential", 1.0)])
def test_a_schedule_is_at_its_start_its_middle_and_its_end_on_time(
    schedule: PowerSchedule, halfway: float
) -> None:
    tickets = (0, 9, 320, 639, 640, 10**9)
    powers = [scheduled(schedule, ticket) for ticket in tickets]
    assert powers == [2.0, 2.0, pytest.approx(halfway), scheduled(schedule, 630), 0.5, 0.5]


@pytest.mark.parametrize("schedule", ["linear", "exponential"])
def test_a_schedule_has_64_steps_of_equal_length(schedule: PowerSchedule) -> None:
    powers = [scheduled(schedule, ticket) for ticket in range(700)]
    changes = [ticket for ticket in range(1, 700) if powers[ticket] != powers[ticket - 1]]
    assert changes == list(range(10, 641, 10))


def test_a_schedule_of_one_ask_is_over_after_it() -> None:
    assert [scheduled("linear", ticket, asks=1) for ticket in range(3)] == [2.0, 0.5, 0.5]


def test_a_constant_power_is_the_one_that_was_set_as_float32() -> None:
    rule = power_rule(GaSettings(power=0.1))
    assert [rule(ticket, FOUNDER, DICE) for ticket in (0, 10**9)] == [float32(0.1)] * 2


def dice_with(word: int) -> Dice:
    """Dice of which only the word that moves a power matters."""
    return cast(Dice, SimpleNamespace(power=word))


def self_adapted(parent: Genome, word: int, final_power: float = 1e-3, rate: float = 0.5) -> float:
    settings = GaSettings(
        power=0.125, power_schedule="self_adapted", final_power=final_power, power_learning_rate=rate
    )
    return power_rule(settings)(0, parent, dice_with(word))


def test_a_self_adapted_power_is_its_parents_times_a_log_normal_factor() -> None:
    word = 3 * 2**62
    factor = math.exp(0.5 * normal(word))
    assert self_adapted(FOUNDER, word) == float32(0.125 * factor)
    assert self_adapted(FOUNDER.child(Mutation(5, 0.25)), word) == float32(0.25 * factor)


def test_a_self_adapted_power_stays_between_the_least_and_the_largest() -> None:
    high, low = FOUNDER.child(Mutation(5, LARGEST_POWER)), FOUNDER.child(Mutation(5, float32(1e-3)))
    assert self_adapted(high, 2**64 - 1) == LARGEST_POWER
    assert self_adapted(low, 0) == float32(1e-3)
