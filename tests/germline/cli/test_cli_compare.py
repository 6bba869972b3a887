"""Runs held against each other, and curves as files: on folders as runs leave them."""

import csv
import json
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow.parquet as pq
import pytest

from germline.cli.app import run
from germline.cli.archive import Archive
from germline.cli.folder import RunFolder
from germline.cli.groups import Group, groups_of, shared_curve
from germline.cli.target import Target
from germline.client import Experiment, HistoryPoint
from germline.connection import Security
from germline.statistics import interquartile_mean

NOWHERE = Target("localhost:1", None, Security())


@pytest.fixture
def left(archived: str, tmp_path: Path) -> Path:
    """Two settings with four and three replicates, as `sweep` leaves them."""
    place = tmp_path / "sweep"
    names = [f"a-{trial:03d}-r{replicate:02d}" for trial in (1, 2) for replicate in range(1, 5)][:7]
    for number, name in enumerate(names):
        leave(place / name, Path(archived), name, score=float(number), pace=number % 4 + 1)
    trials = [
        {"trial": 1, "label": "power=0.1", "changes": {"algorithm.ga.power": 0.1}, "experiments": names[:4]},
        {"trial": 2, "label": "power=0.2", "changes": {"algorithm.ga.power": 0.2}, "experiments": names[4:]},
    ]
    (place / "sweep.json").write_text(json.dumps(trials))
    return place


def leave(folder: Path, model: Path, name: str, score: float, pace: int) -> None:
    folder.mkdir(parents=True)
    experiment = json.loads((model / "experiment.json").read_text())
    champion = json.loads((model / "individuals.json").read_text())["best"] | {"validated_mean": score}
    experiment |= {"name": name, "champion": champion, "evaluations": 100 * pace}
    (folder / "experiment.json").write_text(json.dumps(experiment))
    points = [point(10 * n * pace, n, score) for n in range(1, 11)]
    (folder / "history.json").write_text(json.dumps(points))


def point(evaluations: int, n: int, score: float) -> dict[str, Any]:
    quantiles = [score - 2, score - 1, score, score + 1, score + n]
    champion = None if n < 3 else score * n / 10
    moments = {"evaluations": evaluations, "frames": 4 * evaluations, "running_s": evaluations / 10}
    return {**moments, "fitness_quantiles": quantiles, "champion_mean": champion}


def said(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_a_sweep_is_a_group_for_each_trial(left: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", str(left), "--json"]) == 0
    first, second = said(capsys)
    assert (first["group"], second["group"]) == ("001 power=0.1", "002 power=0.2")
    assert (first["scores"], second["scores"]) == ([0, 1, 2, 3], [4, 5, 6])
    assert first["iqm"] == interquartile_mean([0, 1, 2, 3]) == 1.5
    assert first["interval"][0] <= 1.5 <= first["interval"][1]
    assert (first["beats_first"], second["beats_first"]) == (None, 1.0)


def test_folders_of_one_run_are_groups_of_one(left: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = (str(left / name) for name in ("a-001-r02", "a-001-r01"))
    assert run(["compare", one, other, "--json"]) == 0
    first, second = said(capsys)
    assert (first["iqm"], first["interval"]) == (1.0, None)
    assert second["beats_first"] == 0.0
    assert run(["compare", one, other]) == 0
    shown = capsys.readouterr().out
    assert "a-001-r02" in shown
    assert "95 % interval" in shown


def test_a_folder_of_replicates_is_one_group(left: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (left / "sweep.json").unlink()
    assert run(["compare", str(left), "--json"]) == 0
    (group,) = said(capsys)
    assert len(group["experiments"]) == 7


def test_a_shared_curve_holds_each_runs_last_value_and_ends_where_the_first_run_does(left: Path) -> None:
    group = groups_of([str(left)], NOWHERE)[0]
    curve = shared_curve(group, "champion", "evaluations")
    assert curve[0].position == 120, "where the slowest first knows a champion"
    assert curve[-1].position == 100 or curve[-1].position == max(curve[0].position, 100)
    curve = shared_curve(group, "median", "frames")
    assert (curve[0].position, curve[-1].position) == (160, 400)
    assert curve[-1].value.estimate == 1.5
    assert curve[-1].value.low < 1.5 < curve[-1].value.high


def test_ties_count_half() -> None:
    def group(*scores: float) -> Group:
        runs = [type("R", (), {"score": score})() for score in scores]
        return Group("g", tuple(runs))

    assert group(1, 2).beats(group(1, 2)) == 0.5
    assert group(3, 3).beats(group(1, 2)) == 1.0


@pytest.mark.parametrize("over", ["evaluations", "frames", "seconds"])
@pytest.mark.parametrize("curve", ["champion", "median", "best"])
def test_curves_are_drawn_over_what_is_asked_for(left: Path, tmp_path: Path, over: str, curve: str) -> None:
    picture = tmp_path / "compare.svg"
    words = ["compare", str(left), "--over", over, "--curve", curve, "--output", str(picture), "--robust"]
    assert run(words) == 0
    drawn = picture.read_text()
    assert "002 power=0.2" in drawn
    assert over in drawn
    assert run(words) == 2, "and nothing is written over"


def test_curves_are_written_as_numbers(left: Path, tmp_path: Path) -> None:
    words = ["compare", str(left), "--curve", "median", "--output"]
    assert run([*words, str(tmp_path / "c.csv")]) == 0
    assert run([*words, str(tmp_path / "c.parquet")]) == 0
    with (tmp_path / "c.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["group"] for row in rows} == {"001 power=0.1", "002 power=0.2"}
    table = pq.read_table(tmp_path / "c.parquet").to_pylist()
    assert np.allclose([row["iqm"] for row in table], [float(row["iqm"]) for row in rows])


def test_a_runs_curve_is_written_in_every_format(
    archived: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for suffix in ("csv", "json", "parquet"):
        assert run(["curve", "--run", archived, "--output", str(tmp_path / f"c.{suffix}")]) == 0
    capsys.readouterr()
    assert run(["curve", "--run", archived]) == 0
    assert capsys.readouterr().out == (tmp_path / "c.csv").read_text()
    rows = json.loads((tmp_path / "c.json").read_text())
    assert rows == pq.read_table(tmp_path / "c.parquet").to_pylist()
    assert [row["evaluations"] for row in rows] == [1, 2]
    assert rows[0]["median"] == 1
    with (tmp_path / "c.csv").open() as file:
        assert [row["champion_mean"] for row in csv.DictReader(file)] == ["", ""]


def test_what_cannot_be_compared_is_refused_or_said(
    left: Path, archived: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compare", str(tmp_path / "nowhere")]) == 2
    assert "is no folder" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert run(["compare", str(tmp_path / "empty")]) == 2
    assert "holds no results" in capsys.readouterr().err
    experiment = json.loads((left / "a-001-r01" / "experiment.json").read_text())
    experiment["spec"] = experiment["spec"].replace('game = "pong"', 'game = "breakout"')
    (left / "a-001-r01" / "experiment.json").write_text(json.dumps(experiment))
    assert run(["compare", str(left)]) == 0
    assert "play different tasks: their scores do not compare" in capsys.readouterr().err


class Master:
    """A master as commands see it, which has what a folder holds."""

    def __init__(self, place: Path, address: str) -> None:
        self.address = address
        self._archives = {folder.name: Archive(RunFolder(folder)) for folder in sorted(place.glob("a-*"))}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def experiments(self) -> list[Experiment]:
        return [archive.experiment() for archive in self._archives.values()]

    def experiment(self, name: str) -> Experiment:
        return self._archives[name].experiment()

    def history(self, name: str) -> list[HistoryPoint]:
        return self._archives[name].history()


def test_experiments_of_masters_stand_beside_folders(
    left: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def client_of(address: str, _: Security) -> Master:
        asked.append(address)
        return Master(left, address)

    monkeypatch.setattr("germline.cli.target.client_of", client_of)
    words = ["compare", str(left / "a-001-r01"), "a-001-r02@host:7700", "a-002-*@", "--master", "other:1"]
    assert run([*words, "--json"]) == 0
    groups = said(capsys)
    assert [group["scores"] for group in groups] == [[0], [1], [4, 5, 6]]
    assert [group["group"] for group in groups] == ["a-001-r01", "a-001-r02", "a-002-*"]
    assert set(asked) == {"host:7700", "other:1"}
    assert run(["compare", "nobody@host:7700"]) == 4
    assert "'nobody' names no experiment of host:7700" in capsys.readouterr().err


def test_what_is_counted_has_the_tasks_own_name(left: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", str(left)]) == 0
    assert " frames " in capsys.readouterr().out
    for file in left.glob("*/experiment.json"):
        told = json.loads(file.read_text())
        spec = told["spec"].replace("[task.atari]\ngame", "[task.gym]\nid").replace("motion", "mlp")
        file.write_text(json.dumps(told | {"spec": spec}))
    assert run(["compare", str(left)]) == 0
    shown = capsys.readouterr().out
    assert " steps " in shown
    assert "frames" not in shown
