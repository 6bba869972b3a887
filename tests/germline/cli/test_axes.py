"""What a sweep varies, as it is written on a command line, and the trials that come of it."""

import pytest

from germline.cli.axes import Axis, Choices, Planned, Range, Trial, at_random, grid, read_axis
from germline.cli.errors import CommandError
from germline.cli.sweep_search import OptunaSearch

POWER = "algorithm.ga.power"


@pytest.mark.parametrize(
    ("text", "axis"),
    [
        ("a.b=1,2", Choices("a.b", (1, 2))),
        ("a.b=0.5", Choices("a.b", (0.5,))),
        ("a.b=x, y", Choices("a.b", ("x", "y"))),
        ('a.b="x,y",3', Choices("a.b", ("x,y", 3))),
        ("policy.hidden=[8],[8, 8]", Choices("policy.hidden", ([8], [8, 8]))),
        ("a=1..5", Range("a", 1, 5, whole=True, log=False)),
        ("a=0.1..5", Range("a", 0.1, 5, whole=False, log=False)),
        ("a=-1.5..1.5", Range("a", -1.5, 1.5, whole=False, log=False)),
        ("a=1e-4..1e-1:log", Range("a", 1e-4, 1e-1, whole=False, log=True)),
    ],
)
def test_an_axis_is_read_as_it_is_meant(text: str, axis: Axis) -> None:
    assert read_axis(text) == axis


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("power", "is no axis; allowed: path=a,b,c"),
        ("power=", "is no axis"),
        ("a=5..1", "allowed: a number, .., and a larger one"),
        ("a=x..y", "allowed: a number, .., and a larger one"),
        ("a=0..1:log", "both bounds are above 0"),
    ],
)
def test_what_is_no_axis_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        read_axis(text)


def test_a_grid_has_every_combination_and_the_last_axis_changes_fastest() -> None:
    axes = [Choices("a", (1, 2)), Choices("b", ("x", "y"))]
    assert grid(axes) == [{"a": a, "b": b} for a in (1, 2) for b in ("x", "y")]
    with pytest.raises(ValueError, match="a has a range, which no grid covers"):
        grid([Range("a", 1, 2, whole=True, log=False)])


def test_random_trials_stay_inside_and_come_again_under_their_seed() -> None:
    axes = [read_axis("a=1e-4..1e-1:log"), read_axis("b=1..3"), read_axis("c=x,y"), read_axis("d=1..4:log")]
    drawn = at_random(axes, 300, seed=4)
    assert drawn == at_random(axes, 300, seed=4)
    assert drawn != at_random(axes, 300, seed=5)
    values = [float(str(each["a"])) for each in drawn]
    assert all(1e-4 <= value <= 1e-1 for value in values)
    assert 0.4 < sum(value < 10**-2.5 for value in values) / 300 < 0.6, "the logarithm is uniform"
    assert {each["b"] for each in drawn} == {1, 2, 3}
    assert {each["c"] for each in drawn} == {"x", "y"}
    assert {each["d"] for each in drawn} == {1, 2, 3, 4}


def test_planned_trials_come_in_order_and_end() -> None:
    search = Planned([{"a": 1}, {"a": 2}])
    assert [search.next(), search.next(), search.next()] == [Trial(1, {"a": 1}), Trial(2, {"a": 2}), None]


def test_optuna_learns_from_what_it_is_told_and_goes_on_where_it_was() -> None:
    axes = [read_axis("a=0.0..1.0"), read_axis("b=x,y"), read_axis("c=1..9")]
    search = OptunaSearch(axes, 40, seed=1)
    told = []
    while (trial := search.next()) is not None:
        value = None if trial.number == 3 else -((float(str(trial.changes["a"])) - 0.3) ** 2)
        search.tell(trial, value)
        told.append(trial)
    assert [trial.number for trial in told] == list(range(1, 41))
    late = [abs(float(str(trial.changes["a"])) - 0.3) for trial in told[20:]]
    assert sorted(late)[10] < 0.1, "half of the later trials are near the best"
    again = OptunaSearch(axes, 40, seed=1, earlier=[trial.changes for trial in told[:5]])
    assert [again.next() for _ in range(5)] == told[:5]


def test_a_missing_optuna_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(CommandError, match=r"pip install 'germline\[sweep\]'"):
        OptunaSearch([read_axis(f"{POWER}=1,2")], 1, seed=0)
