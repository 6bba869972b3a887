"""Lanes in processes of their own, and engines that take turns."""

import os
import signal
from collections.abc import Hashable

import numpy as np
import pytest
import torch

from germline.genome import Genome, Mutation
from worker.networks.policies.build import make_policy
from worker.networks.policies.mlp import Mlp
from worker.networks.population import DensePopulation
from worker.playing.alternating import Alternating
from worker.playing.engine import Engine, Evaluation, Played
from worker.playing.rollout import Rollout
from worker.tasks.atari import AtariTask
from worker.tasks.base import LanesBrokenError
from worker.tasks.gym import GymTask
from worker.tasks.lane_processes import LaneProcesses

torch.set_num_threads(1)
CARTPOLE = GymTask(id="CartPole-v1")


def cartpole_processes(count: int, processes: int = 2) -> LaneProcesses:
    return LaneProcesses("gym", {"id": "CartPole-v1"}, CARTPOLE.spaces, count, processes)


def submit_all(engine: Engine[Hashable]) -> None:
    for key in range(7):
        engine.submit(Evaluation(key, Genome.founder(key).child(Mutation(key, 0.5)), (key, key + 1, 99)))


def play_all(engine: Engine[Hashable]) -> dict[Hashable, Played[Hashable]]:
    submit_all(engine)
    return finish(engine)


def finish(engine: Engine[Hashable]) -> dict[Hashable, Played[Hashable]]:
    played: dict[Hashable, Played[Hashable]] = {}
    while engine.busy():
        played.update({each.key: each for each in engine.tick()})
    engine.close()
    return played


def populations(count: int) -> DensePopulation:
    return DensePopulation(make_policy("mlp", CARTPOLE, hidden=(8,)), CARTPOLE.spaces, count, 2)


def test_lanes_in_processes_play_the_same_episodes() -> None:
    here = play_all(Rollout(CARTPOLE.make_lanes, populations, 3))
    elsewhere = play_all(Rollout(cartpole_processes, populations, 3))

    assert {key: each[:4] for key, each in elsewhere.items()} == {key: each[:4] for key, each in here.items()}


def test_engines_that_take_turns_play_everything_once() -> None:
    here = play_all(Rollout(CARTPOLE.make_lanes, populations, 3))
    both: Engine[Hashable] = Alternating([Rollout(cartpole_processes, populations, 2) for _ in range(2)])

    assert both.slots == both.room() == 4
    turns = play_all(both)
    assert {key: each[:4] for key, each in turns.items()} == {key: each[:4] for key, each in here.items()}
    assert both.frames == sum(each.frames for each in turns.values())


def test_atari_pictures_cross_processes_unchanged() -> None:
    task = AtariTask(game="pong")
    here, there = task.make_lanes(3), LaneProcesses("atari", {"game": "pong"}, task.spaces, 3, 2)
    for lanes in (here, there):
        lanes.begin(np.array([0, 2]), [5, 2**64 - 1])
        for _ in range(6):
            lanes.send(np.array([0, 2]), np.array([2, 3]))
            stepped = lanes.receive()
            assert stepped.frames.tolist() == [4, 4]

    assert np.array_equal(here.observations[[0, 2]], there.observations[[0, 2]])
    there.close()


def test_a_lane_process_that_dies_is_reported_not_waited_for() -> None:
    lanes = cartpole_processes(2)
    lanes.begin(np.array([0, 1]), [1, 2])
    os.kill(lanes._members[1]._process.pid, signal.SIGKILL)
    lanes._members[1]._process.wait()
    with pytest.raises(LanesBrokenError, match=r"ended by itself|hears no more"):
        lanes.begin(np.array([0, 1]), [1, 2])
    lanes.close()


def test_a_lane_process_says_which_of_its_lanes_failed_and_plays_on() -> None:
    lanes = cartpole_processes(4)
    every = np.arange(4)
    lanes.begin(every, [1, 2, 3, 4])
    lanes.send(every, np.array([0, 0, 7, 0]))
    stepped = lanes.receive()
    assert list(stepped.failures) == [2]
    assert stepped.failures[2].startswith("AssertionError: ")
    assert stepped.rewards.tolist() == [1.0, 1.0, 0.0, 1.0]
    lanes.begin(np.array([2]), [3])
    lanes.send(every, np.zeros(4, np.int64))
    assert not lanes.receive().failures
    lanes.close()


def test_lane_processes_that_die_are_made_anew_and_everything_is_played() -> None:
    made: list[LaneProcesses] = []

    def make(count: int) -> LaneProcesses:
        made.append(cartpole_processes(count))
        return made[-1]

    here = play_all(Rollout(CARTPOLE.make_lanes, populations, 3))
    engine: Rollout[Hashable] = Rollout(make, populations, 3)
    submit_all(engine)
    engine.tick()
    os.kill(made[0]._members[0]._process.pid, signal.SIGKILL)
    there = finish(engine)
    assert len(made) == 2
    assert {key: each[:4] for key, each in there.items()} == {key: each[:4] for key, each in here.items()}


def test_lane_processes_end_with_their_lanes() -> None:
    lanes = cartpole_processes(3)
    processes = [member._process for member in lanes._members]
    lanes.close()

    assert [process.returncode for process in processes] == [0, 0]


def test_a_dropped_engine_collects_the_step_that_was_under_way() -> None:
    engine: Rollout[Hashable] = Rollout(cartpole_processes, populations, 2)
    engine.submit(Evaluation("gone", Genome.founder(1), (1, 2)))
    engine.tick()
    engine.drop()
    engine.submit(Evaluation("new", Genome.founder(2), (3,)))
    played = []
    while engine.busy():
        played += engine.tick()
    engine.close()

    assert [each.key for each in played] == ["new"]
    assert isinstance(make_policy("mlp", CARTPOLE), Mlp)
