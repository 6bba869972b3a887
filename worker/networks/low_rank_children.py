"""Children of few parents, by low-rank mutations, which share their parents' arithmetic.

What a low-rank child's score means: its small matrices and biases are exactly its weights
(:mod:`germline.weights`), convolutions rounded to the precision, small linear layers in float32; a large
matrix is its parent's, rounded, and the mutation's product is added to the result. In float32 that is the
materialised network up to the order of sums; in bfloat16 it differs from it by how the parent's weights are
rounded. So a score belongs to (genome, episode seeds, protocol, precision, this way of playing), and is the
same whenever, wherever and beside whomever the child plays: a re-play of a candidate too is played from its
parent.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from germline.eggroll import Space
from germline.genome import Genome
from germline.pairs import NoiseKey
from germline.weights import Layout
from worker.networks.forward.base import DTYPES, ActiveRows, Outputs
from worker.networks.forward.family import FamilyForward
from worker.networks.parent_cache import ParentCache
from worker.networks.policies.stages import Staged
from worker.networks.population import Individual, choose, expect_genome
from worker.tasks.base import Actions, Observations, Spaces

_NO_NOISE = NoiseKey(0)


class LitterPopulation:
    """Slots of children whose parents' large matrices are held once each. A :class:`Population`."""

    def __init__(
        self,
        policy: nn.Module,
        spaces: Spaces,
        slots: int,
        rows: int,
        *,
        rank: int,
        precision: str = "float32",
        cache_bytes: int = 256 << 20,
    ) -> None:
        """Allocate `slots` children.

        Args:
            policy: a plain line of layers; its own weights are not used.
            spaces: what the networks see and answer.
            slots: how many networks.
            rows: observations that each network gets in one step.
            rank: of the mutations.
            precision: "float32" or "bfloat16", of the arithmetic.
            cache_bytes: bound on the memory for ancestors' weights.
        """
        self.slots, self.rows = slots, rows
        self.outputs: Outputs | None = None
        self._actions = spaces.actions
        self._rank = rank
        self.cache = ParentCache(Layout.of(policy), torch.device("cpu"), cache_bytes)
        self._family = FamilyForward(
            cast(Staged, policy), Space.of(policy, rank), spaces, slots, rows, DTYPES[precision], bases=slots
        )
        self._base_of_slot: list[int | None] = [None] * slots
        self._bases: dict[int, int] = {}  # genome id, number of the base

    def fill(self, slot: int, genome: Individual, parent: Genome | None = None) -> None:
        """Make a slot a child of its parent; whoever has none, or other noise, is a family of its own."""
        genome = expect_genome(genome)
        parent = parent or genome.parent()
        last = genome.last
        if parent is None or last is None or last.rank != self._rank:
            self._join(slot, genome, _NO_NOISE, 0.0)
        else:
            self._join(slot, parent, NoiseKey(last.seed), last.power)

    def begin(self, slot: int, row: int) -> None:
        """An episode begins; plain lines of layers remember nothing."""

    def act(self, observations: Observations, active: ActiveRows) -> Actions:
        """Feed every active row to its network, and choose."""
        self.outputs = self._family(observations, active)
        return choose(self._actions, self.outputs)

    def _join(self, slot: int, base: Genome, key: NoiseKey, scale: float) -> None:
        weights = self.cache.weights_of(base)
        self._base_of_slot[slot] = None
        self._family.bind(slot, self._base(base, weights), weights, key, scale)
        self._base_of_slot[slot] = self._bases[base.id]

    def _base(self, genome: Genome, weights: Tensor) -> int:
        """The number of a base; a new one takes the place of one that no slot uses."""
        if genome.id not in self._bases:
            used = {base for base in self._base_of_slot if base is not None}
            idle = [known for known, number in self._bases.items() if number not in used]
            is_full = len(self._bases) == self.slots
            number = self._bases.pop(idle[0]) if is_full else len(self._bases)
            self._family.set_base(number, weights)
            self._bases[genome.id] = number
        return self._bases[genome.id]
