"""The networks that play now: weights in preallocated slots, filled in place, fed all together."""

from __future__ import annotations

from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from germline import weights
from germline.genome import Genome
from germline.pairs import Member, Slice
from germline.weights import Layout
from worker.networks.forward.base import DTYPES, ActiveRows, Outputs
from worker.networks.forward.choose import make_forward
from worker.networks.parent_cache import ParentCache
from worker.tasks.base import (
    Actions,
    ActionSpace,
    ContinuousActions,
    DiscreteActions,
    Observations,
    Spaces,
    StickActions,
)

Individual: TypeAlias = Genome | Member | Slice
"""Who plays: in a genetic algorithm, in an evolution strategy's epoch, and several of those at once."""


class Population(Protocol):
    """Networks in numbered slots, each with `rows` observations at a time."""

    slots: int
    rows: int

    def fill(self, slot: int, genome: Individual, parent: Genome | None = None) -> None:
        """Write an individual's network into a slot; a genome's `parent`, if known, saves finding it out."""
        ...

    def begin(self, slot: int, row: int) -> None:
        """An episode begins on a row: what its network remembers of the last one is forgotten."""
        ...

    def act(self, observations: Observations, active: ActiveRows) -> Actions:
        """Actions of the active rows; a row's depend on its network and what it saw since its beginning.

        Args:
            observations: `[slots, rows, *shape]`.
            active: `[slots, rows]`.

        Returns:
            `[slots, rows]` int64, or `[slots, rows, numbers]` float32 for continuous actions. Other rows
            hold anything.
        """
        ...


@runtime_checkable
class Answering(Protocol):
    """A population that says what its networks answered, before that became actions.

    Attributes:
        outputs: in the last step, `[slots, rows, outputs]`; None before the first.
    """

    outputs: Outputs | None


class DensePopulation:
    """Every slot a network of its own: a float32 row of weights, and an inference copy in any precision."""

    def __init__(
        self,
        policy: nn.Module,
        spaces: Spaces,
        slots: int,
        rows: int,
        *,
        precision: str = "float32",
        device: torch.device | None = None,
        cache_bytes: int = 256 << 20,
    ) -> None:
        """Allocate everything.

        Args:
            policy: says the layout and the layers; its own weights are not used.
            spaces: what the networks see and answer.
            slots: how many networks.
            rows: observations that each network gets in one step.
            precision: "float32", "bfloat16" or "int8", of the inference copies.
            device: where the networks live; the CPU by default.
            cache_bytes: bound on the memory for ancestors' weights.
        """
        self.slots, self.rows = slots, rows
        self.outputs: Outputs | None = None
        device = device or torch.device("cpu")
        self._actions = spaces.actions
        self._layout = Layout.of(policy)
        self._weights = torch.zeros(slots, self._layout.size, device=device)
        self.cache = ParentCache(self._layout, device, cache_bytes)
        self._forward = make_forward(
            policy, self._layout, spaces.observation_shape, slots, rows, DTYPES[precision], device
        )

    def fill(self, slot: int, genome: Individual, parent: Genome | None = None) -> None:
        """Write a genome's weights into a slot, from its parent's if it has one."""
        row = self._weights[slot]
        genome = expect_genome(genome)
        parent = parent or genome.parent()
        if parent is None:
            weights.initialise(genome.init_seed, self._layout, row)
        else:
            self.cache.write_child(parent, genome, row)
        self._forward.load(slot, row)

    def begin(self, slot: int, row: int) -> None:
        """An episode begins on a row."""
        self._forward.begin(slot, row)

    def weights(self, slot: int) -> Tensor:
        """The float32 weights of a slot, `[size]`."""
        return self._weights[slot]

    def act(self, observations: Observations, active: ActiveRows) -> Actions:
        """Feed every active row to its network, and choose."""
        self.outputs = self._forward(observations, active)
        return choose(self._actions, self.outputs)


def expect_genome(individual: Individual) -> Genome:
    """The individual as a genome. Raises TypeError if it is a member of an epoch, which has none."""
    if not isinstance(individual, Genome):
        raise TypeError(f"{individual} is no genome; allowed here: individuals of a genetic algorithm")
    return individual


def choose(actions: ActionSpace, outputs: Outputs) -> Actions:
    """From outputs, `[..., outputs]`, to actions: the largest, where a stick is, or numbers within bounds."""
    if isinstance(actions, DiscreteActions):
        return np.asarray(outputs.argmax(axis=-1), np.int64)
    if isinstance(actions, StickActions):
        return _pushed(actions, outputs)
    return _bounded(actions, outputs)


def _pushed(actions: StickActions, outputs: Outputs) -> Actions:
    """Comparisons of answers with each other alone, so the same under int8, whatever an answer's unit is."""
    directions, button, rest = outputs[..., :2], outputs[..., 2], outputs[..., 3:]
    pushed = np.where(np.abs(directions) > rest, np.sign(directions), 0).astype(np.int64) + 1
    return actions.table[pushed[..., 0], pushed[..., 1], (button > rest[..., 0]).astype(np.int64)]


def _bounded(actions: ContinuousActions, outputs: Outputs) -> npt.NDArray[np.float32]:
    """tanh, stretched to the bounds; a number without bounds on both sides is only clipped, or all are."""
    low, high = actions.low, actions.high
    if not actions.squash:
        return np.clip(outputs, low, high).astype(np.float32)
    bounded = np.isfinite(low) & np.isfinite(high)
    bottom, top = np.where(bounded, low, -1) / 2, np.where(bounded, high, 1) / 2  # halved: no sum overflows
    stretched = (top + bottom) + (top - bottom) * np.tanh(outputs)
    return np.clip(np.where(bounded, stretched, outputs), low, high).astype(np.float32)
