"""The population: a sliding window of the last results, kept in order of fitness.

Returns of games that were cut at different caps are different numbers, and members are ranked within their
cap only. When the cap grows, those under the cap before stand for the population until half a window has
played under the new one. So whoever breeds was chosen among many, and nobody leads for having played longer.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, deque
from collections.abc import Collection, Iterator
from typing import TypeAlias

from germline.algorithms.ga_settings import Replacement
from germline.algorithms.means import mean_with
from germline.genome import Genome


class Member:
    """An individual of the window.

    Attributes:
        genome: who it is.
        ticket: of its first evaluation; breaks ties of fitness in favour of the newer.
        fitness: what selection uses.
        episodes: how many episodes that rests on.
        in_flight: episodes asked for beyond those, and not told; under a cap those told, too, of whole games,
            as no fitness rests on them.
        cap_frames: after so many frames those episodes were cut; 0: they were whole games.
    """

    __slots__ = ("cap_frames", "episodes", "fitness", "genome", "in_flight", "ticket")

    def __init__(
        self,
        genome: Genome,
        ticket: int,
        fitness: float,
        episodes: int,
        in_flight: int = 0,
        cap_frames: int = 0,
    ) -> None:
        self.genome = genome
        self.ticket = ticket
        self.fitness = fitness
        self.episodes = episodes
        self.in_flight = in_flight
        self.cap_frames = cap_frames

    @property
    def planned(self) -> int:
        """Episodes told or on their way."""
        return self.episodes + self.in_flight


_Key: TypeAlias = tuple[int, float, int, Member]


class Window:
    """The last P results ("oldest" leaves) or the P best ("worst" leaves); O(log P) comparisons a result."""

    def __init__(self, capacity: int, replacement: Replacement) -> None:
        self._capacity = capacity
        self._replace_oldest = replacement == "oldest"
        self._ranked: list[_Key] = []  # by cap, and worst first
        self._arrived: deque[Member] = deque()  # oldest first; unused where the worst leaves
        self._by_id: dict[int, Member] = {}
        self._lengths: Counter[int] = Counter()  # how many members have a line of this length
        self._caps: Counter[int] = Counter()  # how many played under this cap

    def __len__(self) -> int:
        return len(self._ranked)

    def __iter__(self) -> Iterator[Member]:
        """Yield the members from worst to best, under one cap after the other."""
        return (key[-1] for key in self._ranked)

    def in_arrival_order(self) -> list[Member]:
        """The members as :meth:`add` must be told of them to get this window again."""
        return list(self._arrived) if self._replace_oldest else list(self)

    @property
    def longest_line(self) -> int:
        """Mutations of the member with the longest line; 0 without members."""
        return max(self._lengths, default=0)

    def find(self, individual_id: int) -> Member | None:
        """The member with this id, if it is still here."""
        return self._by_id.get(individual_id)

    @property
    def cap_frames(self) -> int:
        """Under which cap those played that are compared: see the module."""
        if len(self._caps) == 1:  # as nearly always, and every ask wants to know
            return next(iter(self._caps))
        enough = [cap for cap, members in self._caps.items() if 2 * members >= self._capacity]
        return max(enough, default=0) or max(self._caps, key=lambda cap: (self._caps[cap], cap), default=0)

    @property
    def comparable(self) -> int:
        """How many members are compared with each other: all, but where the cap has just grown."""
        return self._caps[self.cap_frames]

    def ranked(self, rank: int) -> Member:
        """The member at a rank among those that are compared: 0 is the worst, -1 the best."""
        first, end = self._bounds()
        return self._ranked[(first if rank >= 0 else end) + rank][-1]

    def best(self, limit: int) -> list[Member]:
        """The `limit` best of those that are compared, best first."""
        first, end = self._bounds()
        return [key[-1] for key in reversed(self._ranked[max(first, end - limit) : end])]

    def add(self, member: Member) -> None:
        """Take in a new individual; at capacity, one member leaves (under "worst", perhaps this very one)."""
        if len(self._ranked) == self._capacity:
            if not self._replace_oldest and _key(member) < self._ranked[0]:
                return
            self._remove(self._arrived.popleft() if self._replace_oldest else self._ranked[0][-1])
        insort(self._ranked, _key(member))
        self._by_id[member.genome.id] = member
        self._lengths[len(member.genome)] += 1
        self._caps[member.cap_frames] += 1
        if self._replace_oldest:
            self._arrived.append(member)

    def revise(self, member: Member, returns: tuple[float, ...]) -> None:
        """Let a member's fitness be the mean over these episodes too."""
        del self._ranked[bisect_left(self._ranked, _key(member))]
        member.fitness = mean_with(member.fitness, member.episodes, returns)
        member.episodes += len(returns)
        insort(self._ranked, _key(member))

    def forget(self, individuals: Collection[int]) -> list[Member]:
        """Let these individuals go, those that are here, whatever their fitness; return them."""
        gone = [self._by_id.pop(individual) for individual in individuals if individual in self._by_id]
        if gone:
            self._ranked = [key for key in self._ranked if key[-1].genome.id in self._by_id]
            self._arrived = deque(member for member in self._arrived if member.genome.id in self._by_id)
        for member in gone:
            self._uncount(member)
        return gone

    def _bounds(self) -> tuple[int, int]:
        """Where those that are compared stand."""
        if len(self._caps) == 1:
            return 0, len(self._ranked)
        cap_frames = self.cap_frames
        first = sum(members for cap, members in self._caps.items() if cap < cap_frames)
        return first, first + self._caps[cap_frames]

    def _remove(self, member: Member) -> None:
        del self._ranked[bisect_left(self._ranked, _key(member))]
        del self._by_id[member.genome.id]
        self._uncount(member)

    def _uncount(self, member: Member) -> None:
        for counter, of in ((self._lengths, len(member.genome)), (self._caps, member.cap_frames)):
            counter[of] -= 1
            if not counter[of]:
                del counter[of]


def _key(member: Member) -> _Key:
    return (member.cap_frames, member.fitness, member.ticket, member)
