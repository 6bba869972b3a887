"""A population around a network's weights, as these packages have it: in pairs or not, odd or even."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from germline.compat.weighing import Floats, Spread, counted, shaped, standardised
from germline.eggroll import update
from germline.eggroll.exact import materialise_signed
from germline.eggroll.space import Space
from germline.low_rank import Drawn
from germline.pairs import NoiseKey

_VALUES_TO_KEEP = 1 << 22  # of a generation's noise between play and update: 16 MB
_WEIGHTS_AT_ONCE = 1 << 17  # of members that are written out: what stays in a cache
_UINT64_END = 1 << 64


def run_seed(seed: int | None) -> int:
    """The seed of a run's noise; without one, what torch's generator stands at: `manual_seed` decides.

    The generator is only looked at: nothing of it is used up.
    """
    if seed is not None:
        return seed % _UINT64_END
    state = torch.get_rng_state().numpy().tobytes()
    return int.from_bytes(hashlib.blake2b(state, digest_size=8).digest(), "little")


class Generation(NamedTuple):
    """The members of one generation.

    Attributes:
        word: counter word of its noise.
        members: how many.
        signs: members of one noise: 2 in antithetic pairs, otherwise 1.
        sigma: standard deviation of the noise.
    """

    word: int
    members: int
    signs: int
    sigma: float

    @property
    def noises(self) -> int:
        """How many noises they need; the last one of an odd number of members has no partner."""
        return -(-self.members // self.signs)

    def check(self) -> None:
        """Refuse what cannot be, by name."""
        if self.members < 1:
            raise ValueError(f"the population is {self.members}; allowed: at least 1")
        if not 0 <= self.sigma < math.inf:
            raise ValueError(f"sigma is {self.sigma}; allowed: finite, 0 or more")


class Population:
    """Members of a network, drawn, written out and followed.

    Attributes:
        network: its weights are the centre's, rounded to their type.
        space: what evolves.
        seed: of the noise.
        centre: `[space.size]` float32.
    """

    def __init__(self, network: nn.Module, space: Space, seed: int) -> None:
        self.network, self.space, self.seed = network, space, seed
        self._rank = max(p.noise.rank for p in space)
        self._kept: Drawn | None = None
        self.centre = self._written = space.read(network)

    def refresh(self) -> None:
        """Take over the network's weights, if somebody wrote others into it."""
        now = self.space.read(self.network)
        if not torch.equal(now, self._written):
            self.centre = self._written = now

    def put(self, centre: Tensor) -> None:
        """Move the centre, and the network with it."""
        self.space.write(centre, self.network)
        self.centre, self._written = centre, self.space.read(self.network)

    def key(self, generation: Generation) -> NoiseKey:
        """Where a generation's first noise lies."""
        return NoiseKey(self.seed, generation.word, 0)

    def drawn(self, generation: Generation) -> Drawn | None:
        """All of a generation's noise, if it is small enough to keep until the update; else None."""
        if self.space.values_per_pair * generation.noises > _VALUES_TO_KEEP:
            return None
        key, count = self.key(generation), generation.noises
        if self._kept is None or self._kept.key != key or self._kept.count != count:
            self._kept = Drawn(key, count, self.centre.device)
        return self._kept

    def blocks(self, generation: Generation) -> Iterator[Tensor]:
        """The members' exact weights, some at a time: `[signs, noises of the block, space.size]` float32."""
        generation.check()
        drawn, at_once = self.drawn(generation), max(1, _WEIGHTS_AT_ONCE // self.space.size)
        for start in range(0, generation.noises, at_once):
            count = min(at_once, generation.noises - start)
            key = NoiseKey(self.seed, generation.word, start)
            part = drawn.part(start, count) if drawn else Drawn(key, count, self.centre.device)
            rows = torch.empty(generation.signs, count, self.space.size, device=self.centre.device)
            materialise_signed(rows, self.centre, self.space, part, 0, generation.sigma)
            yield rows

    def members(self, generation: Generation) -> Iterator[Tensor]:
        """The members' exact weights, `[space.size]` each; in pairs: plus, minus, plus, minus ..."""
        left = generation.members
        for rows in self.blocks(generation):
            together = rows.transpose(0, 1).flatten(0, 1)[:left]
            left -= len(together)
            yield from together

    def follow(
        self,
        generation: Generation,
        fitness: Floats,
        learning_rate: float,
        spread: Spread | None,
        group_size: int = 0,
    ) -> None:
        """Move the centre along ``learning_rate * sigma * sqrt(N) * mean(z E)``, exactly; see `update`.

        Args:
            generation: whose fitness it is.
            fitness: `[members]`, in the order of :meth:`members`; who has no finite one counts for nothing,
                and neither does its partner.
            learning_rate: the factor.
            spread: see :func:`germline.compat.weighing.standardised`.
            group_size: the same.

        Raises:
            ValueError: if the learning rate is not finite; nothing has moved then.
        """
        if not math.isfinite(learning_rate):
            raise ValueError(f"the learning rate is {learning_rate}; allowed: finite")
        alive = counted(fitness, generation.signs)
        z = standardised(fitness, alive, spread, group_size)
        weights = shaped(z, generation.signs, self._rank, int(alive.sum()))
        if not weights.weights.any():
            return
        drawn = self.drawn(generation)
        gradient = update.estimate(
            self.space, self.key(generation), weights, generation.sigma, drawn, self.centre.device
        )
        self.put((self.centre.double() + gradient.mul_(learning_rate)).float())
