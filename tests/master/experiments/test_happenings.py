"""What people ask about later is remembered where it was, each kind for itself."""

import pytest

from germline.algorithms.base import NewChampion
from germline.genome import Genome, Mutation, format_id
from germline.spec import loads
from master.experiments.events import (
    Discarded,
    Event,
    MasterStarted,
    MembersTold,
    Quarantined,
    Released,
    State,
    StateChanged,
    StopChanged,
)
from master.experiments.happenings import (
    MOST_OF_A_KIND,
    NOTED,
    Happenings,
    Kind,
    of_cap,
    of_event,
    of_search,
)

SPEC = """
name = "limited"
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[algorithm.ga]
[stop]
evaluations = 7000
"""


def stop_of(text: str) -> bytes:
    return loads(text).stop.SerializeToString()


def test_what_happens_often_never_hides_what_happens_seldom() -> None:
    happened = Happenings()
    happened.add(Kind.MASTER, "the master started anew", 3, 12, 99.5)
    happened.running_s = 7.0
    for number in range(3 * MOST_OF_A_KIND):
        happened.add(Kind.CHAMPION, f"champion {number}", number, 4 * number)
    kept = list(happened)
    assert happened.count == 3 * MOST_OF_A_KIND + 1
    assert len(kept) == MOST_OF_A_KIND + 1
    assert kept[0] == (1, Kind.MASTER, "the master started anew", 99.5, 3, 12, 0.0)
    assert kept[-1] == (151, Kind.CHAMPION, "champion 149", 0.0, 149, 596, 7.0)
    assert [each.number for each in kept] == sorted(each.number for each in kept)


def test_a_snapshot_brings_it_all_back_and_one_of_an_earlier_build_brings_nothing() -> None:
    happened, again = Happenings(), Happenings()
    happened.running_s = 2.5
    for kind in (Kind.CAP, Kind.STATE, Kind.CAP):
        happened.add(kind, "x" * 1_000, 5, 6)
    again.restore({"running_s": 9.0, **happened.snapshot()})
    assert (list(again), again.count, again.running_s) == (list(happened), 3, 2.5)
    assert len(next(iter(again)).text) == 300
    again.restore({"running_s": 9.0})
    assert (list(again), again.count, again.running_s) == ([], 0, 9.0)


@pytest.mark.parametrize(
    ("event", "sentence", "time"),
    [
        (StateChanged(State.RUNNING, 5.0, 1.0), "it goes on", 5.0),
        (StateChanged(State.COMPLETE, 5.0, 1.0), "it is complete", 5.0),
        (StateChanged(State.PAUSED, 5.0, 1.0, "too many failed"), "it is paused: too many failed", 5.0),
        (StopChanged(stop_of(SPEC)), "its end was changed: stop.evaluations is 7,000", 0.0),
        (StopChanged(b""), "its end was changed: it runs until it is stopped", 0.0),
        (MasterStarted(8.0, took_over=False), "the master started anew", 8.0),
        (MasterStarted(8.0, took_over=True), "a waiting master took over", 8.0),
        (Quarantined("w", "it lies", 9.0, (1,)), "worker w is in quarantine: it lies", 9.0),
        (Released("w"), "worker w is out of quarantine", 0.0),
        (Discarded(1, (4, 5)), "2 results do not count: their worker's centre was not the others'", 0.0),
    ],
)
def test_an_event_is_a_sentence(event: Event, sentence: str, time: float) -> None:
    noted = of_event(event)
    assert noted is not None
    assert noted[1:] == (sentence, time)
    assert type(event) in NOTED


def test_what_people_need_not_see_is_no_sentence() -> None:
    assert of_event(MembersTold(1, 0, (1.0,), 3.0)) is None


def test_a_champion_and_a_cap_are_sentences() -> None:
    genome = Genome.founder(1).child(Mutation(2, 0.5))
    (sentence,) = of_search([NewChampion(genome, 3.0, 5)])
    assert sentence == f"the new champion is {format_id(genome.id)}, of 1 mutation"
    assert of_cap(0, 1_000).endswith("after 1,000 frames, no longer played to their end")
    assert of_cap(1_000, 2_000).endswith("after 2,000 frames, no longer after 1,000")
