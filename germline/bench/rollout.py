"""Measures Atari rollouts against one-env-one-net workers and against the bare emulator.

One process to a core for each contestant, all of them alive from the start; in each round every contestant
plays alone for a while, one after the other. Ratios are taken within a round, and their medians reported, so
that a machine whose speed drifts is fair to all.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from multiprocessing.connection import Connection
from statistics import median
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from germline.bottleneck import STAGES, in_words, shares
from germline.genome import Genome, Mutation, float32

if TYPE_CHECKING:
    from worker.playing.engine import Engine
    from worker.playing.stages import Stages

Clock = Literal["wall", "cpu"]
CLOCKS: dict[Clock, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
POWER = float32(0.002)
_WARM_UP_S = 1.0
_ENVIRONMENTS = 8
_LITTER = 8
_PARENTS = 20


@dataclass(frozen=True, slots=True)
class Row:
    """One contestant's figures; frames are emulator frames, of all processes together.

    Attributes:
        frames_per_second: median over the rounds.
        ratio_to_naive: how many times as fast as one network and one environment to a process.
        ratio_to_env: share of what the bare vector environment reaches with random actions.
        precision: of the forward pass; empty where there is none.
        stage_shares: of a step's time, see germline.bottleneck; of the references there are none.
    """

    frames_per_second: float
    ratio_to_naive: float
    ratio_to_env: float
    precision: str
    stage_shares: tuple[float, ...] = ()


class Plays(Protocol):
    """Something that plays."""

    def play(self) -> int:
        """Play a step or so; the emulator frames that it took."""
        ...


class _OnEngine:
    """Something that plays on one of this project's engines."""

    _engine: Engine[int]

    @property
    def stages(self) -> Stages:
        """Where the engine's time went so far."""
        return self._engine.stages


class Contestant(NamedTuple):
    """A way to play a game. `build(game, *arguments)` runs in the contestant's own processes."""

    build: Callable[..., Plays]
    arguments: tuple[object, ...] = ()
    precision: str = ""


def naive(game: str) -> Plays:
    """One network, one environment; four episodes to a network."""
    from germline.bench.naive_worker import NaiveWorker

    return NaiveWorker(game, episodes=4)


class BareEnvironment:
    """The library's vector environment under random actions, reset by itself."""

    def __init__(self, game: str) -> None:
        """Load the game on eight lanes, which is where it stops getting faster."""
        import numpy as np
        from ale_py.vector_env import AtariVectorEnv

        self._environment = AtariVectorEnv(
            game,
            num_envs=_ENVIRONMENTS,
            num_threads=1,
            max_num_frames_per_episode=20_000,
            noop_max=30,
            reward_clipping=False,
            use_fire_reset=False,
        )
        self._environment.reset(seed=0)
        actions = len(self._environment.ale.get_action_set())
        self._actions = np.random.default_rng(0).integers(0, actions, (4096, _ENVIRONMENTS))
        self._step = 0

    def play(self) -> int:
        """Step all lanes."""
        self._environment.step(self._actions[self._step % 4096])
        self._step += 1
        return 4 * _ENVIRONMENTS


class DenseChildren(_OnEngine):
    """This project's engine, playing children of one parent with dense mutations."""

    def __init__(self, game: str, episodes: int, precision: str, policy: str = "dqn2015") -> None:
        """Build the engine as a worker would."""
        import torch

        from worker.playing.engines import build_engine
        from worker.playing.playable import EngineSettings

        settings = EngineSettings(
            "atari", policy, {"game": game, "protocol": "uber2018"}, episodes=episodes, precision=precision
        )
        self._engine: Engine[int] = build_engine(settings, device=torch.device("cpu"))
        self._parent = Genome.founder(0)
        self._episodes, self._numbers = episodes, count()

    def play(self) -> int:
        """Step every episode that runs."""
        from worker.playing.engine import Evaluation

        for _ in range(self._engine.room()):
            number = next(self._numbers)
            child = self._parent.child(Mutation(number, POWER))
            seeds = tuple(range(number * self._episodes, (number + 1) * self._episodes))
            self._engine.submit(Evaluation(number, child, seeds, self._parent))
        before = self._engine.frames
        self._engine.tick()
        return self._engine.frames - before


class Members(_OnEngine):
    """This project's engine, playing slices of an evolution strategy's epochs."""

    def __init__(self, game: str, precision: str, policy: str = "dqn2015") -> None:
        """Build the engine as a worker would."""
        import torch

        from worker.centres.first_centre import CentreSettings, build_evolving
        from worker.playing.playable import EngineSettings

        settings = EngineSettings(
            "atari", policy, {"game": game, "protocol": "uber2018"}, episodes=1, precision=precision
        )
        centre = CentreSettings(
            seed=0, pairs=1 << 20, rank=1, sigma=POWER, sigma_decay=1.0, optimiser="sgd",
            learning_rate=1.0, learning_rate_decay=1.0, momentum=0.9, weight_decay=0.0,
            shaping="pair_sign", noise_reuse=1, measured_every=0,
        )  # fmt: skip
        self._engine: Engine[int] = build_evolving(settings, centre, device=torch.device("cpu"))
        self._numbers, self._pairs_out = count(), 0

    def play(self) -> int:
        """Step every episode that runs; as many pairs are out as fill the slots, and one more."""
        from germline.pairs import Slice
        from worker.playing.engine import Evaluation

        while self._pairs_out <= max(self._engine.slots, 1) // 2:
            number = next(self._numbers)
            self._engine.submit(Evaluation(number, Slice(0, number, 1), (number,)))
            self._pairs_out += 1
        before = self._engine.frames
        self._pairs_out -= len(self._engine.tick())
        return self._engine.frames - before


class Litters(_OnEngine):
    """This project's engine, playing litters of eight children by low-rank mutations."""

    def __init__(self, game: str, precision: str, policy: str = "dqn2015") -> None:
        """Build the engine as a worker would."""
        import torch

        from worker.playing.engines import build_engine
        from worker.playing.playable import EngineSettings

        settings = EngineSettings(
            "atari", policy, {"game": game, "protocol": "uber2018"}, precision=precision, rank=1
        )
        self._engine: Engine[int] = build_engine(settings, device=torch.device("cpu"))
        founders = [Genome.founder(number) for number in range(_PARENTS)]
        self._parents = [founder.child(Mutation(7, POWER, 1)) for founder in founders]
        self._numbers = count()

    def play(self) -> int:
        """Step every episode that runs."""
        from worker.playing.engine import Evaluation

        for _ in range(self._engine.room()):
            number = next(self._numbers)
            parent = self._parents[number // _LITTER % _PARENTS]
            child = parent.child(Mutation(number, POWER, 1))
            self._engine.submit(Evaluation(number, child, (number,), parent))
        before = self._engine.frames
        self._engine.tick()
        return self._engine.frames - before


def contestants() -> dict[str, Contestant]:
    """Everybody but the two references: in this processor's fastest floats, in float32, in integers."""
    import torch

    from worker.networks.forward.kernels import available

    best = "bfloat16" if available(torch.bfloat16) else "float32"
    rows = {
        "dense_4_episodes": Contestant(DenseChildren, (4, best), best),
        "dense_1_episode": Contestant(DenseChildren, (1, best), best),
        "dense_4_episodes_int8": Contestant(DenseChildren, (4, "int8"), "int8"),
        "dense_1_episode_int8": Contestant(DenseChildren, (1, "int8"), "int8"),
        "eggroll": Contestant(Members, (best,), best),
        "litters": Contestant(Litters, (best,), best),
    }
    if best != "float32":
        rows["dense_4_episodes_float32"] = Contestant(DenseChildren, (4, "float32"), "float32")
        rows["dense_1_episode_float32"] = Contestant(DenseChildren, (1, "float32"), "float32")
        rows["eggroll_float32"] = Contestant(Members, ("float32",), "float32")
        rows["litters_float32"] = Contestant(Litters, ("float32",), "float32")
    return rows


def measure(
    game: str = "pong",
    *,
    seconds: float = 3.0,
    rounds: int = 7,
    processes: int | None = None,
    only: set[str] | None = None,
    clock: Clock = "wall",
) -> dict[str, Row]:
    """Let everybody play in turn.

    Args:
        game: ROM name.
        seconds: how long each plays in a round.
        rounds: how often each plays.
        processes: how many of each; one to a core by default.
        only: names of rows to measure besides the references; all by default.
        clock: "cpu" counts the seconds that a process computed, for machines that have other work to do.

    Returns:
        A row for each name, the references "naive" and "env" first.
    """
    field = {"naive": Contestant(naive, (), "float32"), "env": Contestant(BareEnvironment)}
    field |= {name: each for name, each in contestants().items() if only is None or name in only}
    with ExitStack() as stack:
        teams = {
            name: stack.enter_context(_team(each, game, processes or os.cpu_count() or 1))
            for name, each in field.items()
        }
        speeds: dict[str, list[float]] = {name: [] for name in teams}
        stages: dict[str, tuple[float, ...]] = {}
        for _ in range(rounds):
            for name, team in teams.items():
                speed, stages[name] = _play(team, seconds, clock)
                speeds[name].append(speed)
    return {name: _row(speeds, name, each.precision, stages[name]) for name, each in field.items()}


def table(rows: dict[str, Row]) -> str:
    """The rows for people."""
    lines = [f"{'':26}{'precision':>10}{'frames/s':>10}{'x naive':>9}{'of env':>8}  most time in"]
    for name, row in rows.items():
        lines.append(
            f"{name:26}{row.precision:>10}{row.frames_per_second:>10,.0f}"
            f"{row.ratio_to_naive:>9.2f}{row.ratio_to_env:>8.0%}  {_most(row.stage_shares)}".rstrip()
        )
    fastest = max(rows, key=lambda name: rows[name].frames_per_second if rows[name].stage_shares else 0.0)
    if rows[fastest].stage_shares:
        lines.append(f"{fastest}: {in_words(rows[fastest].stage_shares)}")
    return "\n".join(lines)


def _most(stage_shares: tuple[float, ...]) -> str:
    return f"{STAGES[stage_shares.index(max(stage_shares))]}, {max(stage_shares):.0%}" if stage_shares else ""


def _row(speeds: dict[str, list[float]], name: str, precision: str, stages: tuple[float, ...]) -> Row:
    def ratio(reference: str) -> float:
        return median(a / b for a, b in zip(speeds[name], speeds[reference], strict=True))

    return Row(median(speeds[name]), ratio("naive"), ratio("env"), precision, stages)


@contextmanager
def _team(contestant: Contestant, game: str, size: int) -> Iterator[list[Connection]]:
    """Processes that play when told to, each behind a pipe; ready and warm."""
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(size)]
    members = [
        context.Process(target=_member, args=(theirs, contestant, game), daemon=True) for _, theirs in pipes
    ]
    for member in members:
        member.start()
    for _, theirs in pipes:  # so that a member's end is the end of its pipe
        theirs.close()
    ours = [mine for mine, _ in pipes]
    try:
        _play(ours, _WARM_UP_S, "wall")
        yield ours
    finally:
        for mine in ours:
            with suppress(BrokenPipeError):
                mine.send(None)
        for member in members:
            member.join()


def _play(team: list[Connection], seconds: float, clock: Clock) -> tuple[float, tuple[float, ...]]:
    """Let all of a team play at once; frames per second together, and where the first one's time went."""
    for member in team:
        member.send((seconds, clock))
    told = [member.recv() for member in team]
    return sum(float(speed) for speed, _ in told), shares(told[0][1])


def _member(pipe: Connection, contestant: Contestant, game: str) -> None:
    """A process of a team: plays for as many seconds as it is told, until it is told to end."""
    import torch

    torch.set_num_threads(1)
    player = contestant.build(game, *contestant.arguments)
    while order := pipe.recv():
        seconds, now_s = order[0], CLOCKS[order[1]]
        frames, start_s = 0, now_s()
        while now_s() - start_s < seconds:
            frames += player.play()
        spent = player.stages[: len(STAGES)] if isinstance(player, _OnEngine) else ()
        pipe.send((frames / (now_s() - start_s), tuple(spent)))
