"""Slots and lanes of a rollout, one step at a time, in a game that is only counted."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from germline.genome import Genome, Mutation
from worker.networks.forward.base import ActiveRows
from worker.networks.population import Individual, expect_genome
from worker.playing.engine import Evaluation, Played
from worker.playing.rollout import Rollout
from worker.tasks.base import Actions, LaneIndices, Observations, SetupError, Stepped

PARENT = Genome.founder(5)
CHILD = PARENT.child(Mutation(1, 0.5))


@dataclass
class Counting:
    """Lanes of a game that lasts as many steps as its seed says, and pays one point and takes four frames."""

    count: int
    begun: list[tuple[int, int]] = field(default_factory=list)
    sent: list[list[int]] = field(default_factory=list)
    closed: bool = False

    def __post_init__(self) -> None:
        self.observations: Observations = np.zeros((self.count, 1), np.float32)

    def begin(self, lanes: LaneIndices, seeds: list[int]) -> None:
        self.begun += zip(lanes.tolist(), seeds, strict=True)
        self.observations[lanes, 0] = seeds

    def send(self, lanes: LaneIndices, actions: Actions) -> None:
        assert len(actions) == len(lanes)
        self.sent.append(lanes.tolist())

    def receive(self) -> Stepped:
        lanes = np.array(self.sent[-1])
        self.observations[lanes, 0] -= 1
        ones = np.ones(len(lanes))
        return Stepped(ones, self.observations[lanes, 0] <= 0, 4 * ones.astype(np.int64))

    def close(self) -> None:
        self.closed = True


@dataclass
class Filled:
    """A population that remembers what its slots were filled with and what it was asked."""

    slots: int
    rows: int
    fills: list[tuple[int, Individual, Genome | None]] = field(default_factory=list)
    asked: list[tuple[tuple[int, ...], list[list[bool]]]] = field(default_factory=list)
    begun: list[tuple[int, int]] = field(default_factory=list)

    def fill(self, slot: int, genome: Individual, parent: Genome | None = None) -> None:
        self.fills.append((slot, expect_genome(genome), parent))

    def begin(self, slot: int, row: int) -> None:
        self.begun.append((slot, row))

    def act(self, observations: Observations, active: ActiveRows) -> Actions:
        self.asked.append((observations.shape, active.tolist()))
        return np.zeros((self.slots, self.rows), np.int64)


@dataclass
class House:
    """A rollout with its lanes and populations in sight, the last ones last."""

    engine: Rollout[str]
    lanes: list[Counting]
    populations: list[Filled]

    def submit(self, key: str, *seeds: int) -> None:
        self.engine.submit(Evaluation(key, PARENT, seeds))

    def finish(self) -> list[Played[str]]:
        played: list[Played[str]] = []
        while self.engine.busy():
            played += self.engine.tick()
        return played


def house(slots: int, rows: int = 1, room: int = 1_000) -> House:
    lanes: list[Counting] = []
    populations: list[Filled] = []

    def make_lanes(count: int) -> Counting:
        lanes.append(Counting(count))
        return lanes[-1]

    def make_population(count: int) -> Filled:
        if count > room:
            raise torch.OutOfMemoryError("no room")
        populations.append(Filled(count, rows))
        return populations[-1]

    return House(Rollout(make_lanes, make_population, slots), lanes, populations)


def test_each_row_of_each_slot_has_a_lane_of_its_own() -> None:
    home = house(slots=2, rows=3)
    assert home.lanes[0].count == 6
    home.submit("a", 9, 9)
    home.submit("b", 9, 9, 9)
    home.engine.tick()
    assert home.lanes[0].begun == [(0, 9), (1, 9), (3, 9), (4, 9), (5, 9)]
    assert home.lanes[0].sent == [[0, 1, 3, 4, 5]]
    assert home.populations[0].begun == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]
    assert home.populations[0].asked == [((2, 3, 1), [[True, True, False], [True, True, True]])]


def test_a_child_is_written_from_its_parent() -> None:
    home = house(slots=2)
    home.engine.submit(Evaluation("child", CHILD, (1,), PARENT))
    home.engine.submit(Evaluation("founder", PARENT, (1,)))
    home.engine.tick()
    assert home.populations[0].fills == [(0, CHILD, PARENT), (1, PARENT, None)]


def test_a_step_begins_in_one_tick_and_is_collected_in_the_next() -> None:
    home = house(slots=1)
    assert home.engine.tick() == []
    assert home.lanes[0].sent == []
    home.submit("a", 2)
    assert home.engine.tick() == []
    assert home.engine.frames == 0
    assert home.engine.tick() == []
    assert home.engine.frames == 4
    (played,) = home.engine.tick()
    assert played[:4] == ("a", (2.0,), 8, 2)
    assert (home.engine.frames, home.engine.busy()) == (8, False)


def test_an_evaluation_took_as_long_as_it_was_played() -> None:
    began = time.perf_counter()
    home = house(slots=1)
    home.submit("a", 50)
    (played,) = home.finish()
    assert 0 < played.play_s < time.perf_counter() - began


def test_an_evaluation_comes_back_once_when_its_last_episode_has_ended() -> None:
    home = house(slots=1, rows=2)
    home.submit("a", 1, 2, 3)
    (played,) = home.finish()
    assert played[:4] == ("a", (1.0, 2.0, 3.0), 24, 6)


def test_there_is_no_room_beyond_the_slots_however_much_waits() -> None:
    home = house(slots=2)
    for key in "abcde":
        home.submit(key, 9)
    assert (home.engine.slots, home.engine.room()) == (2, 0)
    home.engine.tick()
    assert home.engine.room() == 0
    home.engine.cancel({"c", "d", "e"})
    assert home.engine.room() == 0
    home.engine.cancel({"a"})
    assert home.engine.room() == 1


def test_what_is_cancelled_while_it_is_stepping_is_not_stepped_again() -> None:
    home = house(slots=3)
    for key in "abc":
        home.submit(key, 3)
    home.engine.tick()
    home.engine.cancel({"a"})
    assert [(played.key, played.steps) for played in home.finish()] == [("b", 3), ("c", 3)]
    assert home.lanes[0].sent == [[0, 1, 2], [1, 2], [1, 2]]
    assert home.engine.frames == 4 * 7


def test_what_is_dropped_is_not_stepped_again() -> None:
    home = house(slots=2)
    home.submit("a", 3)
    home.submit("b", 3)
    home.engine.tick()
    home.engine.drop()
    assert home.engine.tick() == []
    assert home.lanes[0].sent == [[0, 1]]


def test_a_slot_that_waits_is_filled_before_the_next_step() -> None:
    home = house(slots=2)
    home.submit("a", 1)
    home.submit("b", 3)
    home.submit("c", 2)
    assert [played.key for played in home.finish()] == ["a", "c", "b"]
    assert home.lanes[0].sent == [[0, 1], [0, 1], [0, 1]]
    assert home.lanes[0].begun == [(0, 1), (1, 3), (0, 2)]


def test_what_a_task_answers_for_fewer_lanes_than_were_stepped_is_played_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = house(slots=2)
    home.submit("a", 3)
    home.submit("b", 3)
    home.engine.tick()
    one = np.ones(1)
    monkeypatch.setattr(home.lanes[0], "receive", lambda: Stepped(one, one > 1, one.astype(np.int64)))
    assert [played[:3] for played in home.finish()] == [("a", (3.0,), 12), ("b", (3.0,), 12)]
    assert len(home.lanes) == 2


def test_closing_frees_the_lanes() -> None:
    home = house(slots=1)
    home.engine.close()
    assert home.lanes[0].closed


def test_lanes_are_made_for_the_slots_that_the_memory_holds() -> None:
    home = house(slots=12, rows=2, room=5)
    assert (home.engine.slots, home.lanes[0].count) == (3, 6)


def test_after_memory_ran_out_what_was_played_starts_over_before_what_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = house(slots=5)
    for key in "abcdefg":
        home.submit(key, 2)
    home.engine.tick()

    def full(observations: Observations, active: ActiveRows) -> Actions:
        raise torch.OutOfMemoryError("somebody else took it")

    monkeypatch.setattr(home.populations[0], "act", full)
    home.engine.tick()
    assert (home.engine.slots, len(home.populations), len(home.lanes)) == (2, 2, 1)
    played = home.finish()
    assert [each.key for each in played] == list("abcdefg")
    assert all(each[1:4] == ((2.0,), 8, 2) for each in played)
    assert home.populations[1].asked[0][0] == (2, 1, 1)


def test_an_engine_says_so_when_there_is_no_room_for_a_single_slot() -> None:
    says = "^the device has no room for a single slot; use a smaller policy or another device$"
    with pytest.raises(SetupError, match=says):
        house(slots=4, room=0)
