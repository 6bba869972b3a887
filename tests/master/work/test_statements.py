"""Who is wrong when workers differ, and where a difference proves nothing."""

import pytest

from master.work.statements import Judgement, Outcome, Statement, judge


def told(*words: str) -> list[Statement]:
    """Statements written as name=return, or name=return/family."""
    found = []
    for word in words:
        worker, _, rest = word.partition("=")
        value, _, kernels = rest.partition("/")
        found.append(Statement(worker, kernels or None, (float(value),)))
    return found


@pytest.mark.parametrize(
    ("words", "judgement"),
    [
        (["a=1", "b=1"], Judgement(Outcome.AGREED)),
        (["a=1", "b=2"], None),
        (["a=1", "b=2", "c=1"], Judgement(Outcome.DIFFERED, ("b",))),
        (["a=1", "b=2", "c=2"], Judgement(Outcome.DIFFERED, ("a",))),
        (["a=1", "b=2", "c=3"], None),
        (["a=1", "b=2", "c=3", "d=2"], Judgement(Outcome.DIFFERED, ("a", "c"))),
    ],
)
def test_where_a_difference_proves_those_are_right_of_whom_two_say_the_same(
    words: list[str], judgement: Judgement | None
) -> None:
    assert judge(told(*words), differences_prove=True) == judgement


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        (["a=10/k", "b=10/k"], Outcome.AGREED),
        (["a=10/k", "b=10.5/k"], Outcome.DIFFERED),  # one family must agree exactly
        (["a=10/k", "b=12/m"], Outcome.CLOSE),
        (["a=10/k", "b=15/m"], Outcome.DIFFERED),
        (["a=-12/k", "b=-10/m"], Outcome.CLOSE),
        (["a=0/k", "b=1/m"], Outcome.DIFFERED),
        (["a=10", "b=12"], Outcome.CLOSE),  # workers that do not say by which kernels they play
        (["a=10", "b=10"], Outcome.AGREED),
    ],
)
def test_in_floating_point_nobody_is_wrong(words: list[str], outcome: Outcome) -> None:
    assert judge(told(*words), differences_prove=False) == Judgement(outcome)
