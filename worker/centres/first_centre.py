"""Builds the engine of an evolution strategy: the first centre, and what plays its members."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from germline import weights
from germline.algorithms.eggroll import centre_seed
from germline.eggroll import Decay, Evolution, Settings, Space
from germline.eggroll.ascent import optimiser
from germline.shaping import ShapingName
from germline.weights import Layout
from worker.centres.epoch_engine import EpochEngine
from worker.centres.members import MaterialisedMembers, MemberFunction, MemberPopulation, member_population
from worker.networks.policies.build import make_policy
from worker.playing.engines import (
    MOST_ROWS,
    EngineSettings,
    check_settings,
    free_slots,
    lanes_on_all_cores,
    relatives,
)
from worker.playing.rollout import Engine, Rollout
from worker.plugins import make_task
from worker.tasks.base import EpisodicTask, SetupError, Task, WeightsTask


@dataclass(frozen=True, slots=True, kw_only=True)
class CentreSettings:
    """What shapes the centre, as the spec says it; see proto/germline/v1/spec.proto, message Eggroll.

    Attributes:
        seed: the experiment's; the first centre's own seed follows from it.
        measured_every: epochs between two measurements of the centre; 0 for none.
        checkpoint_every: epochs between two checkpoints of the centre; 0 for none.
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


def build_evolving(
    settings: EngineSettings, centre: CentreSettings, *, device: torch.device, slots: int | None = None
) -> EpochEngine:
    """Build the engine that plays an evolution strategy's slices.

    Args:
        settings: what to play.
        centre: what shapes the centre.
        device: where networks live.
        slots: members to play at a time; as many as memory and cores allow by default.

    Raises:
        SetupError: if something in the settings is unknown or does not fit.
    """
    check_settings(settings, slots)
    task = make_task(settings.task, settings.task_arguments)
    policy = make_policy(settings.policy, task, hidden=settings.hidden, arguments=settings.policy_arguments)
    rows = min(max(settings.episodes, 1), MOST_ROWS)

    def stage(evolution: Evolution) -> tuple[Engine, Callable[[], None]]:
        return _stage(settings, task, evolution, slots, rows)

    return EpochEngine(
        lambda: first_evolution(policy.to(device), centre),
        stage,
        episodes=settings.episodes,
        rows=rows,
        measured_every=centre.measured_every,
        checkpoint_every=centre.checkpoint_every,
    )


def first_evolution(policy: nn.Module, settings: CentreSettings) -> Evolution:
    """The evolution before its first epoch: around the founder whose seed is drawn from the experiment's.

    Raises:
        SetupError: if the settings cannot be together.
    """
    write_founder(policy, centre_seed(settings.seed))
    try:
        return Evolution(
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


@torch.no_grad()
def write_founder(policy: nn.Module, init_seed: int) -> None:
    """Give a policy the weights of the founder of this seed."""
    layout = Layout.of(policy)
    device = next(policy.parameters()).device
    flat = torch.zeros(layout.size, device=device)
    weights.initialise(init_seed, layout, flat)
    Space.of(policy).write(flat, policy)


def _stage(
    settings: EngineSettings, task: Task, evolution: Evolution, slots: int | None, rows: int
) -> tuple[Engine, Callable[[], None]]:
    """What plays members around this centre, and what to call when the centre has moved."""
    if isinstance(task, WeightsTask):
        return MemberFunction(task, evolution.network, evolution), _nothing
    return _rollout(settings, task, evolution, slots, rows)


def _rollout(
    settings: EngineSettings, task: EpisodicTask, evolution: Evolution, slots: int | None, rows: int
) -> tuple[Engine, Callable[[], None]]:
    population: MemberPopulation | MaterialisedMembers | None = None

    def make_population(count: int) -> MemberPopulation | MaterialisedMembers:
        nonlocal population
        population = member_population(evolution, task.spaces, count, rows, settings.precision)
        return population

    def refresh() -> None:
        if population is not None:
            population.refresh()

    wanted = slots or member_slots(evolution, task, rows)
    on_cpu = evolution.centre.device.type == "cpu"
    make_lanes = task.make_lanes if on_cpu else partial(lanes_on_all_cores, settings, task)
    return Rollout(make_lanes, make_population, wanted), refresh


def member_slots(evolution: Evolution, task: EpisodicTask, rows: int) -> int:
    """How many members a device plays well at a time: they share their arithmetic, so more than networks."""
    device = evolution.centre.device
    if device.type == "cpu":
        return relatives(rows)
    return free_slots(evolution.space.size, task.spaces, rows, device)


def _nothing() -> None:
    """Functions look at the centre anew each time."""
