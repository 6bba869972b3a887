"""Long work rests where it was told to, and not where somebody waits for it."""

from __future__ import annotations

import threading
from time import monotonic

import pytest

from germline import leisure
from germline.leisure import at_leisure, rest, resting


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long each rest was, in a clock of which a millisecond passes with every look."""
    taken: list[float] = []
    now_s = 0.0

    def clock() -> float:
        nonlocal now_s
        now_s += 0.001
        return now_s

    def wait(_event: threading.Event, timeout: float | None = None) -> bool:
        taken.append(timeout or 0.0)
        return False

    monkeypatch.setattr(leisure, "monotonic", clock)
    monkeypatch.setattr(threading.Event, "wait", wait)
    return taken


def test_work_at_leisure_rests_twice_as_long_as_it_works(rests: list[float]) -> None:
    with at_leisure(threading.Event()):
        rest()
        assert rests == []
        rest()
        assert rests == [pytest.approx(0.004)]


def test_items_come_as_they_are_and_the_clock_is_seldom_asked(rests: list[float]) -> None:
    with at_leisure(threading.Event()):
        assert list(resting(range(1_000))) == list(range(1_000))
    assert len(rests) == 2  # after 256 and 768 of them


def test_nobody_rests_elsewhere(rests: list[float]) -> None:
    with at_leisure(threading.Event()):
        pass
    for _ in range(10):
        rest()
    assert rests == []


def test_whoever_hurries_ends_a_rest_and_all_that_would_follow() -> None:
    hurry = threading.Event()
    hurry.set()
    began_s = monotonic()
    with at_leisure(hurry):
        for _ in range(3):
            leisure._here.since_s = monotonic() - 100.0  # so much work would be followed by the longest rest
            rest()
    assert monotonic() - began_s < leisure._LONGEST_S
