"""Plays policies on this machine, without a master: for `evaluate`, `record`, `verify` and verdicts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from germline.cli.cards import Playable
from germline.cli.errors import CommandError, as_usage, needs_extra
from germline.cli.output import notes
from germline.cli.words import counted
from germline.genome import Genome
from germline.spec import kernels_of
from germline.v1 import spec_pb2

if TYPE_CHECKING:
    import torch

    from germline.cli.video import Video
    from worker.networks.forward.base import Outputs
    from worker.playing.engine import Engine
    from worker.playing.playable import EngineSettings
    from worker.playing.rollout import Rollout as RolloutOf
    from worker.tasks.base import (
        Actions,
        EpisodicTask,
        LaneIndices,
        Lanes,
        Observations,
        Picture,
        Stepped,
        Task,
        WeightsTask,
    )

_THREADS = 1  # more would fight over the cores: the networks are small
_USUAL_STEPS_PER_SECOND = 30.0


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
        from worker.tasks.base import WeightsTask
    with as_usage():
        settings = engine_settings(spec)
        task = make_task(settings.task, settings.task_arguments)
        here = prepare(device, _THREADS)
        if isinstance(policy, bytes) and isinstance(task, WeightsTask):
            yield from _calls(task, settings, policy, seeds)
            return
        engine = _engine(task, settings, policy, here)
        yield from _returns(engine, policy, seeds, spec.evaluation.episodes)


def kernels_here(spec: spec_pb2.ExperimentSpec, device: str) -> str | None:
    """The family of kernels that plays a spec on this machine; None where all machines play alike."""
    with needs_extra("worker"):
        from worker.machine import libraries_of, prepare
    with as_usage():
        return kernels_of(libraries_of(prepare(device, _THREADS)), spec)


def play_all(policy: Playable, seeds: tuple[int, ...], device: str, *, quiet: bool) -> list[float]:
    """The return of each episode, in the order of the seeds; says how far it is."""
    returns: dict[int, float] = {}
    with notes.status("") as status:
        for position, returned in play(policy.spec, policy.policy, seeds, device):
            returns[position] = returned
            if not quiet:
                status.update(f"{len(returns)} of {counted(len(seeds), 'episode')}")
    return [returns[position] for position in sorted(returns)]


def _returns(
    engine: Engine[int], policy: Genome | bytes, seeds: tuple[int, ...], group: int
) -> Iterator[tuple[int, float]]:
    from worker.playing.engine import Evaluation

    genome = policy if isinstance(policy, Genome) else Genome.founder(0)  # a fixed population asks nobody
    for start in range(0, len(seeds), group):
        engine.submit(Evaluation(start, genome, seeds[start : start + group]))
    while engine.busy():
        for played in engine.tick():
            if played.failure.startswith(KeyboardInterrupt.__name__):
                raise KeyboardInterrupt  # Ctrl-C met the task's own code, and was taken for its failure
            if played.failure:
                raise CommandError(f"an episode could not be scored: {played.failure}")
            yield from enumerate(played.returns, start=played.key)
    engine.close()


def _calls(
    task: WeightsTask, settings: EngineSettings, centre: bytes, seeds: tuple[int, ...]
) -> Iterator[tuple[int, float]]:
    """What a function says of a centre under each seed."""
    from worker.networks.fixed_weights import centre_weights
    from worker.playing.playable import playable

    weights = centre_weights(playable(settings, task).policy, centre).numpy()
    for position, seed in enumerate(seeds):
        told = task.measure(weights, seed)
        yield position, float(told[0] if isinstance(told, tuple) else told)


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
    from worker.networks.fixed_weights import FixedPopulation, centre_weights
    from worker.playing.engines import slots_that_fit
    from worker.playing.playable import playable
    from worker.playing.rollout import Rollout
    from worker.tasks.base import EpisodicTask

    if not isinstance(task, EpisodicTask):
        raise CommandError("the task plays no episodes")
    network = playable(settings, task).policy
    weights = centre_weights(network, centre)
    rows = settings.rows

    def make_population(count: int) -> FixedPopulation:
        return FixedPopulation(
            weights, network, task.spaces, count, rows, precision=settings.precision, device=device
        )

    return Rollout(
        task.make_lanes,
        make_population,
        slots or slots_that_fit(network, task.spaces, rows, device),
        make_normaliser=settings.normalisation.maker(task.spaces),
    )


class Witness(Protocol):
    """Sees a filmed episode as its network does."""

    def look(self, picture: Picture, seen: Observations) -> Picture:
        """What goes on film for what a person would see and what the network sees now."""
        ...

    def note(self, action: Actions, reward: float, outputs: Outputs | None) -> None:
        """What was done on this, what it brought, and the network's outputs, `[outputs]`, where known."""
        ...


def film(
    spec: spec_pb2.ExperimentSpec,
    policy: Genome | bytes,
    seed: int,
    device: str,
    video: Video,
    speed: float,
    witness: Witness | None = None,
) -> float:
    """Play one episode and film it: a picture of its start and one after each step.

    What is played is what would be played without a camera.

    Args:
        spec: says task, network and precision.
        policy: a genome, or the file of an evolution strategy's centre.
        seed: of the episode.
        device: where the network runs.
        video: takes the pictures.
        speed: 1 is the task's own pace.
        witness: sees each step, and says what goes on film.

    Returns:
        The episode's return.
    """
    with needs_extra("worker"):
        from worker.machine import prepare
        from worker.playing.engine_builder import engine_settings
        from worker.playing.rollout import Rollout
        from worker.plugins import make_task
        from worker.tasks.base import EpisodicTask
    with as_usage():
        settings = engine_settings(_filmable(spec))
        task = make_task(settings.task, settings.task_arguments)
        if not isinstance(task, EpisodicTask):
            raise CommandError(f"{spec.name} plays no episodes that could be filmed: its task is a function")
        filmed = _Filmed(task, video, speed, witness)
        engine = _engine(filmed, settings, policy, prepare(device, _THREADS), slots=1)
        filmed.rollout = engine if isinstance(engine, Rollout) else None
        ((_, returned),) = _returns(engine, policy, (seed,), 1)
        return returned


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

    def __init__(self, task: EpisodicTask, video: Video, speed: float, witness: Witness | None) -> None:
        self.spaces = task.spaces
        self.rollout: RolloutOf[int] | None = None  # which plays this, and knows what the network answers
        self._task, self._video, self._speed, self._witness = task, video, speed, witness

    def make_lanes(self, count: int) -> _Camera:
        """Lanes, with a camera on the first."""
        return _Camera(self._task.make_lanes(count), self._video, self._speed, self._witness, self._outputs)

    def _outputs(self) -> Outputs | None:
        outputs = None if self.rollout is None else self.rollout.outputs
        return None if outputs is None else outputs[0, 0]


class _Camera:
    """Lanes with a camera on the first one."""

    def __init__(
        self,
        lanes: Lanes,
        video: Video,
        speed: float,
        witness: Witness | None,
        outputs: Callable[[], Outputs | None],
    ) -> None:
        if not isinstance(lanes, _ShowsPictures):
            raise CommandError(f"{type(lanes).__name__} cannot be filmed: it has no picture(lane)")
        self.count = lanes.count
        self.observations: Observations = lanes.observations
        self._lanes, self._shown, self._video, self._witness = lanes, lanes, video, witness
        self._sent: tuple[Actions, Outputs | None] | None = None
        self._outputs = outputs
        own_pace: float = getattr(lanes, "steps_per_second", _USUAL_STEPS_PER_SECOND)
        self._pace = speed * own_pace

    def begin(self, lanes: LaneIndices, seeds: list[int]) -> None:
        """Begin, and take a picture."""
        self._lanes.begin(lanes, seeds)
        self._take()

    def send(self, lanes: LaneIndices, actions: Actions) -> None:
        """Begin a step."""
        outputs = self._outputs()
        self._sent = actions.copy(), None if outputs is None else outputs.copy()
        self._lanes.send(lanes, actions)

    def receive(self) -> Stepped:
        """End the step, and take a picture."""
        stepped = self._lanes.receive()
        if self._witness is not None and self._sent is not None:
            actions, outputs = self._sent
            self._witness.note(actions[0], float(stepped.rewards[0]), outputs)
        self._take()
        return stepped

    def _take(self) -> None:
        picture = self._shown.picture(0)
        if self._witness is not None:
            picture = self._witness.look(picture, self.observations[0])
        self._video.add(picture, self._pace)

    def close(self) -> None:
        """Free the lanes."""
        self._lanes.close()
