"""How an experiment is followed: outages of a tracker, damaged cursors, names, and what becomes of a row."""

import dataclasses
import json
import math
import re
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import pytest

from germline.client import Experiment, HistoryPoint, Individual
from germline.spec import loads
from germline.trackers import Champion, Cursor, Follower, Row, TrackerError, describe, make_tracker, to_rows

SPEC = loads('name = "ant"\n[task.gym]\nid = "CartPole-v1"\n[policy]\nname = "mlp"\n[algorithm.ga]\n')
CHAMPION = Individual(0xAB, 1.0, 3, 1.5, 4, math.inf, None)
LOOK = Experiment(
    number=1, name="ant", spec=SPEC, state="complete", created=datetime(2026, 11, 20, tzinfo=UTC),
    evaluations=30, episodes=30, frames=300, steps=300, running_s=3.0, frames_per_second=100.0,
    evaluations_per_second=10.0, fitness_quantiles=(1.0,) * 5, best_fitness=math.nan, champion=CHAMPION,
    population=3, lineage_depth=4, leased=0, workers=2, leases_lost=0, epochs=0, centre_digest="",
)  # fmt: skip
POINTS = [HistoryPoint(n, 10 * n, n / 10, (1.0, 2.0, 3.0, 4.0, math.nan), None) for n in (10, 20, 30)]


class Notebook:
    """A tracker that keeps rows in a list, and is away as often as a test wants."""

    def __init__(self, failures: int = 0) -> None:
        self.rows: list[Row] = []
        self.shown: list[str] = []
        self.closed: list[bool] = []
        self._failures = failures

    def resume(self, after: int) -> int:
        return after

    def log(self, rows: Sequence[Row]) -> None:
        if self._failures:
            self._failures -= 1
            raise ConnectionError("no route to host")
        self.rows += rows

    def show(self, champion: Champion) -> None:
        self.shown.append(champion.id)

    def close(self, *, is_over: bool) -> None:
        self.closed.append(is_over)


class Run:
    """A source that shows these points, and no more."""

    def __init__(self, looks: Sequence[Experiment], points: Sequence[HistoryPoint] = POINTS) -> None:
        self._looks, self._points = looks, list(points)

    def watch(self, _interval_s: float) -> Sequence[Experiment]:
        return self._looks

    def history(self) -> list[HistoryPoint]:
        return self._points


def follow(tracker: Notebook, cursor: Cursor, run: Run, **named: object) -> Follower:
    follower = Follower(tracker, cursor, **named)  # type: ignore[arg-type]
    follower.follow(lambda: nullcontext(run), 1.0)  # type: ignore[arg-type]
    return follower


@pytest.fixture
def cursor(tmp_path: Path) -> Cursor:
    return Cursor(tmp_path / "notebook.json", "a-1")


def test_an_outage_is_waited_out_is_said_once_and_costs_no_row(
    cursor: Cursor, caplog: pytest.LogCaptureFixture
) -> None:
    waited: list[float] = []
    tracker = Notebook(failures=8)
    follower = follow(tracker, cursor, Run([LOOK]), sleep=waited.append)
    assert [row.evaluations for row in tracker.rows] == [10, 20, 30]
    assert follower.told == 3
    assert waited == [1, 2, 4, 8, 16, 30, 30, 30]
    assert [record.message for record in caplog.records] == [
        "ConnectionError: no route to host; trying again until it works",
        "it works again; nothing was lost",
    ]
    assert tracker.closed == [True]


def test_a_tracker_that_cannot_begin_is_an_error_and_no_outage(cursor: Cursor) -> None:
    class Refused(Notebook):
        def resume(self, after: int) -> int:
            raise PermissionError("wrong key")

    with pytest.raises(TrackerError, match="cannot begin: PermissionError: wrong key"):
        follow(Refused(), cursor, Run([LOOK]))


def test_rows_that_may_have_been_taken_are_told_again_as_they_were(cursor: Cursor, tmp_path: Path) -> None:
    pending = to_rows(LOOK, POINTS[:2], 0)
    cursor.begin(pending)
    later = dataclasses.replace(LOOK, evaluations_per_second=77.0)
    tracker = Notebook()
    follow(tracker, Cursor(tmp_path / "notebook.json", "a-1"), Run([later]))
    assert tracker.rows[:2] == pending
    assert [row.evaluations for row in tracker.rows] == [10, 20, 30]


def test_a_champion_is_shown_once_at_most_one_a_minute_and_the_last_in_any_case(cursor: Cursor) -> None:
    champions = [dataclasses.replace(CHAMPION, id=number) for number in (1, 1, 2, 3)]
    looks = [dataclasses.replace(LOOK, state="running", champion=each) for each in champions]
    times = iter([0.0, 0.0, 30.0, 30.0, 30.0, 90.0, 90.0])
    tracker = Notebook()

    def present(look: Experiment) -> Champion:
        assert look.champion is not None
        return Champion(f"{look.champion.id:016x}", look.evaluations, "")

    run = Run([*looks[:3], dataclasses.replace(looks[3], state="complete")])
    follow(tracker, cursor, run, present=present, clock=lambda: next(times))
    assert tracker.shown == [f"{1:016x}", f"{3:016x}"]


def test_a_row_has_only_finite_numbers_and_the_newest_what_only_a_look_knows() -> None:
    first, _, newest = to_rows(LOOK, POINTS, 0)
    assert set(first.values) == {
        "frames",
        "running_s",
        "fitness/q00",
        "fitness/q10",
        "fitness/q50",
        "fitness/q90",
    }
    assert first.time_s == LOOK.created.timestamp() + 1.0
    assert newest.values["champion/mutations"] == 3
    assert {"fitness/best", "champion/half_width", "champion/mean"}.isdisjoint(newest.values)
    assert {name for name in newest.values if name.startswith(("speed", "fleet"))} == {
        "speed/evaluations_per_s", "speed/frames_per_s", "fleet/workers", "fleet/leases_lost",
    }  # fmt: skip


def test_points_that_were_told_or_do_not_rise_make_no_rows() -> None:
    assert [row.evaluations for row in to_rows(LOOK, [*POINTS, POINTS[0]], 10)] == [20, 30]


def test_a_run_is_the_same_wherever_it_is_read_and_another_when_it_is_made_anew(tmp_path: Path) -> None:
    extended = dataclasses.replace(LOOK, evaluations=99)
    anew = dataclasses.replace(LOOK, created=datetime(2026, 11, 21, tzinfo=UTC))
    run = describe(LOOK, tmp_path)
    assert run.id == describe(extended, Path("/")).id != describe(anew, tmp_path).id
    assert run.id.startswith("ant-")
    assert run.config["task.gym.id"] == "CartPole-v1"
    assert run.tags["germline.algorithm"] == "ga"


def test_a_damaged_cursor_or_that_of_another_run_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "notebook.json"
    file.write_text('{"after": ')
    with pytest.raises(TrackerError, match=r"notebook\.json is damaged.*delete it"):
        Cursor(file, "a-1")
    Cursor(tmp_path / "other.json", "b-2").begin([])
    (tmp_path / "other.json").rename(file)
    with pytest.raises(TrackerError, match=r"is of run b-2 .* this is a-1"):
        Cursor(file, "a-1")


def test_a_cursor_is_kept_whole_and_two_cannot_have_it_at_once(tmp_path: Path, cursor: Cursor) -> None:
    rows = [Row(10, 1.5, {"frames": 0.1})]
    cursor.begin(rows)
    assert Cursor(tmp_path / "notebook.json", "a-1").pending == rows
    cursor.done("ab")
    assert json.loads((tmp_path / "notebook.json").read_text())["pending"] == []
    with (
        cursor.locked(),
        pytest.raises(TrackerError, match="another process"),
        Cursor(tmp_path / "notebook.json", "a-1").locked(),
    ):
        pytest.fail("two have it")


def test_a_tracker_that_lost_rows_is_told_them_again_and_one_that_holds_more_is_not(cursor: Cursor) -> None:
    cursor.begin(to_rows(LOOK, POINTS[:2], 0))
    cursor.done("")
    cursor.begin(to_rows(LOOK, POINTS, 20))
    cursor.rewind(10)
    assert (cursor.after, cursor.pending) == (10, [])
    cursor.begin(to_rows(LOOK, POINTS, 10))
    cursor.rewind(20)
    assert [row.evaluations for row in cursor.pending] == [30]


def test_an_unknown_tracker_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(TrackerError, match="--to is 'excel'; allowed: mlflow, tensorboard, wandb"):
        make_tracker("excel", describe(LOOK, tmp_path))


def test_the_tracker_that_the_docs_show_keeps_a_curve_and_forgets_what_it_may_be_told_again(
    tmp_path: Path,
) -> None:
    page = (Path(__file__).parents[3] / "docs" / "trackers.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    scope: dict[str, type] = {}
    exec(code, scope)  # noqa: S102 - our own page
    run = describe(LOOK, tmp_path)
    for looked in (Run([LOOK], POINTS[:2]), Run([LOOK])):
        follow(scope["CsvTracker"](run), Cursor(tmp_path / "csv.json", run.id), looked)
    (tmp_path / "csv.json").unlink()
    follow(scope["CsvTracker"](run), Cursor(tmp_path / "csv.json", run.id), Run([LOOK]))
    assert (tmp_path / "curve.csv").read_text() == "10,3.0\n20,3.0\n30,3.0\n"
