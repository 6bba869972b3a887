"""The rollout engine: evaluations determined by themselves, lanes that never idle, memory that runs out."""

import os
from collections.abc import Callable, Hashable

import numpy as np
import pytest
import torch

from germline.genome import Genome, Mutation
from worker.networks.forward.base import ActiveRows
from worker.networks.population import Individual, expect_genome
from worker.playing.engine import Engine, Evaluation, Played
from worker.playing.engines import build_engine, device_named
from worker.playing.functions import FunctionEngine
from worker.playing.playable import EngineSettings
from worker.playing.rollout import Rollout
from worker.tasks.base import Actions, LaneIndices, Observations, SetupError, Stepped

torch.set_num_threads(1)  # as workers do; several threads only fight over small batches

CPU = torch.device("cpu")


class Countdown:
    """Lanes of a game that lasts as many steps as its seed says and pays the actions."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.observations: Observations = np.zeros((count, 1), np.float32)
        self.begun: list[int] = []
        self.steps = 0
        self._sent: tuple[LaneIndices, Actions] | None = None

    def begin(self, lanes: LaneIndices, seeds: list[int]) -> None:
        self.begun += seeds
        self.observations[lanes, 0] = seeds

    def send(self, lanes: LaneIndices, actions: Actions) -> None:
        self._sent = lanes, actions

    def receive(self) -> Stepped:
        assert self._sent is not None
        (lanes, actions), self._sent = self._sent, None
        self.steps += len(lanes)
        self.observations[lanes, 0] -= 1
        return Stepped(
            np.asarray(actions, np.float64),
            self.observations[lanes, 0] <= 0,
            np.full(len(lanes), 4, np.int64),
        )

    def close(self) -> None:
        self.count = 0


class Names:
    """A population whose networks always answer the genome's initialisation seed."""

    def __init__(self, slots: int, rows: int, room: int = 1000) -> None:
        if slots > room:
            raise torch.OutOfMemoryError("no room")
        self.slots, self.rows = slots, rows
        self._answers = np.zeros(slots, np.int64)

    def fill(self, slot: int, genome: Individual, parent: Genome | None = None) -> None:
        self._answers[slot] = expect_genome(genome).init_seed

    def begin(self, slot: int, row: int) -> None:
        """Nothing to forget."""

    def act(self, observations: Observations, active: ActiveRows) -> Actions:
        return np.repeat(self._answers[:, None], self.rows, axis=1)


def finish(engine: Engine[Hashable]) -> dict[Hashable, Played[Hashable]]:
    played = {}
    while engine.busy():
        for each in engine.tick():
            played[each.key] = each
    return played


def countdown(slots: int, rows: int, lanes: list[Countdown] | None = None) -> Rollout[Hashable]:
    def make(count: int) -> Countdown:
        made = Countdown(count)
        if lanes is not None:
            lanes.append(made)
        return made

    return Rollout(make, lambda count: Names(count, rows), slots)


def test_every_episode_s_return_comes_back_in_the_order_of_the_seeds() -> None:
    engine = countdown(slots=2, rows=2)
    engine.submit(Evaluation("a", Genome.founder(3), (5, 1, 2)))
    engine.submit(Evaluation("b", Genome.founder(1), (4,)))

    played = finish(engine)

    assert played["a"][:4] == ("a", (15.0, 3.0, 6.0), 32, 8)
    assert played["b"][:4] == ("b", (4.0,), 16, 4)
    assert engine.frames == 48


def test_a_freed_lane_takes_the_evaluation_s_next_seed_at_once() -> None:
    lanes: list[Countdown] = []
    engine = countdown(1, 2, lanes)
    engine.submit(Evaluation("a", Genome.founder(1), (6, 2, 2, 2)))
    ticks = 0
    while engine.busy():
        engine.tick()
        ticks += 1

    assert ticks == 7  # six steps side by side with 2 + 2 + 2, and the tick that collects the last
    assert lanes[0].begun == [6, 2, 2, 2]


def test_a_freed_slot_takes_the_next_evaluation_at_once() -> None:
    lanes: list[Countdown] = []
    engine = countdown(2, 1, lanes)
    for key, length in enumerate((1, 5, 4)):
        engine.submit(Evaluation(key, Genome.founder(1), (length,)))
    ticks = 0
    while engine.busy():
        engine.tick()
        ticks += 1

    assert ticks == 6
    assert lanes[0].steps == 10


def test_room_is_what_fills_the_slots() -> None:
    engine = countdown(3, 1)
    assert engine.room() == 3
    engine.submit(Evaluation("a", Genome.founder(1), (2,)))
    assert engine.room() == 2
    engine.tick()
    assert engine.room() == 2
    finish(engine)

    assert engine.room() == 3


def test_a_cancelled_evaluation_never_comes_back_and_frees_its_slot() -> None:
    engine = countdown(1, 1)
    engine.submit(Evaluation("a", Genome.founder(1), (50,)))
    engine.submit(Evaluation("b", Genome.founder(1), (50,)))
    engine.submit(Evaluation("c", Genome.founder(2), (3,)))
    engine.tick()
    engine.cancel({"a", "b", "unknown"})

    assert {key: each.returns for key, each in finish(engine).items()} == {"c": (6.0,)}


def test_after_a_drop_nothing_is_left_and_the_engine_plays_on() -> None:
    engine = countdown(2, 1)
    for key in range(4):
        engine.submit(Evaluation(key, Genome.founder(1), (9,)))
    engine.tick()
    engine.drop()
    assert not engine.busy()
    assert engine.room() == 2
    engine.submit(Evaluation("new", Genome.founder(2), (2,)))

    assert finish(engine)["new"].returns == (4.0,)


def test_an_evaluation_without_episodes_is_refused() -> None:
    with pytest.raises(ValueError, match="evaluation a has no episode seeds; allowed: 1 or more"):
        countdown(1, 1).submit(Evaluation("a", Genome.founder(1), ()))


def test_without_room_in_memory_the_slots_are_halved() -> None:
    engine: Rollout[Hashable] = Rollout(Countdown, lambda count: Names(count, 1, room=3), 16)

    assert engine.slots == 2


def test_without_room_for_one_slot_the_engine_says_so() -> None:
    with pytest.raises(SetupError, match="no room for a single slot"):
        Rollout(Countdown, lambda count: Names(count, 1, room=0), 4)


def test_when_memory_runs_out_in_play_the_slots_are_halved_and_nothing_is_lost() -> None:
    crashes = iter([False, False, True])

    class Crowded(Names):
        def act(self, observations: Observations, active: ActiveRows) -> Actions:
            if next(crashes, False):
                raise torch.OutOfMemoryError("somebody else took it")
            return super().act(observations, active)

    engine: Rollout[Hashable] = Rollout(Countdown, lambda count: Crowded(count, 1), 4)
    for key in range(6):
        engine.submit(Evaluation(key, Genome.founder(key), (5,)))
    played = finish(engine)

    assert engine.slots == 2
    assert {key: each.returns for key, each in played.items()} == {key: (5.0 * key,) for key in range(6)}
    assert all(each.steps == 5 for each in played.values())


def atari(game: str, slots: int, episodes: int, precision: str, max_frames: int = 480) -> Engine[Hashable]:
    settings = EngineSettings(
        "atari",
        "dqn2015",
        {"game": game, "max_frames": max_frames},
        episodes=episodes,
        precision=precision,
    )
    return build_engine(settings, device=CPU, slots=slots)


def wild(seed: int) -> Genome:
    """A network whose actions depend on what it sees: strong noise on a founder."""
    return Genome.founder(seed).child(Mutation(seed, 0.0625))


@pytest.mark.parametrize("game", ["pong", "frostbite", "seaquest"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_evaluation_is_determined_by_itself_whatever_plays_beside_it(game: str, precision: str) -> None:
    seeds = (101, 2**63 + 5, 7)
    alone = atari(game, 1, 3, precision)
    alone.submit(Evaluation("it", wild(1), seeds))
    wanted = finish(alone)["it"]

    crowd = atari(game, 3, 3, precision)
    for other in range(2, 5):
        crowd.submit(Evaluation(other, wild(other), (other, other + 50, other + 90)))
    for _ in range(5):
        crowd.tick()
    crowd.submit(Evaluation("it", wild(1), seeds))

    assert finish(crowd)["it"][:4] == wanted[:4]


def test_an_episode_returns_the_same_with_and_without_its_siblings() -> None:
    together = atari("frostbite", 1, 4, "bfloat16")
    together.submit(Evaluation("four", wild(3), (1, 2, 3, 4)))
    returns = finish(together)["four"].returns
    single = atari("frostbite", 1, 1, "bfloat16")
    for seed in (1, 2, 3, 4):
        single.submit(Evaluation(seed, wild(3), (seed,)))
    apart = finish(single)

    assert tuple(apart[seed].returns[0] for seed in (1, 2, 3, 4)) == returns


@pytest.mark.parametrize(
    ("settings", "frames_per_step"),
    [
        (EngineSettings("gym", "mlp", {"id": "CartPole-v1"}, hidden=(8,), episodes=3), 1),
        (EngineSettings("gym", "mlp", {"id": "Pendulum-v1", "max_steps": 20}, episodes=2), 1),
    ],
)
def test_gymnasium_tasks_are_played(settings: EngineSettings, frames_per_step: int) -> None:
    def run() -> dict[Hashable, Played[Hashable]]:
        engine: Engine[Hashable] = build_engine(settings, device=CPU)
        for key in range(5):
            engine.submit(Evaluation(key, Genome.founder(key), tuple(range(settings.episodes))))
        return finish(engine)

    first, second = run(), run()

    assert len(first) == 5
    assert all(first[key][:4] == second[key][:4] for key in first)
    assert all(each.frames == each.steps * frames_per_step for each in first.values())


def test_function_tasks_are_measured_without_episodes() -> None:
    settings = EngineSettings("function", "vector", {"path": f"{__name__}:total", "dimension": 3})
    engine: Engine[Hashable] = build_engine(settings, device=CPU)
    parent = Genome.founder(0)
    engine.submit(Evaluation("founder", parent, (1, 2)))
    engine.submit(Evaluation("child", parent.child(Mutation(4, 0.5)), (0,), parent))
    engine.submit(Evaluation("unwanted", parent, (0,)))
    engine.cancel({"unwanted"})
    played = finish(engine)

    assert isinstance(engine, FunctionEngine)
    first, second = played["founder"].returns
    assert second - first == pytest.approx(1.0)
    assert sorted(map(str, played)) == ["child", "founder"]
    assert (played["founder"].frames, played["founder"].steps) == (2, 2)


def total(weights: np.ndarray, seed: int) -> float:
    """A function to optimise."""
    return float(weights.sum()) + seed


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            lambda: build_engine(
                EngineSettings("atari", "dqn2015", {"game": "pong"}, precision="int4"), device=CPU
            ),
            "evaluation.precision is 'int4'; allowed: float32, bfloat16, int8",
        ),
        (
            lambda: build_engine(EngineSettings("atari", "dqn2015", {"game": "pong"}), device=CPU, slots=0),
            "slots is 0; allowed: 1 or more",
        ),
        (lambda: device_named("tpu"), "device is 'tpu'; allowed: auto, cpu, cuda, mps"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change: Callable[[], object], complaint: str) -> None:
    with pytest.raises(SetupError, match=complaint):
        change()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_device_that_is_not_here_is_refused() -> None:
    with pytest.raises(SetupError, match="device is 'cuda', which this machine does not have"):
        device_named("cuda")


def test_auto_finds_a_device() -> None:
    assert device_named("auto").type in ("cpu", "cuda", "mps")
    assert os.cpu_count()
