"""Centres that take turns on workers: all hold the same bits, whoever played what and whoever came late."""

from collections.abc import Hashable
from dataclasses import replace

import torch

from germline.behaviour import unpack
from germline.pairs import Slice
from tests.worker.centres.test_epoch_engine import CENTRE
from worker.centres.epoch_engine import EpochEngine
from worker.centres.first_centre import build_evolving
from worker.playing.engine import Evaluation
from worker.playing.playable import EngineSettings

TURNS = [1, 2, 0, 0, 2, 1]


def stroll(weights: "torch.Tensor", seed: int) -> tuple[float, list[float]]:
    """A return, and where it went."""
    return float(weights.sum()), [float(weights[0]), float(weights[1])]


def engine() -> EpochEngine[Hashable]:
    path = "tests.worker.centres.test_centres_in_turn:stroll"
    arguments = {"path": path, "dimension": 4, "behaviour": {"low": [-4.0] * 2, "high": [4.0] * 2}}
    settings = EngineSettings("function", "vector", arguments, dimensions=2, bounds=((-4.0, 4.0),) * 2)
    centre = replace(CENTRE, shaping="weighted_ranks", centres=3, measured_every=1)
    return build_evolving(settings, centre, device=torch.device("cpu"))


def places(playing: EpochEngine[Hashable]) -> list[int]:
    """What the open epoch's centre does."""
    playing.submit(Evaluation("centre", Slice(playing.epoch, 0, 0), (1,)))
    played = []
    while playing.busy():
        played += playing.tick()
    (centre,) = played
    return [int(number) for number in unpack(centre.behaviour)]


def test_each_first_centre_is_another_network() -> None:
    playing, seen = engine(), []
    for turn in (1, 2, 0):
        seen.append(tuple(places(playing)))
        playing.update(playing.epoch, [0.0] * 8, turn)  # moves nothing
    assert len(set(seen)) == 3
    assert tuple(places(playing)) == seen[0]


def test_workers_that_were_told_the_same_hold_the_same_and_so_does_a_late_one() -> None:
    first, second, late = engine(), engine(), engine()
    states = []
    for epoch, turn in enumerate(TURNS):
        utilities = [float((7 * epoch + 3 * member) % 16) for member in range(8)]
        for each in (first, second):
            assert each.update(epoch, utilities, turn)
        assert first.digest() == second.digest()
        states.append(first.state(epoch + 1))
    stored = states[2]
    assert stored is not None
    assert late.load(stored.data)
    for epoch, turn in list(enumerate(TURNS))[3:]:
        utilities = [float((7 * epoch + 3 * member) % 16) for member in range(8)]
        assert late.update(epoch, utilities, turn)
    assert late.digest() == first.digest()
    assert places(late) == places(first)
