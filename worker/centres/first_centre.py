"""Builds the engine of an evolution strategy: the first centre, and what plays its members."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from germline import weights
from germline.algorithms.centres import centre_seed
from germline.eggroll import Decay, Evolution, Settings
from germline.eggroll.ascent import optimiser
from germline.genome import Genome
from germline.shaping import ShapingName
from germline.weights import Layout
from worker.centres.epoch_engine import EpochEngine
from worker.centres.members import MaterialisedMembers, MemberFunction, MemberPopulation, member_population
from worker.playing.engine import Engine, Key
from worker.playing.engines import behaviour_of, check_slots, free_slots, lanes_for, relatives
from worker.playing.playable import EngineSettings, playable
from worker.playing.rollout import Rollout
from worker.tasks.base import EpisodicTask, SetupError, Task, WeightsTask

_Stage = tuple[Engine[tuple[Key, int]], Callable[[], None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CentreSettings:
    """What shapes the centre, as the spec says it; see proto/germline/v1/spec.proto, message Eggroll.

    Attributes:
        seed: the experiment's; the first centre's own seed follows from it.
        measured_every: epochs between two measurements of the centre; 0 for none.
        checkpoint_every: epochs between two checkpoints of the centre; 0 for none.
        start: the first centre; None for the founder whose seed is drawn from the experiment's.
        centres: how many take turns.
    """

    seed: int
    pairs: int
    rank: int
    sigma: float
    sigma_decay: float
    optimiser: str
    learning_rate: float
    learning_rate_decay: float
    momentum: float
    weight_decay: float
    shaping: ShapingName
    noise_reuse: int
    measured_every: int
    checkpoint_every: int = 0
    start: Genome | None = None
    centres: int = 1


def build_evolving(
    settings: EngineSettings, centre: CentreSettings, *, device: torch.device, slots: int | None = None
) -> EpochEngine[Key]:
    """Build the engine that plays an evolution strategy's slices.

    Args:
        settings: what to play.
        centre: what shapes the centre.
        device: where networks live.
        slots: members to play at a time; as many as memory and cores allow by default.

    Raises:
        SetupError: if something in the settings is unknown or does not fit.
    """
    check_slots(slots)
    task, policy = playable(settings)

    def stage(evolution: Evolution) -> _Stage[Key]:
        return _stage(settings, task, evolution, slots)

    return EpochEngine(
        lambda: first_evolution(policy.to(device), centre),
        stage,
        episodes=settings.episodes,
        rows=settings.rows,
        measured_every=centre.measured_every,
        checkpoint_every=centre.checkpoint_every,
    )


def first_evolution(policy: nn.Module, settings: CentreSettings) -> Evolution:
    """The evolution before its first epoch: around the genome that it starts from, the same bits everywhere.

    Raises:
        SetupError: if the settings cannot be together.
    """
    write_genome(policy, settings.start or Genome.founder(centre_seed(settings.seed)))
    try:
        evolution = Evolution(
            policy,
            Settings(
                pairs=settings.pairs,
                seed=settings.seed,
                rank=settings.rank,
                sigma=Decay(settings.sigma, settings.sigma_decay),
                learning_rate=Decay(settings.learning_rate, settings.learning_rate_decay),
                shaping=settings.shaping,
                noise_reuse=settings.noise_reuse,
            ),
            optimiser=optimiser(settings.optimiser, settings.momentum, settings.weight_decay),
        )
    except ValueError as error:
        raise SetupError(f"algorithm.eggroll does not hold: {error}") from error
    for number in range(1, settings.centres):
        write_genome(policy, Genome.founder(centre_seed(settings.seed, number)))
        evolution.add_centre(evolution.space.read(policy))
    evolution.space.write(evolution.centre, policy)
    return evolution


def write_genome(policy: nn.Module, genome: Genome) -> None:
    """Give a policy the weights of this genome."""
    layout = Layout.of(policy)
    device = next(policy.parameters()).device
    flat = torch.zeros(layout.size, device=device)
    weights.rebuild(genome, layout, flat)
    layout.write(flat, policy)


def _stage(settings: EngineSettings, task: Task, evolution: Evolution, slots: int | None) -> _Stage[Key]:
    """What plays members around this centre, and what to call when the centre has moved."""
    if isinstance(task, WeightsTask):
        behaviour = behaviour_of(settings, task)
        return MemberFunction(task, evolution.network, evolution, behaviour), _nothing
    return _rollout_of_members(settings, task, evolution, slots)


def _rollout_of_members(
    settings: EngineSettings, task: EpisodicTask, evolution: Evolution, slots: int | None
) -> _Stage[Key]:
    rows = settings.rows
    population: MemberPopulation | MaterialisedMembers | None = None

    def make_population(count: int) -> MemberPopulation | MaterialisedMembers:
        nonlocal population
        population = member_population(evolution, task.spaces, count, rows, settings.precision)
        return population

    def refresh() -> None:
        if population is not None:
            population.refresh()

    wanted = slots or member_slots(evolution, task, rows)
    make_lanes = lanes_for(settings, task, evolution.centre.device)
    limit, behaviour = settings.max_episode_s, behaviour_of(settings, task)
    rollout = Rollout[tuple[Key, int]](
        make_lanes,
        make_population,
        wanted,
        max_episode_s=limit,
        behaviour=behaviour,
        make_normaliser=settings.normalisation.maker(task.spaces),
    )
    return rollout, refresh


def member_slots(evolution: Evolution, task: EpisodicTask, rows: int) -> int:
    """How many members a device plays well at a time: they share their arithmetic, so more than networks."""
    device = evolution.centre.device
    if device.type == "cpu":
        return relatives(rows)
    return free_slots(evolution.space.size, task.spaces, rows, device)


def _nothing() -> None:
    """Functions look at the centre anew each time."""
