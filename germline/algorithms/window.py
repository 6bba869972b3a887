"""The population: a sliding window of the last results, kept in order of fitness.

Returns of games that were cut at different caps are different numbers, and members are ranked within their
cap only. When the cap grows, those under the cap before stand for the population until half a window has
played under the new one. So whoever breeds was chosen among many, and nobody leads for having played longer.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple, TypeAlias

from sortedcontainers import SortedList

from germline.algorithms.ga_settings import Replacement
from germline.algorithms.means import mean_with
from germline.genome import Genome


class Member(NamedTuple):
    """An individual of the window, as it stands: another one takes its place when more becomes known of it.

    Attributes:
        genome: who it is.
        ticket: of its first evaluation; breaks ties of fitness in favour of the newer.
        fitness: what selection uses.
        episodes: how many episodes that rests on.
        in_flight: episodes asked for beyond those, and not told; under a cap those told, too, of whole games,
            as no fitness rests on them.
        cap_frames: after so many frames those episodes were cut; 0: they were whole games.
        novelty: breaks ties of fitness where that is asked for, before the ticket does; 0 elsewhere.
        behaviour: what it did in its first evaluation; empty where nobody asks.
    """

    genome: Genome
    ticket: int
    fitness: float
    episodes: int
    in_flight: int = 0
    cap_frames: int = 0
    novelty: int = 0
    behaviour: bytes = b""

    @property
    def planned(self) -> int:
        """Episodes told or on their way."""
        return self.episodes + self.in_flight


_Key: TypeAlias = tuple[int, float, int, int, int]  # cap, fitness, novelty, ticket; and the individual's id


class Window:
    """The last P results ("oldest" leaves) or the P best (else); O(log P) comparisons a result."""

    def __init__(self, capacity: int, replacement: Replacement) -> None:
        self._capacity = capacity
        self._replace_oldest = replacement == "oldest"
        self._ranked: SortedList[_Key] = SortedList()  # by cap, and worst first
        self._arrived: deque[int] = deque()  # ids, oldest first; unused where the worst leaves
        self._by_id: dict[int, Member] = {}
        self._lengths: Counter[int] = Counter()  # how many members have a line of this length
        self._caps: Counter[int] = Counter()  # how many played under this cap

    def __len__(self) -> int:
        return len(self._ranked)

    def __iter__(self) -> Iterator[Member]:
        """Yield the members from worst to best, under one cap after the other."""
        return (self._by_id[key[-1]] for key in self._ranked)

    def freeze(self) -> Callable[[], Iterator[Member]]:
        """What yields the members of now, at any time; adding them in this order makes this window.

        It takes a hundredth of the time of looking at each member, in which nothing else can be done.
        """
        order = list(self._arrived) if self._replace_oldest else [key[-1] for key in self._ranked]
        by_id = self._by_id.copy()
        return lambda: (by_id[individual] for individual in order)

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
        return self._by_id[self._ranked[(first if rank >= 0 else end) + rank][-1]]

    def best(self, limit: int) -> list[Member]:
        """The `limit` best of those that are compared, best first."""
        first, end = self._bounds()
        keys = self._ranked.islice(max(first, end - limit), end, reverse=True)
        return [self._by_id[key[-1]] for key in keys]

    def add(self, member: Member) -> list[Member]:
        """Take in a new individual; at capacity, one member leaves (under "worst", perhaps this very one).

        Returns who left.
        """
        gone = self._leaving(member)
        if gone and gone[0] is member:
            return gone
        for each in gone:
            self._remove(each)
        self._ranked.add(_key(member))
        self._by_id[member.genome.id] = member
        self._lengths[len(member.genome)] += 1
        self._caps[member.cap_frames] += 1
        if self._replace_oldest:
            self._arrived.append(member.genome.id)
        return gone

    def _leaving(self, member: Member) -> list[Member]:
        """Who has no place any more when this individual comes."""
        if len(self._ranked) < self._capacity:
            return []
        if self._replace_oldest:
            return [self._by_id[self._arrived.popleft()]]
        worst = self._by_id[self._ranked[0][-1]]
        return [member if _key(member) < _key(worst) else worst]

    def revise(self, individual_id: int, returns: tuple[float, ...]) -> None:
        """Let a member's fitness be the mean over these episodes too."""
        member = self._by_id[individual_id]
        self._ranked.remove(_key(member))
        fitness = mean_with(member.fitness, member.episodes, returns)
        revised = member._replace(fitness=fitness, episodes=member.episodes + len(returns))
        self._by_id[individual_id] = revised
        self._ranked.add(_key(revised))

    def plan(self, individual_id: int, episodes: int) -> None:
        """Note that so many more episodes of this individual are on their way, or fewer; if it is here."""
        member = self._by_id.get(individual_id)
        if member is not None:
            in_flight = max(0, member.in_flight + episodes)
            self._by_id[individual_id] = member._replace(in_flight=in_flight)

    def forget(self, individuals: Collection[int]) -> list[Member]:
        """Let these individuals go, those that are here, whatever their fitness; return them."""
        gone = [self._by_id.pop(individual) for individual in individuals if individual in self._by_id]
        if gone:
            self._ranked = SortedList(key for key in self._ranked if key[-1] in self._by_id)
            self._arrived = deque(individual for individual in self._arrived if individual in self._by_id)
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
        self._ranked.remove(_key(member))
        del self._by_id[member.genome.id]
        self._uncount(member)

    def _uncount(self, member: Member) -> None:
        for counter, of in ((self._lengths, len(member.genome)), (self._caps, member.cap_frames)):
            counter[of] -= 1
            if not counter[of]:
                del counter[of]


def _key(member: Member) -> _Key:
    return member.cap_frames, member.fitness, member.novelty, member.ticket, member.genome.id
