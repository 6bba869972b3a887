"""Weights of ancestors, kept on the device so that a child costs one noise pass."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor

from germline import weights
from germline.genome import Genome
from germline.weights import Layout


class ParentCache:
    """The most recently used ancestors' weights, `[size]` float32 each, within a bound on their bytes.

    An evicted ancestor's memory is used again for the next one.

    Attributes:
        hits: how often weights were asked for that were kept, and
        misses: how often they had to be made.
    """

    def __init__(self, layout: Layout, device: torch.device, max_bytes: int) -> None:
        """Start empty; a bound below one network caches none."""
        self._layout, self._device = layout, device
        self._capacity = max_bytes // (layout.size * 4)
        self._kept: OrderedDict[int, Tensor] = OrderedDict()
        self.hits = self.misses = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, genome_id: int) -> bool:
        return genome_id in self._kept

    @property
    def nbytes(self) -> int:
        """Bytes that it holds now."""
        return len(self._kept) * self._layout.size * 4

    def write_child(self, parent: Genome, child: Genome, out: Tensor) -> None:
        """Write the child's weights into `out`, and keep the parent's: more children will follow."""
        base = self._kept.get(parent.id)
        if base is None:
            base = self._keep(parent)
        else:
            self._use(parent)
        if base is None or child.last is None:
            weights.rebuild(child, self._layout, out)
        else:
            weights.mutate(out, base, child.last, self._layout)

    def weights_of(self, genome: Genome) -> Tensor:
        """A genome's weights, kept from now on; to be read before the next call, and not to be changed."""
        found = self._kept.get(genome.id)
        if found is not None:
            self._use(genome)
            return found
        kept = self._keep(genome)
        if kept is None:
            kept = torch.empty(self._layout.size, dtype=torch.float32, device=self._device)
            weights.rebuild(genome, self._layout, kept)
        return kept

    def _use(self, genome: Genome) -> None:
        self._kept.move_to_end(genome.id)
        self.hits += 1

    def _keep(self, genome: Genome) -> Tensor | None:
        """Rebuild a genome from its nearest kept ancestor, and keep it. None if nothing can be kept."""
        self.misses += 1
        if not self._capacity:
            return None
        made, start = self._nearest(genome)
        room = self._room()
        if start is None:
            weights.initialise(genome.init_seed, self._layout, room)
        else:
            room.copy_(start)
        for mutation in genome.since(made):
            weights.mutate(room, room, mutation, self._layout)
        self._kept[genome.id] = room
        return room

    def _nearest(self, genome: Genome) -> tuple[int, Tensor | None]:
        """How many mutations the longest kept ancestor has, and its weights."""
        if self._kept:
            for length, genome_id in reversed(list(enumerate(genome.ancestor_ids()))):
                if genome_id in self._kept:
                    return length, self._kept[genome_id]
        return 0, None

    def _room(self) -> Tensor:
        if len(self._kept) < self._capacity:
            return torch.empty(self._layout.size, dtype=torch.float32, device=self._device)
        return self._kept.popitem(last=False)[1]
