"""Plays genomes on this machine, without a master: for `evaluate` and `record`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from germline.cli.errors import CommandError, Exit, needs_extra
from germline.genome import Genome
from germline.v1 import spec_pb2

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from worker.rollout import Engine
    from worker.tasks.base import Actions, EpisodicTask, LaneIndices, Lanes, Observations, Stepped

    Picture = npt.NDArray[np.uint8]


_THREADS = 1  # more would fight over the cores: the networks are small


def fresh_seeds(seed: int, count: int) -> tuple[int, ...]:
    """Episode seeds that no run has drawn: digests under a name of their own."""
    return tuple(_digest(f"{seed}/{number}") for number in range(count))


def _digest(text: str) -> int:
    digest = hashlib.blake2b(text.encode(), digest_size=8, person=b"germline-fresh")
    return int.from_bytes(digest.digest(), "little")


def play(
    spec: spec_pb2.ExperimentSpec, genome: Genome, seeds: tuple[int, ...], device: str
) -> Iterator[tuple[int, float]]:
    """Play one episode for each seed; yields its position and its return as evaluations end.

    Episodes go in groups as large as the experiment's evaluations: the same arithmetic as in the run.
    """
    with needs_extra("worker"):
        from worker.build import build_engine
        from worker.machine import prepare
        from worker.rollout import Evaluation
        from worker.tasks.base import SetupError
        from worker.workshop import engine_settings
    try:
        engine = build_engine(engine_settings(spec), device=prepare(device, _THREADS))
    except SetupError as error:
        raise CommandError(str(error), Exit.USAGE) from None
    group = spec.evaluation.episodes
    starts = range(0, len(seeds), group)
    for start in starts:
        engine.submit(Evaluation(start, genome, seeds[start : start + group]))
    yield from _returns(engine, dict(zip(starts, starts, strict=True)))


def _returns(engine: Engine, starts: dict[object, int]) -> Iterator[tuple[int, float]]:
    while engine.busy():
        for played in engine.tick():
            yield from enumerate(played.returns, start=starts[played.key])
    engine.close()


@dataclass
class Film:
    """One episode: a picture of its start and one after each step, and its return."""

    pictures: list[Picture] = field(default_factory=list)
    returned: float = 0.0


def film(spec: spec_pb2.ExperimentSpec, genome: Genome, seed: int, device: str) -> Film:
    """Play one episode and film it. What is played is what would be played without a camera."""
    with needs_extra("worker"):
        from worker.build import engine_for
        from worker.machine import prepare
        from worker.plugins import make_task
        from worker.rollout import Evaluation
        from worker.tasks.base import EpisodicTask, SetupError
        from worker.workshop import engine_settings
    filmable = spec_pb2.ExperimentSpec()
    filmable.CopyFrom(spec)
    if spec.task.HasField("gym"):
        filmable.task.gym.arguments["render_mode"] = "rgb_array"
    film = Film()
    try:
        settings = engine_settings(filmable)
        task = make_task(settings.task, settings.task_arguments)
        if not isinstance(task, EpisodicTask):
            raise CommandError(f"{spec.name} plays no episodes that could be filmed: its task is a function")
        engine = engine_for(_Filmed(task, film), settings, device=prepare(device, _THREADS), slots=1)
        engine.submit(Evaluation(0, genome, (seed,)))
        for _, film.returned in _returns(engine, {0: 0}):
            pass
    except SetupError as error:
        raise CommandError(str(error), Exit.USAGE) from None
    return film


@runtime_checkable
class _ShowsPictures(Protocol):
    def picture(self, lane: int) -> Picture: ...


class _Filmed:
    """A task whose first lane is filmed."""

    def __init__(self, task: EpisodicTask, film: Film) -> None:
        self.spaces = task.spaces
        self._task, self._film = task, film

    def make_lanes(self, count: int) -> _Camera:
        """Lanes, with a camera on the first."""
        return _Camera(self._task.make_lanes(count), self._film)


class _Camera:
    """Lanes with a camera on the first one."""

    def __init__(self, lanes: Lanes, film: Film) -> None:
        if not isinstance(lanes, _ShowsPictures):
            raise CommandError(f"{type(lanes).__name__} cannot be filmed: it has no picture(lane)")
        self.count = lanes.count
        self.observations: Observations = lanes.observations
        self._lanes, self._shown, self._film = lanes, lanes, film

    def begin(self, lanes: LaneIndices, seeds: list[int]) -> None:
        """Begin, and take a picture."""
        self._lanes.begin(lanes, seeds)
        self._film.pictures.append(self._shown.picture(0))

    def send(self, lanes: LaneIndices, actions: Actions) -> None:
        """Begin a step."""
        self._lanes.send(lanes, actions)

    def receive(self) -> Stepped:
        """End the step, and take a picture."""
        stepped = self._lanes.receive()
        self._film.pictures.append(self._shown.picture(0))
        return stepped

    def close(self) -> None:
        """Free the lanes."""
        self._lanes.close()
