"""What is told becomes records: individuals, members of a slice, members of an own population."""

import math
import struct

import numpy as np

from germline.algorithms.base import Ask, Purpose, Result
from germline.algorithms.slices import SliceAsk
from germline.archive.record import CENTRE, FOUNDER, MEASUREMENT, MEMBER, REPLAY, member_id
from germline.genome import Genome, Mutation
from master.archive.recorder import Recorder
from master.experiments.events import MembersTold, SetAside, Told

FOUNDER_GENOME = Genome.founder(2**63 + 5)
CHILD = FOUNDER_GENOME.child(Mutation(2**64 - 1, 0.5, 3))


def recorder() -> Recorder:
    found = Recorder()
    found.is_kept = True
    return found


def test_an_individual_is_recorded_with_all_that_rebuilds_and_replays_it() -> None:
    book = recorder()
    seeds = (2**64 - 1, 4)
    book.note(Ask(0, FOUNDER_GENOME, Purpose.EXPLORE, (9,)), Told(Result(0, (1.5,), 400, 100), 1, 2.5))
    book.note(
        Ask(1, CHILD, Purpose.EXPLORE, seeds, FOUNDER_GENOME.id, 2_000),
        Told(Result(1, (1.0, 4.0), 2**40, 100, cut=1), 70_000, 1e9),
    )
    book.note(Ask(2, CHILD, Purpose.VALIDATE, (3,)), Told(Result(2, (-7.0,), 8, 2), 2, 3.0))
    book.note(Ask(3, CHILD, Purpose.MEASURE, (3,)), Told(Result(3, (-7.0,), 8, 2), 2, 3.0))
    first, records = book.take()
    assert (first, book.count) == (0, 4)
    assert records["individual"].tolist() == [FOUNDER_GENOME.id, CHILD.id, CHILD.id, CHILD.id]
    assert records["parent"].tolist() == [0, *[FOUNDER_GENOME.id] * 3]
    assert records["mutation"].tolist() == [2**63 + 5, *[2**64 - 1] * 3]
    assert records["power"].tolist() == [0.0, 0.5, 0.5, 0.5]
    assert records["rank"].tolist() == [0, 3, 3, 3]
    assert records["seed"].tolist() == [9, 2**64 - 1, 3, 3]
    assert records["fitness"].tolist() == [1.5, 2.5, -7.0, -7.0]
    assert records["episodes"].tolist() == [1, 2, 1, 1]
    assert records["frames"].tolist() == [400, 2**32 - 1, 8, 8]
    assert records["running_cs"].tolist() == [250, 2**32 - 1, 300, 300]
    assert records["cap_frames"].tolist() == [0, 2_000, 0, 0]
    assert records["worker"].tolist() == [1, 65_535, 2, 2]
    assert records["flags"].tolist() == [FOUNDER, 0, REPLAY, REPLAY | MEASUREMENT]


def test_the_first_eight_numbers_of_a_behaviour_are_recorded() -> None:
    book = recorder()
    for ticket, numbers in enumerate([(1, 65_535), (), tuple(range(10, 30))]):
        behaviour = struct.pack(f"<{len(numbers)}H", *numbers)
        result = Result(ticket, (0.0,), 1, 1, behaviour=behaviour)
        book.note(Ask(ticket, FOUNDER_GENOME, Purpose.EXPLORE, (9,)), Told(result, 1, 0.0))
    _, records = book.take()
    assert records["behaviours"].tolist() == [2, 0, 8]
    assert records["behaviour"].tolist() == [
        [1, 65_535, 0, 0, 0, 0, 0, 0], [0] * 8, list(range(10, 18))
    ]  # fmt: skip


def test_a_slice_is_a_record_for_each_member_and_the_centre_is_one() -> None:
    book = recorder()
    ask = SliceAsk(40, 4, 10, 2, (7, 8, 9, 10))  # two episodes a member
    behaviour = struct.pack("<8H", *range(8))
    told = Told(Result(40, (1.0, 3.0, 5.0, 5.0, 0.0, 2.0, 9.0, 9.0), 10, 4, behaviour=behaviour), 3, 1.0)
    book.note(ask, told)
    book.note(SliceAsk(41, 4, 0, 0, (1, 2)), Told(Result(41, (4.0, 6.0), 10, 4), 3, 1.0))
    _, records = book.take()
    assert records["individual"].tolist() == [member_id(4, m) for m in (20, 21, 22, 23, CENTRE)]
    assert records["fitness"].tolist() == [2.0, 5.0, 1.0, 9.0, 5.0]
    assert records["seed"].tolist() == [7, 7, 9, 9, 1]
    assert records["frames"].tolist() == [3, 3, 2, 2, 10]
    assert records["flags"].tolist() == [MEMBER] * 4 + [MEMBER | MEASUREMENT]
    assert records["behaviour"][:4, :2].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_of_a_slice_that_was_set_aside_those_members_count_that_were_scored() -> None:
    book = recorder()
    ask = SliceAsk(40, 4, 10, 2, (7, 9))
    book.note_aside(ask, SetAside(40, (1.0, math.nan, 3.0, 4.0), 2, "w", "it broke", 1.0))
    book.note_aside(Ask(1, CHILD, Purpose.EXPLORE, (3,)), SetAside(1, (), 2, "w", "it broke", 1.0))
    _, records = book.take()
    assert records["fitness"].tolist() == [3.0, 4.0]
    assert book.count == 2


def test_members_of_an_own_population_are_recorded_but_for_what_is_no_number() -> None:
    book = recorder()
    book.note_members(MembersTold(2, 5, (1.0, math.inf, 3.0), 4.0))
    _, records = book.take()
    assert records["individual"].tolist() == [member_id(2, 5), member_id(2, 7)]
    assert records["fitness"].tolist() == [1.0, 3.0]


def test_a_recorder_whose_records_nobody_takes_only_counts_them() -> None:
    book = Recorder()
    for ticket in range(5_000):
        ask = Ask(ticket, FOUNDER_GENOME, Purpose.EXPLORE, (9,))
        book.note(ask, Told(Result(ticket, (1.5,), 400, 100), 1, 2.5))
    assert book.count == 5_000
    assert len(book.take().records) == 0


def test_what_is_not_taken_yet_is_numbered_from_where_the_last_taking_ended() -> None:
    book = recorder()
    numbers = []
    for ticket in range(3_000):
        ask = Ask(ticket, FOUNDER_GENOME, Purpose.EXPLORE, (9,))
        book.note(ask, Told(Result(ticket, (float(ticket),), 400, 100), 1, 2.5))
        if ticket % 700 == 0:
            first, records = book.take()
            numbers += list(range(first, first + len(records)))
            assert records["fitness"].tolist() == [float(n) for n in numbers[-len(records) :]]
    assert numbers == list(range(2_801))
    assert np.isfinite(book.take().records["fitness"]).all()
