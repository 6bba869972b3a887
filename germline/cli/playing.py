"""Plays policies on this machine, without a master: for `evaluate` and `record`."""

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
    import torch

    from germline.weights import Layout
    from worker.playing.engine import Engine
    from worker.playing.playable import EngineSettings
    from worker.tasks.base import Actions, EpisodicTask, LaneIndices, Lanes, Observations, Stepped, Task

    Picture = npt.NDArray[np.uint8]

_THREADS = 1  # more would fight over the cores: the networks are small


def fresh_seeds(seed: int, count: int) -> tuple[int, ...]:
    """Episode seeds that no run has drawn: digests under a name of their own."""
    return tuple(_digest(f"{seed}/{number}") for number in range(count))


def _digest(text: str) -> int:
    digest = hashlib.blake2b(text.encode(), digest_size=8, person=b"germline-fresh")
    return int.from_bytes(digest.digest(), "little")


def play(
    spec: spec_pb2.ExperimentSpec, policy: Genome | bytes, seeds: tuple[int, ...], device: str
) -> Iterator[tuple[int, float]]:
    """Play one episode for each seed; yields its position and its return as evaluations end.

    Episodes go in groups as large as the experiment's evaluations: the same arithmetic as in the run.

    Args:
        spec: says task, network and precision.
        policy: a genome, or the file of an evolution strategy's centre.
        seeds: of the episodes.
        device: where the network runs.
    """
    with needs_extra("worker"):
        from worker.machine import prepare
        from worker.playing.engine_builder import engine_settings
        from worker.plugins import make_task
        from worker.tasks.base import SetupError
    try:
        settings = engine_settings(spec)
        task = make_task(settings.task, settings.task_arguments)
        engine = _engine(task, settings, policy, prepare(device, _THREADS))
        yield from _returns(engine, policy, seeds, spec.evaluation.episodes)
    except SetupError as error:
        raise CommandError(str(error), Exit.USAGE) from None


def _returns(
    engine: Engine[int], policy: Genome | bytes, seeds: tuple[int, ...], group: int
) -> Iterator[tuple[int, float]]:
    from worker.playing.engine import Evaluation

    genome = policy if isinstance(policy, Genome) else Genome.founder(0)  # a fixed population asks nobody
    for start in range(0, len(seeds), group):
        engine.submit(Evaluation(start, genome, seeds[start : start + group]))
    while engine.busy():
        for played in engine.tick():
            yield from enumerate(played.returns, start=played.key)
    engine.close()


def _engine(
    task: Task,
    settings: EngineSettings,
    policy: Genome | bytes,
    device: torch.device,
    slots: int | None = None,
) -> Engine[int]:
    from worker.playing.engines import build_engine

    if isinstance(policy, Genome):
        return build_engine(settings, device=device, slots=slots, task=task)
    return _centre_engine(task, settings, policy, device, slots)


def _centre_engine(
    task: Task, settings: EngineSettings, centre: bytes, device: torch.device, slots: int | None
) -> Engine[int]:
    """The engine for a network that is known by its weights."""
    from germline.eggroll import centre_file
    from germline.weights import Layout
    from worker.networks.fixed_weights import FixedPopulation
    from worker.playing.engines import slots_that_fit
    from worker.playing.playable import playable
    from worker.playing.rollout import Rollout
    from worker.tasks.base import EpisodicTask

    if not isinstance(task, EpisodicTask):
        raise CommandError(
            "the centre of a function task plays no episodes: call the function on its weights"
        )
    network = playable(settings, task).policy
    weights = _flat(centre_file.read(centre).parameters, Layout.of(network))
    rows = settings.rows

    def make_population(count: int) -> FixedPopulation:
        return FixedPopulation(
            weights, network, task.spaces, count, rows, precision=settings.precision, device=device
        )

    return Rollout(
        task.make_lanes, make_population, slots or slots_that_fit(network, task.spaces, rows, device)
    )


def _flat(named: dict[str, torch.Tensor], layout: Layout) -> torch.Tensor:
    import torch

    shapes = {parameter.name: parameter.shape for parameter in layout.parameters}
    found = {name: tuple(value.shape) for name, value in named.items()}
    if found != shapes:
        raise CommandError(f"the centre's parameters are {found}; this network's are {shapes}")
    return torch.cat([named[name].flatten() for name in shapes])


@dataclass
class Film:
    """One episode: a picture of its start and one after each step, and its return."""

    pictures: list[Picture] = field(default_factory=list)
    returned: float = 0.0


def film(spec: spec_pb2.ExperimentSpec, policy: Genome | bytes, seed: int, device: str) -> Film:
    """Play one episode and film it. What is played is what would be played without a camera."""
    with needs_extra("worker"):
        from worker.machine import prepare
        from worker.playing.engine_builder import engine_settings
        from worker.plugins import make_task
        from worker.tasks.base import EpisodicTask, SetupError
    film = Film()
    try:
        settings = engine_settings(_filmable(spec))
        task = make_task(settings.task, settings.task_arguments)
        if not isinstance(task, EpisodicTask):
            raise CommandError(f"{spec.name} plays no episodes that could be filmed: its task is a function")
        engine = _engine(_Filmed(task, film), settings, policy, prepare(device, _THREADS), slots=1)
        for _, film.returned in _returns(engine, policy, (seed,), 1):
            pass
    except SetupError as error:
        raise CommandError(str(error), Exit.USAGE) from None
    return film


def _filmable(spec: spec_pb2.ExperimentSpec) -> spec_pb2.ExperimentSpec:
    """The spec, with Gymnasium environments asked to draw."""
    filmable = spec_pb2.ExperimentSpec()
    filmable.CopyFrom(spec)
    if spec.task.HasField("gym"):
        filmable.task.gym.arguments["render_mode"] = "rgb_array"
    return filmable


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
