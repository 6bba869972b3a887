"""What workers say of one piece of work that several of them played, and who of them is wrong."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import NamedTuple

from germline.algorithms.means import mean_of

TOLERANCE = 0.25
"""Where kernels of two families play: by which part of the larger mean the two means may differ."""


class Outcome(enum.Enum):
    """What came of a check."""

    AGREED = "agreed"  # equal returns
    CLOSE = "close"  # within the tolerance, where that is all that can be asked
    DIFFERED = "differed"
    UNFINISHED = "unfinished"  # nobody was there to play it, or to decide


class Statement(NamedTuple):
    """What one worker says: its name, the family of kernels by which it plays, and its returns.

    The family is None where every machine plays alike, and of a worker that does not say.
    """

    worker: str
    kernels: str | None
    returns: tuple[float, ...]


class Judgement(NamedTuple):
    """What came of some statements, and the workers that are proven wrong by them."""

    outcome: Outcome
    wrong: tuple[str, ...] = ()


def judge(told: Sequence[Statement], *, differences_prove: bool) -> Judgement | None:
    """What at least two statements come to; None while another worker must decide.

    Where a difference proves that one of two is wrong, those are right of whom two say the same. Elsewhere
    the first two statements settle it, and nobody is wrong.
    """
    if not differences_prove:
        return Judgement(_compare(*told[:2]))
    said = [each.returns for each in told]
    right = next((returns for returns in said if said.count(returns) > 1), None)
    if right is None:
        return None
    wrong = tuple(each.worker for each in told if each.returns != right)
    return Judgement(Outcome.DIFFERED if wrong else Outcome.AGREED, wrong)


def _compare(first: Statement, second: Statement) -> Outcome:
    if first.returns == second.returns:
        return Outcome.AGREED
    if first.kernels is not None and first.kernels == second.kernels:
        return Outcome.DIFFERED
    means = mean_of(first.returns), mean_of(second.returns)
    is_close = abs(means[0] - means[1]) <= TOLERANCE * max(map(abs, means))
    return Outcome.CLOSE if is_close else Outcome.DIFFERED
