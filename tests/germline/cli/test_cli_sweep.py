"""Many experiments over one fleet, with real processes: replicates, sweeps, and what they leave behind."""

import json
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from germline.card import parse_card
from germline.cli.app import run
from germline.spec import load

GERMLINE = Path(sysconfig.get_path("scripts")) / "germline"
SPEC = """
name = "sphere"
seed = 5
[task.function]
path = "worker.tasks.function:noisy_sphere"
dimension = 5
[policy]
name = "vector"
[algorithm.ga]
window = 20
parents = 5
power = 0.2
candidates = 2
validation_episodes = 3
[stop]
evaluations = 60
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sphere.toml").write_text(SPEC)


def germline(*words: str) -> dict[str, Any]:
    done = subprocess.run([GERMLINE, *words, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def test_a_run_has_the_settings_name_and_seed_of_its_command() -> None:
    words = ("--set", "algorithm.ga.power=0.5", "--name", "other", "--seed", "9", "--workers", "1")
    said = germline("run", "sphere.toml", *words, "--verdict", "0")
    assert said["experiment"] == "other"
    spec = load("runs/other/spec.toml")
    assert (spec.algorithm.ga.power, spec.seed, spec.name) == (0.5, 9, "other")


def test_replicates_share_a_fleet_and_have_a_folder_each() -> None:
    words = ("run", "sphere.toml", "--replicates", "3", "--workers", "1", "--verdict", "4")
    said = germline(*words)
    (trial,) = said["trials"]
    names = ["sphere-r01", "sphere-r02", "sphere-r03"]
    assert trial["experiments"] == names
    assert sorted(path.name for path in Path("runs/sphere").glob("sphere-*")) == names
    assert [load(f"runs/sphere/{name}/spec.toml").seed for name in names] == [5, 6, 7]
    cards = [parse_card(Path(f"runs/sphere/{name}/champion.toml").read_text()) for name in names]
    scores = [card.score for card in cards]
    assert [score.episodes for score in scores if score] == [4, 4, 4], "the verdict is the score"
    assert trial["values"] == [score.mean for score in scores if score]
    assert len({card.genome for card in cards}) == 3
    assert germline(*words) == said, "run again, nothing is left to do"


def test_a_grid_tries_every_setting_and_says_which_is_best(capsys: pytest.CaptureFixture[str]) -> None:
    axes = ("--over", "algorithm.ga.power=0.2,0.0001", "--over", "algorithm.ga.parents=5,-1")
    said = germline("sweep", "sphere.toml", *axes, "--workers", "1", "--replicates", "2", "--at-once", "2")
    values = [trial["value"] for trial in said["trials"]]
    assert values == sorted(values, reverse=True), "best first"
    first, third = sorted(said["trials"], key=lambda trial: int(trial["trial"]))
    assert first["changes"] == {"algorithm.ga.power": 0.2, "algorithm.ga.parents": 5}
    assert third["changes"] == {"algorithm.ga.power": 0.0001, "algorithm.ga.parents": 5}
    assert third["experiments"] == ["sphere-003-r01", "sphere-003-r02"], "a setting that is none is left out"
    assert len(third["values"]) == 2
    assert run(["status", "--run", "runs/sphere-sweep/sphere-001-r01", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "complete"


def test_optuna_chooses_the_trials() -> None:
    pytest.importorskip("optuna", reason="pip install 'germline[sweep]'")
    axes = ("--over", "algorithm.ga.power=0.001..0.5:log", "--evaluations", "30", "--workers", "1")
    said = germline("sweep", "sphere.toml", *axes, "--optuna", "3", "--at-once", "1")
    tried = sorted(said["trials"], key=lambda trial: int(trial["trial"]))
    assert [trial["trial"] for trial in tried] == [1, 2, 3]
    more = germline("sweep", "sphere.toml", *axes, "--optuna", "4", "--at-once", "1")
    again = sorted(more["trials"], key=lambda trial: int(trial["trial"]))
    assert [trial["changes"] for trial in again[:3]] == [trial["changes"] for trial in tried]
    assert len(again) == 4


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["sweep", "sphere.toml", "--over", "power"], "--over 'power' is no axis"),
        (["sweep", "sphere.toml", "--over", "a=1..2"], "a has a range, which no grid covers"),
        (
            ["sweep", "sphere.toml", "--over", "power=1,2"],
            "--over power: no trial can be run; sphere.toml: power",
        ),
        (["sweep", "sphere.toml", "--over", "power=1,2"], "written in full, such as algorithm.ga.power"),
        (["sweep", "sphere.toml", "--over", "a=1", "--grid", "--random", "2"], "exclude each other"),
        (["run", "sphere.toml", "--set", "power"], "--set 'power' is no setting"),
        (["run", "sphere.toml", "--set", "algorithm.ga.pwer=1"], "did you mean 'power'"),
        (["run", "sphere.toml", "--replicates", "2", "--seconds", "3"], "do not go together"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 2
    assert sentence in capsys.readouterr().err
    assert not Path("runs").exists()


def test_another_sweep_is_not_mixed_into_a_folder_and_the_same_one_may_grow(
    capsys: pytest.CaptureFixture[str],
) -> None:
    few = ("--evaluations", "20", "--workers", "1")
    germline("sweep", "sphere.toml", "--over", "algorithm.ga.power=0.2", *few)
    for other in (["algorithm.ga.power=0.3"], ["algorithm.ga.power=0.2", "--replicates", "2"]):
        assert run(["sweep", "sphere.toml", "--over", *other, *few]) == 2
        assert (
            "holds another sweep: its trial 1 is power=0.2; choose another --name" in capsys.readouterr().err
        )
    grown = germline("sweep", "sphere.toml", "--over", "algorithm.ga.power=0.2,0.3", *few)
    assert sorted(trial["trial"] for trial in grown["trials"]) == [1, 2]


def test_a_folder_of_one_run_is_not_one_of_many(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path("runs/sphere")
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    assert run(["run", "sphere.toml", "--replicates", "2"]) == 2
    assert "holds a single run; give many a --folder of their own" in capsys.readouterr().err
