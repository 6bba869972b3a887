"""Which share of the children acts differently from their parents, by which a power can be judged.

A child that plays a start which its parent has played, too, and comes to another return or another length,
acts differently. One that comes to the same may still act differently, where points are few: so the share is
a lower bound. A power at which children are copies of their parents wastes their games. Nothing of this
decides anything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from germline.algorithms.base import Ask, JsonValue, Result

_FEW = 64  # individuals that are not worth looking through


class Outcome(NamedTuple):
    """What came of an episode; `frames` is 0 where only those of several episodes together are known."""

    value: float
    frames: int


class Likeness:
    """Children held against their parents.

    Attributes:
        compared: children that played a start which their parent had played.
        different: those of them that came to something else.
    """

    def __init__(self) -> None:
        """Nobody was compared yet."""
        self.compared = self.different = 0
        self._played: dict[int, dict[tuple[int, int], Outcome]] = {}  # by individual; by seed and cap

    def tell(self, ask: Ask, result: Result) -> None:
        """Take a result in, and hold a child's against what is known of its parent."""
        frames = result.frames if len(result.returns) == 1 else 0
        plan = ((seed, ask.cap_frames) for seed in ask.episode_seeds)
        outcomes = {key: Outcome(value, frames) for key, value in zip(plan, result.returns, strict=True)}
        parent = self._played.get(ask.parent_id, {}) if ask.parent_id is not None else {}
        common = [(outcomes[key], parent[key]) for key in outcomes if key in parent]
        if common:
            self.compared += 1
            self.different += any(_differ(one, other) for one, other in common)
        self._played.setdefault(ask.genome.id, {}).update(outcomes)

    def forget(self, individuals: Collection[int]) -> None:
        """Let nothing be compared any more with what was told of these."""
        for individual in individuals:
            self._played.pop(individual, None)

    def forget_strangers(self, members: int, is_known: Callable[[int], bool]) -> None:
        """Keep only who may become a parent; seldom, as it looks at all. `members` are about so many."""
        if len(self._played) > 2 * members + _FEW:
            self._played = {i: played for i, played in self._played.items() if is_known(i)}

    def rows(self) -> list[JsonValue]:
        """The two counts, then what was played: for each episode individual, seed, cap, return and frames."""
        played = [
            [individual, seed, cap, outcome.value, outcome.frames]
            for individual, episodes in self._played.items()
            for (seed, cap), outcome in episodes.items()
        ]
        return [self.compared, self.different, played]

    def load(self, compared: int, different: int, played: Collection[Collection[Any]]) -> None:
        """Become what :meth:`rows` wrote."""
        self.compared, self.different = compared, different
        for individual, seed, cap, value, frames in played:
            self._played.setdefault(individual, {})[seed, cap] = Outcome(value, frames)


def _differ(one: Outcome, other: Outcome) -> bool:
    """Whether two episodes from one start went otherwise."""
    return one.value != other.value or bool(one.frames and other.frames and one.frames != other.frames)
