"""Fair share: whose work a worker gets."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import NamedTuple


class Claim(NamedTuple):
    """What one experiment may claim of the fleet.

    Attributes:
        leased: evaluations that are lent now.
        share: its part, relative to the others'.
    """

    leased: int
    share: int


def divide(n: int, claims: Sequence[Claim]) -> list[int]:
    """Divide room for n evaluations; what is lent approaches the shares: twice the share, twice the slots.

    What counts is the work that is out now, not the work that was done: slots are what workers have, so an
    experiment of long episodes gets no more of the fleet than one of short ones, and one that comes later
    starts at once. Ties go to the first.
    """
    parts = [0] * len(claims)
    if len(claims) == 1:
        return [n]
    heap = [(claim.leased / claim.share, i) for i, claim in enumerate(claims)]
    heapq.heapify(heap)
    for _ in range(n if claims else 0):
        _, i = heap[0]
        parts[i] += 1
        heapq.heapreplace(heap, ((claims[i].leased + parts[i]) / claims[i].share, i))
    return parts
