"""One experiment's end of the journal: entries are numbered; snapshots come when they are due and cheap."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from germline.algorithms.base import Ask, Purpose
from germline.genome import Genome, Mutation
from germline.v1 import journal_pb2
from master.experiments.events import Created, State, StateChanged
from master.journal import channel as channel_module
from master.journal.channel import Channel
from master.journal.codec import Snapshot

INTERVAL_S = 60.0
PAUSED = StateChanged(State.PAUSED, 1.0, 2.0)
CHILD = Genome.founder(1).child(Mutation(2, 0.5))
ASKED = Ask(0, CHILD, Purpose.EXPLORE, (1,), Genome.founder(1).id)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(channel_module, "monotonic", clock)
    return clock


def opened(wake: Callable[[], None] = lambda: None, snapshot: Callable[[], None] = lambda: None) -> Channel:
    """A channel whose last entry is the seventh."""

    def take(position: int) -> Snapshot:
        snapshot()
        return Snapshot(position, Created(1, b"", 0.0), State.RUNNING, {}, {}, [])

    return Channel(1, "one", 7, take, wake)


def test_the_first_event_of_an_entry_wakes_the_committer_and_the_others_let_it_be(clock: Clock) -> None:
    woken: list[str] = []
    channel = opened(lambda: woken.append("woken"))
    for _ in range(3):
        channel.write(PAUSED)
    assert (woken, channel.queued) == (["woken"], [PAUSED] * 3)
    channel.cut_entry()
    channel.write(PAUSED)
    assert woken == ["woken", "woken"]


def test_a_new_channel_owes_the_store_nothing_and_rests_from_nothing(clock: Clock) -> None:
    channel = opened()
    assert (channel.name, channel.saved, channel.stored) == ("one", -1, 7)
    assert (channel.must_refill, channel.trouble, channel.rests_until_s) == (False, "", 0.0)
    assert not channel.saving.locked()


def test_an_entry_holds_what_was_queued_under_the_next_number(clock: Clock) -> None:
    channel = opened()
    for events in (2, 1):
        for _ in range(events):
            channel.write(PAUSED)
        entry = journal_pb2.JournalEntry.FromString(channel.cut_entry())
        assert (len(entry.events), channel.queued) == (events, [])
    assert (channel.number, channel.head, channel.events_since_snapshot) == (1, 9, 3)


def test_a_snapshot_is_due_after_its_interval_if_anything_happened(clock: Clock) -> None:
    channel = opened()
    clock.now += INTERVAL_S
    assert not channel.is_snapshot_due(INTERVAL_S)
    channel.write(PAUSED)
    channel.cut_entry()
    assert channel.is_snapshot_due(INTERVAL_S)
    clock.now -= 0.001
    assert not channel.is_snapshot_due(INTERVAL_S)


def test_a_snapshot_is_due_after_a_million_events_whenever_that_is(clock: Clock) -> None:
    channel = opened()
    channel.events_since_snapshot = 999_999
    assert not channel.is_snapshot_due(INTERVAL_S)
    channel.events_since_snapshot = 1_000_000
    assert channel.is_snapshot_due(INTERVAL_S)


def test_snapshots_take_a_hundredth_of_the_time_at_most(clock: Clock) -> None:
    def slow() -> None:
        clock.now += 2.0

    channel = opened(snapshot=slow)
    channel.cut_snapshot()
    channel.events_since_snapshot = 1_000_000
    clock.now += 197.9
    assert not channel.is_snapshot_due(INTERVAL_S)
    clock.now += 0.1
    assert channel.is_snapshot_due(INTERVAL_S)


def test_a_snapshot_is_of_the_last_entry_and_what_follows_explains_itself_again(clock: Clock) -> None:
    channel = opened()
    channel.write(ASKED)
    explained = channel.cut_entry()
    clock.now += INTERVAL_S
    assert channel.cut_snapshot().position == 8
    assert (channel.events_since_snapshot, channel.snapshot_time) == (0, clock.now)
    channel.write(ASKED)
    assert channel.cut_entry() == explained


def test_an_entry_is_cut_when_something_is_queued_and_none_before_it_waits_for_the_store(
    clock: Clock,
) -> None:
    channel = opened()
    channel.cut()
    assert (channel.outstanding, channel.has_work, channel.goal) == (None, False, 7)
    channel.write(PAUSED)
    assert (channel.has_work, channel.goal) == (True, 8)
    channel.cut()
    first = channel.outstanding
    assert first is not None
    assert (first[:2], channel.head, channel.goal, channel.has_work) == ((1, 8), 8, 8, True)
    assert len(journal_pb2.JournalEntry.FromString(first[2]).events) == 1
    channel.write(PAUSED)
    channel.cut()
    assert (channel.outstanding, channel.stored, channel.goal) == (first, 7, 9)
    channel.settle()
    assert (channel.outstanding, channel.stored) == (None, 8)
    channel.cut()
    assert channel.outstanding is not None
    assert channel.outstanding[1] == 9


def test_what_the_store_has_lost_is_taken_whole_in_place_of_all_that_was_written(clock: Clock) -> None:
    channel = opened()
    channel.write(PAUSED)
    channel.cut()
    channel.write(PAUSED)
    channel.must_refill = True
    assert channel.has_work
    assert channel.begin_refill().position == 9
    assert (channel.head, channel.queued, channel.outstanding) == (9, [], None)
    channel.write(PAUSED)
    channel.cut()
    assert channel.outstanding is None  # the whole comes first
    channel.settle()
    assert (channel.stored, channel.must_refill) == (9, False)


def test_an_experiment_that_the_store_does_not_take_rests_longer_and_longer_up_to_a_minute(
    clock: Clock,
) -> None:
    channel = opened()
    rests = []
    for _ in range(9):
        channel.rest("full")
        rests.append(channel.rests_until_s - clock.now)
    assert (rests, channel.trouble) == ([0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0], "full")
    channel.settle()
    assert channel.trouble == ""
    channel.rest("full")
    assert channel.rests_until_s == clock.now + 0.5
