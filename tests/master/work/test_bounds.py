"""What a result can be: its task's range and its protocol's frames, and what the master can reckon with."""

import math

import numpy as np
import pytest

from germline.algorithms.base import Ask, Purpose, Result
from germline.algorithms.slices import SliceAsk
from germline.genome import Genome
from germline.limits import FRAMES_OVER, LARGEST_RETURN, MOST_FRAMES
from germline.observed import Observed
from germline.spec import SpecError, loads
from master.errors import Refusal, UnscoredError
from master.experiments.events import returns_of
from master.work.bounds import ANYTHING, Bounds

TASKS = {
    "uber2018": '[task.atari]\ngame = "pong"\n[policy]\nname = "dqn2015"\n',
    "short": '[task.atari]\ngame = "pong"\nmax_frames = 400\n[policy]\nname = "dqn2015"\n',
    "gym": '[task.gym]\nid = "CartPole-v1"\nmax_steps = 50\n[policy]\nname = "mlp"\n',
    "free": '[task.gym]\nid = "CartPole-v1"\n[policy]\nname = "mlp"\n',
}
ASK = Ask(0, Genome.founder(1), Purpose.EXPLORE, (1, 2))


def bounds(task: str = "free", evaluation: str = "") -> Bounds:
    return Bounds.of(loads(f'name = "a"\n{TASKS[task]}[evaluation]\n{evaluation}\n[algorithm.ga]\n'))


def why_refused(bounds: Bounds, *returns: float, frames: int = 1, steps: int = 1) -> tuple[Refusal, str]:
    with pytest.raises(UnscoredError) as error:
        bounds.check(Result(0, returns, frames, steps), ASK)
    return error.value.code, str(error.value)


@pytest.mark.parametrize("value", [0.0, LARGEST_RETURN, -LARGEST_RETURN, 5e-324])
def test_what_is_finite_and_not_too_large_to_reckon_with_is_a_score(value: float) -> None:
    bounds().check(Result(0, (value, -value), 1, 1), ASK)


@pytest.mark.parametrize("value", [math.nextafter(LARGEST_RETURN, math.inf), -1e200, 1.7e308])
def test_what_is_too_large_to_reckon_with_is_refused_by_name(value: float) -> None:
    code, sentence = why_refused(bounds(), 1.0, value)
    assert (code, sentence) == (Refusal.OUT_OF_RANGE, f"returns[1] is {value:g}; allowed: -1e+30 to 1e+30")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused_by_name(value: float) -> None:
    assert why_refused(bounds(), value, 1.0) == (
        Refusal.NOT_FINITE, f"returns[0] is {value}; every return must be finite",
    )  # fmt: skip
    assert why_refused(bounds(), 1.0, value)[0] is Refusal.NOT_FINITE


@pytest.mark.parametrize("value", [-21.5, 22.0])
def test_a_return_outside_of_the_tasks_range_is_no_score(value: float) -> None:
    pong = bounds("uber2018", "lowest_return = -21.0\nhighest_return = 21.0")
    pong.check(Result(0, (-21.0, 21.0), 1, 1), ASK)
    assert why_refused(pong, 0.0, value) == (
        Refusal.OUT_OF_RANGE, f"returns[1] is {value:g}; allowed: -21 to 21",
    )  # fmt: skip


def test_a_range_that_holds_nothing_is_refused() -> None:
    with pytest.raises(
        SpecError, match=r"evaluation\.lowest_return is 2\.0; allowed: at most highest_return"
    ):
        bounds("free", "lowest_return = 2.0\nhighest_return = 1.0")


@pytest.mark.parametrize(("task", "cap"), [("uber2018", 20_000), ("short", 400), ("gym", 50)])
@pytest.mark.parametrize("field", ["frames", "steps"])
def test_more_frames_than_the_protocol_allows_are_refused(task: str, cap: int, field: str) -> None:
    most = 2 * (cap + FRAMES_OVER)
    bounds(task).check(Result(0, (0.0, 0.0), most, most), ASK)
    code, sentence = why_refused(bounds(task), 0.0, 0.0, **{field: most + 1})
    assert (code, sentence) == (
        Refusal.OUT_OF_RANGE, f"{field} is {most + 1:,}; allowed: 0 to {most:,}",
    )  # fmt: skip


def test_a_number_of_frames_that_no_counter_holds_is_refused_everywhere() -> None:
    assert why_refused(ANYTHING, 0.0, 0.0, frames=MOST_FRAMES + 1)[0] is Refusal.OUT_OF_RANGE


BEHAVED = bounds(
    evaluation='[behaviour]\ndescriptor = "observation"\nindices = [0, 2]\nlow = [-1]\nhigh = [1]'
)


def test_a_behaviour_has_two_bytes_for_each_number_of_the_spec() -> None:
    BEHAVED.check(Result(0, (1.0, 2.0), 1, 1, behaviour=bytes(4)), ASK)
    BEHAVED.check(Result(0, (1.0, 2.0), 1, 1, behaviour=b"\xff" * 4), ASK)


@pytest.mark.parametrize("behaviour", [b"", bytes(3), bytes(6)])
def test_a_behaviour_of_another_length_is_refused_by_name(behaviour: bytes) -> None:
    with pytest.raises(UnscoredError) as error:
        BEHAVED.check(Result(0, (1.0, 2.0), 1, 1, behaviour=behaviour), ASK)
    assert (error.value.code, str(error.value)) == (
        Refusal.WRONG_LENGTH,
        f"behaviour has {len(behaviour)} bytes; the work has 1 x 2 whole numbers of 2 bytes",
    )


def test_a_behaviour_that_nobody_asked_for_is_refused() -> None:
    with pytest.raises(UnscoredError, match="behaviour has 2 bytes; the work has 1 x 0 whole numbers"):
        bounds().check(Result(0, (1.0, 2.0), 1, 1, behaviour=bytes(2)), ASK)


def test_a_slice_has_a_behaviour_for_each_member_and_a_centre_has_one() -> None:
    for pairs, length in ((3, 24), (0, 4)):
        ask = SliceAsk(0, 0, 0, pairs, (1, 2) * (pairs or 1))
        returns = (1.0,) * returns_of(ask)
        BEHAVED.check(Result(0, returns, 1, 1, behaviour=bytes(length)), ask)
        with pytest.raises(UnscoredError, match="behaviour has 2 bytes"):
            BEHAVED.check(Result(0, returns, 1, 1, behaviour=bytes(2)), ask)


def normalised(ticket: int, observed: bytes) -> Result:
    return Result(ticket, (1.0, 2.0), 1, 1, observed=observed)


def test_what_was_seen_is_told_by_one_ticket_of_four_and_by_no_other() -> None:
    text = f'name = "a"\n{TASKS["free"]}normalise_observations = true\n[algorithm.ga]\n'
    learning, seen = Bounds.of(loads(text)), Observed(2, np.array([3.0]), np.array([5.0])).pack()
    learning.check(normalised(8, seen), ASK)
    learning.check(normalised(9, b""), ASK)
    for ticket, observed, problem in (
        (8, b"", "observed has 0 bytes; allowed: what was seen"),
        (9, seen, "observed has 24 bytes; allowed: nothing"),
        (8, seen[:-1], "observed has 23 bytes; allowed: 8, and 16 for each"),
    ):
        with pytest.raises(UnscoredError, match=problem):
            learning.check(normalised(ticket, observed), ASK)
    with pytest.raises(UnscoredError, match="allowed: nothing"):
        bounds().check(normalised(8, seen), ASK)
