"""How long a step may take: what the spec says, and much less where the steps that were seen say so."""

import pytest

from germline.spec import loads
from worker.playing.engine_builder import patience_with
from worker.playing.patience import FEW, LEAST_S, Patience

HOUR_S = 3_600.0


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def stepping(*, alike: bool, takes_s: float, steps: int = FEW) -> Patience:
    """The patience with the step that is under way, after so many that took so long."""
    clock = Clock()
    patience = Patience(HOUR_S, alike=alike, clock=clock)
    for _ in range(steps):
        with patience.step():
            clock.now += takes_s
    return patience


@pytest.mark.parametrize(
    ("takes_s", "longest_s"),
    [(0.01, LEAST_S), (LEAST_S / 100, LEAST_S), (10.0, 1_000.0), (60.0, HOUR_S)],
)
def test_a_step_among_its_like_is_given_up_after_a_hundred_times_the_longest(
    takes_s: float, longest_s: float
) -> None:
    patience = stepping(alike=True, takes_s=takes_s)
    with patience.step():
        assert patience.longest_s == longest_s


def test_the_first_steps_and_what_is_done_between_steps_have_all_the_time_of_the_spec() -> None:
    patience = stepping(alike=True, takes_s=0.01, steps=FEW - 1)
    with patience.step():
        assert patience.longest_s == HOUR_S
    assert patience.longest_s == HOUR_S
    with patience.step():
        assert patience.longest_s == LEAST_S


def test_an_evaluation_that_is_one_call_may_take_what_the_spec_says_however_short_others_were() -> None:
    patience = stepping(alike=False, takes_s=0.01)
    with patience.step():
        assert patience.longest_s == HOUR_S


@pytest.mark.parametrize(
    ("task", "longest_s"),
    [('[task.atari]\ngame = "pong"\n', LEAST_S), ('[task.function]\npath = "a:f"\n', HOUR_S)],
)
def test_the_steps_of_games_are_alike_and_those_of_functions_are_not(task: str, longest_s: float) -> None:
    policy = "linear" if "atari" in task else "vector"
    patience = patience_with(loads(f'name = "one"\n{task}[policy]\nname = "{policy}"\n[algorithm.ga]\n'))
    for _ in range(FEW):
        with patience.step():
            pass
    with patience.step():
        assert patience.longest_s == longest_s
