"""From settings to an engine: the task, the policy, and as many slots as the machine has room for."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from germline import machine_share
from germline.behaviour import Measure, Range
from germline.weights import Layout
from worker.networks.forward import family
from worker.networks.low_rank_children import LitterPopulation
from worker.networks.population import DensePopulation, Population
from worker.playing.alternating import Alternating
from worker.playing.engine import Engine, Key
from worker.playing.functions import FunctionEngine
from worker.playing.playable import EngineSettings, playable
from worker.playing.rollout import Rollout
from worker.tasks.base import EpisodicTask, Lanes, SetupError, Spaces, Task, WeightsTask, range_of
from worker.tasks.lane_processes import LaneProcesses

DEVICES = ("auto", "cpu", "cuda", "mps")
_CPU_SLOTS = 2  # networks take turns on a core; more would only push each other out of its cache
_INTEGER_ROWS = 8  # of all networks of whole numbers, which share what needs no weights
_SMALL_CPU_SLOTS = 32  # small networks are multiplied together
_SMALL = 200_000
_CPU_RELATIVES = 32  # rows of one pass
_LANES_PER_CORE = 64


def build_engine(
    settings: EngineSettings,
    *,
    device: torch.device,
    slots: int | None = None,
    cache_bytes: int = 256 << 20,
    task: Task | None = None,
) -> Engine[Key]:
    """Build the engine that plays an experiment's evaluations.

    Args:
        settings: what to play.
        device: where networks live.
        slots: evaluations to play at a time; as many as memory and cores allow by default.
        cache_bytes: bound on the memory for ancestors' weights.
        task: the task, if the caller made one.

    Raises:
        SetupError: if something in the settings is unknown or does not fit.
    """
    check_slots(slots)
    task, policy = playable(settings, task)
    if isinstance(task, WeightsTask):
        behaviour = behaviour_of(settings, task)
        return FunctionEngine(task, policy, cache_bytes=cache_bytes, behaviour=behaviour)
    return _rollout_of_genomes(settings, task, policy, device, slots, cache_bytes)


def behaviour_of(settings: EngineSettings, task: Task) -> Range | None:
    """The ranges of what evaluations are to say of their behaviour; None if the spec asks for nothing.

    Raises:
        SetupError: if the task says another number of numbers than the spec.
    """
    if not settings.dimensions:
        return None
    own = range_of(task)
    if own is None or own.dimensions != settings.dimensions:
        found = own.dimensions if own else 0
        raise SetupError(
            f"behaviour has {settings.dimensions} numbers, but task {settings.task!r} has {found} measures; "
            "allowed: as many (for a plug-in, set behaviour.dimensions)"
        )
    if not settings.bounds:
        return own
    return Range([Measure(name, *pair) for name, pair in zip(own.names, settings.bounds, strict=True)])


def check_slots(slots: int | None) -> None:
    """Raise SetupError if the number of slots is not allowed."""
    if slots is not None and slots < 1:
        raise SetupError(f"slots is {slots}; allowed: 1 or more")


def _rollout_of_genomes(
    settings: EngineSettings,
    task: EpisodicTask,
    policy: nn.Module,
    device: torch.device,
    slots: int | None,
    cache_bytes: int,
) -> Engine[Key]:
    """On a CPU everything in this thread; else two populations that take turns."""
    rows = settings.rows
    turns = 1 if device.type == "cpu" else 2
    shares = shares_parents(settings, policy, device)
    make_population = population_maker(
        settings, task.spaces, policy, device, cache_bytes if shares else cache_bytes // turns
    )

    def rollout(count: int) -> Rollout[Key]:
        make_lanes = lanes_for(settings, task, device)
        limit, behaviour = settings.max_episode_s, behaviour_of(settings, task)
        return Rollout(
            make_lanes,
            make_population,
            count,
            max_episode_s=limit,
            behaviour=behaviour,
            make_normaliser=settings.normalisation.maker(task.spaces),
        )

    if shares:
        return rollout(slots or relatives(rows))
    wanted = slots or slots_that_fit(policy, task.spaces, rows, device, settings.precision)
    if turns == 1 or wanted == 1:
        return rollout(wanted)
    return Alternating([rollout(wanted // 2) for _ in range(turns)])


def shares_parents(settings: EngineSettings, policy: nn.Module, device: torch.device) -> bool:
    """Whether children are played from their parents' matrices, which belongs to what a score means."""
    return bool(settings.rank) and settings.precision != "int8" and family.plays(policy, device)


def population_maker(
    settings: EngineSettings, spaces: Spaces, policy: nn.Module, device: torch.device, cache_bytes: int
) -> Callable[[int], Population]:
    """What makes a population of so many genomes' networks, which play as these settings say."""

    def make_litters(count: int) -> LitterPopulation:
        return LitterPopulation(
            policy,
            spaces,
            count,
            settings.rows,
            rank=settings.rank,
            precision=settings.precision,
            cache_bytes=cache_bytes,
        )

    def make_population(count: int) -> DensePopulation:
        return DensePopulation(
            policy,
            spaces,
            count,
            settings.rows,
            precision=settings.precision,
            device=device,
            cache_bytes=cache_bytes,
        )

    return make_litters if shares_parents(settings, policy, device) else make_population


def lanes_for(settings: EngineSettings, task: EpisodicTask, device: torch.device) -> Callable[[int], Lanes]:
    """What makes lanes: in this thread beside a CPU, else in a process for each core."""
    if device.type == "cpu":
        return task.make_lanes
    cores = machine_share.cores()
    return lambda count: LaneProcesses(
        settings.task,
        settings.task_arguments,
        task.spaces,
        count,
        cores,
        dimensions=settings.dimensions,
    )


def relatives(rows: int) -> int:
    """How many networks that share their arithmetic a core plays well at a time."""
    return max(1, _CPU_RELATIVES // rows)


def slots_that_fit(
    policy: nn.Module, spaces: Spaces, rows: int, device: torch.device, precision: str = "float32"
) -> int:
    """How many evaluations a device plays well at a time, from its free memory and the cores beside it."""
    size = Layout.of(policy).size
    if device.type == "cpu":
        large = max(_CPU_SLOTS, _INTEGER_ROWS // rows) if precision == "int8" else _CPU_SLOTS
        return _SMALL_CPU_SLOTS if size < _SMALL else large
    return free_slots(size, spaces, rows, device)


def free_slots(size: int, spaces: Spaces, rows: int, device: torch.device) -> int:
    """How many networks of `size` weights an accelerator and the cores beside it play well at a time."""
    observation = 1
    for extent in spaces.observation_shape:
        observation *= extent
    slot_bytes = 8 * size + rows * 64 * observation  # two copies of the weights; patches of the first layers
    by_memory = free_bytes(device) // 2 // slot_bytes
    by_cores = _LANES_PER_CORE * machine_share.cores() // rows
    return max(1, min(by_memory, by_cores))


def free_bytes(device: torch.device) -> int:
    """Memory that is free on an accelerator."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    raise ValueError(f"device is {device.type!r}; its memory is not known")


def device_named(name: str) -> torch.device:
    """The device that a name means; "auto" is CUDA where there is one, then MPS, then the CPU.

    Raises:
        SetupError: if there is no such device here.
    """
    if name not in DEVICES and not name.startswith("cuda:"):
        raise SetupError(f"device is {name!r}; allowed: {', '.join(DEVICES)} or cuda:N")
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if here[kind])
    if not here[name.partition(":")[0]]:
        raise SetupError(f"device is {name!r}, which this machine does not have")
    return torch.device(name)
