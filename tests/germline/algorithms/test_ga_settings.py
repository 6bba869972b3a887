"""Settings that make no sense are refused by the field's name, with what is allowed."""

from __future__ import annotations

import math

import pytest

from germline.algorithms.base import Result
from germline.algorithms.ga import GeneticAlgorithm
from germline.algorithms.ga_settings import GaSettings


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"window": 0}, "window is 0; allowed: a whole number in 1.."),
        ({"window": 2.5}, "window is 2.5"),
        ({"window": True}, "window is True"),
        ({"parents": -1}, "parents is -1"),
        ({"window": 10, "parents": 11}, r"parents is 11; allowed: a whole number in 0\.\.10"),
        ({"founders": 0}, "founders is 0"),
        ({"selection": "roulette"}, "selection is 'roulette'; allowed: one of truncation, tournament"),
        ({"replacement": "random"}, "replacement is 'random'; allowed: one of oldest, worst"),
        ({"tournament_size": 0}, "tournament_size is 0"),
        ({"power": 0.0}, "power is 0.0"),
        ({"power": -1.0}, "power is -1.0"),
        ({"power": math.nan}, "power is nan"),
        ({"power": math.inf}, "power is inf"),
        ({"power": 1e-60}, "power is 1e-60"),
        ({"power": 1e4}, "power is 10000.0"),
        ({"power_schedule": "cosine"}, "power_schedule is 'cosine'"),
        ({"power_schedule": "linear"}, "final_power is missing"),
        ({"power_schedule": "linear", "final_power": 1e-3}, "power_evaluations is missing"),
        ({"power_schedule": "exponential", "final_power": 0.0, "power_evaluations": 5}, "final_power is 0.0"),
        ({"power_schedule": "linear", "final_power": 1e-3, "power_evaluations": 0}, "power_evaluations is 0"),
        (
            {"power_schedule": "self_adapted", "final_power": 0.5},
            "final_power is 0.5; allowed: at most 0.002",
        ),
        ({"power_learning_rate": math.nan}, "power_learning_rate is nan"),
        ({"rank": 256}, r"rank is 256; allowed: a whole number in 0\.\.255"),
        ({"litter": 0}, "litter is 0"),
        ({"episodes": 0}, "episodes is 0"),
        ({"candidates": -1}, "candidates is -1"),
        ({"validation_episodes": 0}, "validation_episodes is 0"),
        ({"validation_share": 1.0}, "validation_share is 1.0"),
        ({"validation_share": -0.1}, "validation_share is -0.1"),
        ({"validation_share": math.nan}, "validation_share is nan"),
    ],
)
def test_senseless_settings_are_refused_by_name(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        GaSettings(**settings)  # type: ignore[arg-type]


LIMITS: list[dict[str, object]] = [
    {"window": 10_000_000, "founders": 1},
    {"window": 1, "parents": 1},
    {"window": 5, "parents": 5, "founders": 1},
    {"tournament_size": 1},
    {"rank": 255},
    {"candidates": 0},
    {"candidates": 1, "starts": (1, 2)},
    {"validation_share": 0.0},
    {"power": 1e3},
    {"power_schedule": "self_adapted", "final_power": 0.002},
    {"power_schedule": "linear", "final_power": 1e3, "power_evaluations": 1},
    {"power_schedule": "exponential", "final_power": 0.5, "power_evaluations": 10**15},
]


@pytest.mark.parametrize("settings", LIMITS, ids=str)
def test_settings_at_their_limits_are_allowed(settings: dict[str, object]) -> None:
    allowed = GaSettings(**settings)  # type: ignore[arg-type]
    assert {field: getattr(allowed, field) for field in settings} == settings


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        *(
            ({field: 10_000_001}, rf"^{field} is 10000001; allowed: a whole number in 1\.\.10000000$")
            for field in (
                "window",
                "tournament_size",
                "founders",
                "litter",
                "episodes",
                "validation_episodes",
            )
        ),
        ({"candidates": 10_000_001}, r"^candidates is 10000001; allowed: a whole number in 0\.\.10000000$"),
        (
            {"starts": (1, 2, 1)},
            r"^starts is \(1, 2, 1\); allowed: episode seeds that differ from each other$",
        ),
        ({"starts": (1, 2), "candidates": 0}, r"^candidates is 0; allowed: a whole number in 1\.\."),
        ({"founders": 2.0}, r"^founders is 2.0; allowed: a whole number"),
        ({"power": 1_001.0}, r"^power is 1001.0; allowed: a number above 0 and at most 1000$"),
        ({"validation_share": 1.0}, r"^validation_share is 1.0; allowed: a number from 0 to below 1$"),
        (
            {"power_schedule": "linear", "final_power": 1.0, "power_evaluations": 10**15 + 1},
            r"^power_evaluations is 1000000000000001; allowed: a whole number in 1\.\.1000000000000000$",
        ),
        (
            {"power_schedule": "cosine"},
            "^power_schedule is 'cosine'; allowed: one of constant, linear, exponential, self_adapted$",
        ),
        ({"power_schedule": "linear"}, "^final_power is missing; power_schedule 'linear' needs it$"),
        (
            {"power_schedule": "exponential", "final_power": 1.0},
            "^power_evaluations is missing; power_schedule 'exponential' needs it$",
        ),
    ],
)
def test_settings_beyond_their_limits_are_refused_with_what_is_allowed(
    settings: dict[str, object], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        GaSettings(**settings)  # type: ignore[arg-type]


def test_the_defaults_are_those_of_uber() -> None:
    settings = GaSettings()
    assert settings == GaSettings(
        window=1_000,
        parents=20,
        selection="truncation",
        tournament_size=5,
        replacement="oldest",
        power=0.002,
        power_schedule="constant",
        power_learning_rate=0.2,
        rank=0,
        litter=1,
        episodes=1,
        candidates=10,
        validation_episodes=30,
        validation_share=0.2,
    )
    assert settings.founder_count == 1_000


def test_a_single_candidate_is_enough_to_validate() -> None:
    assert [GaSettings(candidates=count).validates for count in (0, 1)] == [False, True]


def test_the_smallest_search_is_allowed() -> None:
    search = GeneticAlgorithm(GaSettings(window=1, parents=0, candidates=0, tournament_size=1), seed=4)
    for score in (2.0, 1.0):
        (ask,) = search.ask(1)
        assert not ask.genome.mutations, "without parents every individual is a founder"
        search.tell(Result(ask.ticket, (score,) * len(ask.episode_seeds), 4, 1))
    assert search.evaluations == 2
