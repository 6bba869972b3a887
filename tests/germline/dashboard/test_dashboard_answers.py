"""What browsers are told: numbers that JSON can hold, bounded curves, and an honest time to go."""

import dataclasses
import math
from datetime import UTC, datetime

import pytest

from germline.client import Experiment
from germline.dashboard import answers
from germline.dashboard.settings_table import settings_table
from germline.spec import loads

SPEC = """
name = "one"
[task.gym]
id = "CartPole-v1"
[policy]
name = "mlp"
[algorithm.ga]
window = 50
"""


def experiment(stop: str = "", **changes: object) -> Experiment:
    spec = loads(SPEC + stop)
    made = Experiment(
        number=1, name="one", spec=spec, state="running", created=datetime(2026, 11, 1, tzinfo=UTC),
        evaluations=200, episodes=200, frames=4_000, steps=4_000, running_s=10.0, frames_per_second=400.0,
        evaluations_per_second=20.0, fitness_quantiles=(), best_fitness=None, champion=None, population=0,
        lineage_depth=0, leased=0, workers=1, leases_lost=0, epochs=0, centre_digest="",
    )  # fmt: skip
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stop", "share", "left_s"),
    [
        ("", None, None),
        ("[stop]\nevaluations = 400", 0.5, 10.0),
        ("[stop]\nevaluations = 400\nframes = 5000", 0.8, 2.5),
        ("[stop]\nseconds = 100", 0.1, 90.0),
        ("[stop]\nfitness = 1", None, None),
    ],
)
def test_the_way_is_as_long_as_the_nearest_end(stop: str, share: float | None, left_s: float | None) -> None:
    assert answers.time_to_go(experiment(stop)) == (share, left_s)


def test_who_stands_still_has_no_time_to_go() -> None:
    stop = "[stop]\nevaluations = 400"
    assert answers.time_to_go(experiment(stop, evaluations_per_second=0.0)) == (0.5, None)
    assert answers.time_to_go(experiment(stop, state="paused")) == (0.5, None)


def test_what_is_no_number_is_null() -> None:
    assert answers.finite({"a": [math.nan, math.inf, 1.0], "b": "nan"}) == {
        "a": [None, None, 1.0],
        "b": "nan",
    }


def test_settings_say_what_somebody_chose() -> None:
    rows = {str(row["path"]): row for row in settings_table(loads(SPEC)) if isinstance(row, dict)}
    assert (rows["algorithm.ga.window"]["value"], rows["algorithm.ga.window"]["default"]) == ("50", "1000")
    assert rows["algorithm.ga.window"]["differs"] is True
    assert rows["algorithm.ga.parents"]["differs"] is False
    assert rows["task.gym.id"]["differs"] is True
    assert all(row["text"] for row in rows.values())
