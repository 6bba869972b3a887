"""What evaluations say of what was done, from real environments, games and functions, to whole numbers."""

from collections.abc import Hashable

import numpy as np
import pytest
import torch

from germline.behaviour import unpack
from germline.genome import Genome
from germline.pairs import Slice
from germline.spec import behaviour_dimensions, loads
from tests.worker.playing.test_rollout_engine import finish
from worker.playing.engine import Engine, Evaluation, Played
from worker.playing.engine_builder import EngineBuilder
from worker.playing.engines import build_engine
from worker.playing.playable import EngineSettings
from worker.tasks.atari import AtariTask
from worker.tasks.base import Lanes, SetupError, expect_behaving
from worker.tasks.gym import GymTask
from worker.tasks.lane_processes import LaneProcesses

CPU = torch.device("cpu")
CART = {"descriptor": "observation", "indices": [0, 2], "low": [-4.8, -0.42], "high": [4.8, 0.42]}
SPEC = """
name = "a"
[task.gym]
id = "CartPole-v1"
[policy]
name = "mlp"
hidden = [8]
[evaluation]
episodes = 2
[behaviour]
descriptor = "observation"
indices = [0, 2]
low = [-4.8, -0.42]
high = [4.8, 0.42]
"""
GA = SPEC + "[algorithm.ga]\n"


def engine(text: str) -> Engine[Hashable]:
    built: Engine[Hashable] = EngineBuilder(CPU, slots=2).build(loads(text))  # type: ignore[assignment]
    return built


def played(text: str, *seeds: int, cap_frames: int = 0, seed: int = 1) -> Played[Hashable]:
    playing = engine(text)
    playing.submit(Evaluation("one", Genome.founder(seed), seeds, cap_frames=cap_frames))
    return finish(playing)["one"]


def test_an_environments_last_observation_is_told_and_the_mean_over_episodes() -> None:
    first, second, both = (
        unpack(played(SPEC + "[algorithm.ga]\n", *s).behaviour) for s in ((3,), (4,), (3, 4))
    )
    assert first.size == second.size == both.size == 2
    assert abs(int(first[1]) - 32_768) > 0.4 * 32_768  # it fell: the pole leans by 12 degrees of 24
    means = (first.astype(int) + second + 1) // 2
    assert both.tolist() == means.tolist()


def test_a_spec_without_behaviour_tells_none() -> None:
    told = played(SPEC.partition("[behaviour]")[0] + "[algorithm.ga]\n", 3)
    assert told.behaviour == b""


def test_an_episode_that_its_cap_cuts_tells_where_it_was_cut() -> None:
    cut = played(GA, 3, cap_frames=1)
    whole = played(GA, 3)
    assert cut.cut == 1
    assert abs(int(unpack(cut.behaviour)[1]) - 32_768) < 0.2 * 32_768
    assert cut.behaviour != whole.behaviour


def test_members_of_a_slice_are_told_one_after_the_other_and_the_centre_by_itself() -> None:
    playing = engine(SPEC + "[algorithm.eggroll]\npairs = 3\nslice_pairs = 3\n")
    seeds = (3, 4)
    playing.submit(Evaluation("all", Slice(0, 0, 3), seeds * 3))
    playing.submit(Evaluation("last", Slice(0, 2, 1), seeds))
    playing.submit(Evaluation("centre", Slice(0, 0, 0), seeds))
    done = finish(playing)
    assert len(unpack(done["all"].behaviour)) == 6 * 2
    assert done["all"].behaviour[-8:] == done["last"].behaviour
    assert len(unpack(done["centre"].behaviour)) == 2


def test_an_environments_own_bounds_are_used_only_where_it_has_them() -> None:
    mountain = GymTask(id="MountainCar-v0", behaviour={"indices": [0, 1]})
    assert [tuple(measure) for measure in mountain.measures] == [
        ("observation 0", pytest.approx(-1.2), pytest.approx(0.6)),
        ("observation 1", pytest.approx(-0.07), pytest.approx(0.07)),
    ]
    with pytest.raises(SetupError, match=r"behaviour.low is missing; CartPole-v1 bounds not all .* \[1\]"):
        GymTask(id="CartPole-v1", behaviour={"indices": [1]})
    with pytest.raises(SetupError, match=r"behaviour.indices is \[4\]; allowed: below 4"):
        GymTask(id="CartPole-v1", behaviour={"indices": [4]})


def walk(lanes: Lanes, lane: int, seed: int, steps: int) -> list[np.ndarray]:
    """Play a fixed walk; the console's memory after each step."""
    lanes.begin(np.array([lane]), [seed])
    seen = []
    for step in range(steps):
        lanes.send(np.array([lane]), np.array([step % 6]))
        lanes.receive()
        seen.append(lanes.memory(lane))  # type: ignore[attr-defined]
    return seen


def test_an_atari_episode_leaves_its_last_memory_its_memories_or_a_path() -> None:
    def traced(**behaviour: object) -> tuple[list[np.ndarray], np.ndarray]:
        lanes = AtariTask(game="frostbite", behaviour=behaviour).make_lanes(2)
        walk(lanes, 1, seed=9, steps=70)  # what is left of an episode before is forgotten
        return walk(lanes, 1, seed=7, steps=35), np.asarray(expect_behaving(lanes).behaviour(1))

    seen, ram = traced(descriptor="ram")
    assert ram.tolist() == seen[-1].tolist()
    seen, place = traced(descriptor="ram", indices=[102, 100])
    assert place.tolist() == seen[-1][[102, 100]].tolist()
    seen, memories = traced(descriptor="ram_path", every_steps=10)
    assert memories.reshape(4, 128).tolist() == [
        seen[9].tolist(),
        seen[19].tolist(),
        seen[29].tolist(),
        seen[-1].tolist(),
    ]
    seen, path = traced(descriptor="path", indices=[102, 100], every_steps=3)
    moments = [seen[3 * moment + 2] for moment in range(11)] + [seen[-1]] * 5
    assert path.reshape(16, 2).tolist() == [[memory[102], memory[100]] for memory in moments]


def test_a_game_tells_its_path_and_processes_tell_the_same() -> None:
    behaviour = {"descriptor": "path", "indices": [102, 100], "every_steps": 5}
    arguments = {"game": "frostbite", "max_frames": 400, "behaviour": behaviour}
    task = AtariTask(**arguments)  # type: ignore[arg-type]
    here, there = task.make_lanes(2), LaneProcesses("atari", arguments, task.spaces, 2, 2, dimensions=32)
    try:
        for lanes in (here, there):
            lanes.begin(np.array([0, 1]), [1, 2])
            for step in range(40):
                lanes.send(np.array([0, 1]), np.array([step % 5, step % 3]))
                lanes.receive()
        for lane in (0, 1):
            assert np.asarray(there.behaviour(lane)).tolist() == here.behaviour(lane).tolist()
    finally:
        there.close()


def stroll(weights: np.ndarray, seed: int) -> tuple[float, list[float]]:
    """A function that says what was done: two of its weights."""
    return float(weights.sum()), [float(weights[0]), float(weights[1])]


def alone(weights: np.ndarray, seed: int) -> float:
    """A function that does not."""
    return float(weights.sum())


def function(name: str) -> EngineSettings:
    bounds = {"low": [-4.0, -4.0], "high": [4.0, 4.0]}
    path = f"tests.worker.playing.test_behaviour_played:{name}"
    arguments = {"path": path, "dimension": 3, "behaviour": bounds}
    return EngineSettings("function", "vector", arguments, dimensions=2, bounds=((-4.0, 4.0),) * 2)


def measured(name: str) -> Played[Hashable]:
    playing: Engine[Hashable] = build_engine(function(name), device=CPU)
    playing.submit(Evaluation("one", Genome.founder(5), (1, 2)))
    return finish(playing)["one"]


def test_a_function_tells_what_was_done_beside_its_return() -> None:
    told = measured("stroll")
    assert (len(told.returns), told.failure) == (2, "")
    assert unpack(told.behaviour).size == 2


def test_a_function_that_says_nothing_costs_its_evaluation() -> None:
    told = measured("alone")
    assert (told.returns, told.behaviour) == ((), b"")
    assert told.failure == (
        "TypeError: the function returned float; allowed: a pair, its return and the 2 numbers of its "
        "behaviour"
    )


class Corridor:
    """A plug-in's task, which says how far one came; its lanes may forget to."""

    spaces = GymTask(id="CartPole-v1").spaces
    measures = (("distance", 0.0, 10.0),)
    says: object = [5.0]

    def make_lanes(self, count: int) -> Lanes:
        """CartPole's lanes that say what this task says."""
        lanes = GymTask(id="CartPole-v1").make_lanes(count)
        lanes.behaviour = lambda lane: self.says  # type: ignore[method-assign,assignment,return-value]
        return lanes


def plugged(task: Corridor, dimensions: int = 1) -> Played[Hashable]:
    settings = EngineSettings("corridor", "mlp", hidden=(4,), dimensions=dimensions)
    playing: Engine[Hashable] = build_engine(settings, device=CPU, task=task)
    playing.submit(Evaluation("one", Genome.founder(5), (1,)))
    return finish(playing)["one"]


def test_a_plug_in_reports_its_own_measures() -> None:
    assert unpack(plugged(Corridor()).behaviour).tolist() == [32_768]


def test_a_plug_in_that_has_other_measures_than_the_spec_is_refused() -> None:
    with pytest.raises(SetupError, match="behaviour has 2 numbers, but task 'corridor' has 1 measures"):
        plugged(Corridor(), dimensions=2)


@pytest.mark.parametrize(
    ("says", "sentence"),
    [
        ([1.0, 2.0], "ValueError: behaviour has 2 numbers; allowed: 1"),
        ([float("nan")], "ValueError: behaviour 'distance' is NaN; allowed: a number"),
    ],
)
def test_a_plug_in_that_says_what_is_none_costs_its_evaluation(says: object, sentence: str) -> None:
    task = Corridor()
    task.says = says
    told = plugged(task)
    assert (told.returns, told.behaviour, told.failure) == ((), b"", sentence)


def test_the_size_that_the_master_expects_is_what_is_told() -> None:
    assert len(played(GA, 3).behaviour) == 2 * behaviour_dimensions(loads(GA))
