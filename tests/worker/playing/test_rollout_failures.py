"""What a task raises costs the evaluation that it is of: all others are scored as ever."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from germline.genome import Genome
from worker.networks.forward.base import ActiveRows
from worker.networks.population import Individual
from worker.playing.engine import Evaluation, Played
from worker.playing.rollout import Rollout
from worker.tasks.base import Actions, LaneIndices, LanesBrokenError, Observations, SetupError, Stepped

BAD = 66  # the seed of episodes in which something goes wrong
LENGTH = 5


@dataclass
class Trap:
    """Lanes of games of five steps that each pay their seed; what goes wrong with the bad seed is given.

    An age says at which step it does: 0 is the beginning.
    """

    count: int
    age: int
    error: BaseException
    tells: bool = False
    closings: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.observations: Observations = np.zeros((self.count, 1), np.float32)
        self.seeds, self.ages = [0] * self.count, [0] * self.count
        self.lanes: list[int] = []

    def begin(self, lanes: LaneIndices, seeds: list[int]) -> None:
        for lane, seed in zip(lanes.tolist(), seeds, strict=True):
            self.seeds[lane], self.ages[lane] = seed, 0
            if seed == BAD and self.age == 0:
                raise self.error

    def send(self, lanes: LaneIndices, actions: Actions) -> None:
        self.lanes = lanes.tolist()

    def receive(self) -> Stepped:
        failures = {}
        for place, lane in enumerate(self.lanes):
            self.ages[lane] += 1
            if self.seeds[lane] == BAD and self.ages[lane] == self.age:
                if not self.tells:
                    raise self.error
                failures[place] = f"told: {self.error}"
        rewards = np.array([float(self.seeds[lane]) for lane in self.lanes])
        ended = np.array([self.ages[lane] == LENGTH for lane in self.lanes])
        return Stepped(rewards, ended, np.ones(len(self.lanes), np.int64), failures)

    def close(self) -> None:
        if self.closings:
            raise self.closings[0]


class Nobody:
    """A population whose networks do nothing; one of them cannot be built."""

    def __init__(self, slots: int, rows: int, unbuildable: Genome | None = None) -> None:
        self.slots, self.rows = slots, rows
        self.unbuildable = unbuildable

    def fill(self, slot: int, genome: Individual, parent: Genome | None = None) -> None:
        if genome == self.unbuildable:
            raise ArithmeticError("no such network")

    def begin(self, slot: int, row: int) -> None:
        """Nothing to forget."""

    def act(self, observations: Observations, active: ActiveRows) -> Actions:
        return np.zeros((self.slots, self.rows), np.int64)


def rollout(make: Callable[[int], Trap], slots: int = 3, rows: int = 2) -> Rollout[int]:
    return Rollout(make, lambda count: Nobody(count, rows), slots)


def play(engine: Rollout[int], evaluations: Sequence[tuple[int, ...]]) -> dict[int, Played[int]]:
    """Play evaluations of these seeds, under their number."""
    for key, seeds in enumerate(evaluations):
        engine.submit(Evaluation(key, Genome.founder(key), seeds))
    played: list[Played[int]] = []
    while engine.busy():
        played += engine.tick()
    assert sorted(each.key for each in played) == list(range(len(evaluations)))
    return {each.key: each for each in played}


EVALUATIONS = [(1, 2), (3, 4, 5), (6, BAD, 7), (8,), (9, 10, 11), (12, 13), (BAD,)]
GOOD = [key for key, seeds in enumerate(EVALUATIONS) if BAD not in seeds]


def check(played: dict[int, Played[int]], reason: str) -> None:
    """All but those with the bad seed came to what they are worth, however often they were begun."""
    for key in GOOD:
        seeds = EVALUATIONS[key]
        steps = LENGTH * len(seeds)
        returns = tuple(float(LENGTH * seed) for seed in seeds)
        assert played[key][:4] == (key, returns, steps, steps)
        assert played[key].failure == ""
    for key in {*range(len(EVALUATIONS))} - {*GOOD}:
        assert (played[key].returns, played[key].failure) == ((), reason)


@pytest.mark.parametrize("age", [0, 1, 3])
@pytest.mark.parametrize("error", [ValueError("diverged"), SystemExit(3), KeyboardInterrupt()])
def test_what_a_lane_raises_costs_one_evaluation_and_no_other(age: int, error: BaseException) -> None:
    check(play(rollout(lambda n: Trap(n, age, error)), EVALUATIONS), f"{type(error).__name__}: {error}")


def test_lanes_that_say_which_of_them_failed_are_believed_and_nothing_is_played_twice() -> None:
    made: list[Trap] = []

    def make(count: int) -> Trap:
        made.append(Trap(count, 2, ValueError("diverged"), tells=True))
        return made[-1]

    engine = rollout(make)
    check(play(engine, EVALUATIONS), "told: diverged")
    assert len(made) == 1
    good, bad = LENGTH * sum(len(EVALUATIONS[key]) for key in GOOD), 2 * 2 + 2
    assert engine.frames == good + bad


def test_a_network_that_cannot_be_built_costs_its_own_evaluation() -> None:
    def populations(count: int) -> Nobody:
        return Nobody(count, 2, unbuildable=Genome.founder(1))

    engine: Rollout[int] = Rollout(lambda n: Trap(n, -1, ValueError()), populations, 3)
    played = play(engine, [(1,), (2,), (3,)])
    assert [played[key].failure for key in range(3)] == ["", "ArithmeticError: no such network", ""]


def test_lanes_that_cannot_go_on_are_made_anew_and_closing_them_may_fail(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made: list[Trap] = []

    def make(count: int) -> Trap:
        made.append(Trap(count, 0, LanesBrokenError("gone"), closings=[OSError("cannot close")]))
        return made[-1]

    engine = rollout(make)
    check(play(engine, EVALUATIONS), "LanesBrokenError: gone")
    assert len(made) > 1
    engine.close()
    assert "closing a Trap failed: OSError: cannot close" in caplog.text


def test_lanes_that_cannot_be_made_anew_are_the_workers_own_trouble() -> None:
    made: list[Trap] = []

    def make(count: int) -> Trap:
        if made:
            raise SetupError("no licence")
        made.append(Trap(count, 2, ValueError("diverged")))
        return made[-1]

    engine = rollout(make)
    engine.submit(Evaluation(0, Genome.founder(0), (BAD, 1)))
    assert engine.in_play() == []
    engine.tick()
    assert engine.in_play() == [0]
    engine.tick()
    with pytest.raises(SetupError, match="no licence"):
        engine.tick()


def test_what_is_played_alone_can_be_cancelled_and_dropped(caplog: pytest.LogCaptureFixture) -> None:
    engine = rollout(lambda n: Trap(n, 1, ValueError("diverged")))
    with caplog.at_level(logging.WARNING):
        for key, seeds in enumerate([(1,), (BAD,), (2,), (3,)]):
            engine.submit(Evaluation(key, Genome.founder(key), seeds))
        engine.tick()
        assert engine.tick() == []
    assert "3 evaluations are played again, one by one: ValueError: diverged" in caplog.text
    assert engine.room() == 0
    engine.tick()  # 0 begins, alone
    engine.cancel([0, 1])
    played: list[Played[int]] = []
    while engine.busy():
        played += engine.tick()
    assert [each.key for each in played] == [2, 3]
    assert engine.room() == 3


def test_a_dropped_engine_plays_nothing_more_of_what_broke() -> None:
    engine = rollout(lambda n: Trap(n, 1, ValueError("diverged")))
    for key, seeds in enumerate([(1,), (BAD,), (2,)]):
        engine.submit(Evaluation(key, Genome.founder(key), seeds))
    engine.tick()
    engine.tick()
    engine.drop()
    assert not engine.busy()
    assert play(engine, [(5,)])[0].returns == (25.0,)


def test_a_device_that_runs_out_of_memory_while_a_slot_is_filled_halves_the_slots() -> None:
    class Full(Nobody):
        def fill(self, slot: int, genome: Individual, parent: Genome | None = None) -> None:
            if slot == 2:
                raise torch.OutOfMemoryError("no room")

    engine: Rollout[int] = Rollout(lambda n: Trap(n, -1, ValueError()), lambda count: Full(count, 1), 4)
    played = play(engine, [(1,), (2,), (3,), (4,), (5,)])
    assert engine.slots == 2
    assert [played[key].returns for key in range(5)] == [(5.0 * seed,) for seed in range(1, 6)]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_episode_that_never_ends_is_given_up_after_its_time_and_the_others_go_on() -> None:
    clock = Clock()

    class Endless(Trap):
        def receive(self) -> Stepped:
            stepped = super().receive()
            is_bad = np.array([self.seeds[lane] == BAD for lane in self.lanes], np.bool_)
            return stepped._replace(ended=stepped.ended & ~is_bad)

    engine: Rollout[int] = Rollout(
        lambda n: Endless(n, -1, ValueError()), lambda n: Nobody(n, 1), 2, max_episode_s=100.0, clock=clock
    )
    engine.submit(Evaluation(0, Genome.founder(0), (1, 2, BAD, 3)))
    played: list[Played[int]] = []
    while clock.now < 110:  # two episodes of five seconds, and then a hundred
        assert engine.busy()
        assert played == []
        played += engine.tick()
        clock.now += 1.0
    while engine.busy():
        played += engine.tick()
        clock.now += 1.0
    ((key, returns, _, steps, _, failure, *_),) = played
    assert (key, returns) == (0, ())
    assert failure.startswith("the episode of seed 66 is not over after 100 s; the evaluation took ")
    assert 110 <= steps < 125
    assert play(engine, [(4,)])[0].returns == (20.0,)
