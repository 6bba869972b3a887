"""`germline spec`, and what every command does with wrong input: a sentence and an exit code."""

import json
import tomllib
from pathlib import Path

import pytest

from germline.cli.app import run
from germline.spec import loads
from germline.spec.presets import BUDGETS

EXPERIMENTS = sorted((Path(__file__).parents[3] / "experiments").glob("*.toml"))
CARTPOLE = 'name = "c"\n[task.gym]\nid = "CartPole-v1"\n[policy]\nname = "mlp"\n[algorithm.ga]\n'


def written(folder: Path, text: str) -> str:
    path = folder / "spec.toml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_a_ready_spec_can_be_played_here(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if path.stem in ("lunarlander", "bipedalwalker"):
        pytest.importorskip("Box2D")
    assert run(["spec", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: good\n"


@pytest.mark.parametrize("budget", BUDGETS)
def test_a_spec_for_a_budget_is_good_and_says_where_each_number_comes_from(
    budget: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["spec", "--for-frames", budget, "--game", "ms_pacman"]) == 0
    text = capsys.readouterr().out
    spec = loads(text)
    frames = {"10M": 10_000_000, "100M": 100_000_000, "1B": 1_000_000_000}[budget]
    assert (spec.task.atari.game, spec.stop.frames) == ("ms_pacman", frames)
    lines = text.partition("[algorithm.ga]")[2].partition("[stop]")[0].splitlines()
    sources = [line for line in lines if line.startswith(("# Measured", "# Judgement", "# The paper's"))]
    assert len(sources) == 4


def test_the_ready_spec_of_frostbite_is_the_one_that_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["spec", "--for-frames", "10M", "--game", "frostbite"]) == 0
    ready = next(path for path in EXPERIMENTS if path.stem == "frostbite-10m")
    assert capsys.readouterr().out == ready.read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--game", "pong"], "--for-frames and --game go together"),
        (["--for-frames", "10M"], "--for-frames and --game go together"),
        (["--for-frames", "10M", "--game", "tennnis"], "'tennnis'"),
        (["--for-frames", "10M", "--game", "Ms Pacman"], 'task.atari.game is "Ms Pacman"'),
        (["--for-frames", "3M", "--game", "pong"], "3M"),
    ],
)
def test_a_budget_or_a_game_that_there_is_not_is_refused(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["spec", *arguments]) == 2
    assert says in capsys.readouterr().err


def test_every_problem_of_every_file_is_said_in_one_go(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = written(tmp_path, CARTPOLE + "windw = 3\npower = 0\n")
    assert run(["spec", bad, str(EXPERIMENTS[0])]) == 2
    said = capsys.readouterr()
    assert "algorithm.ga.windw is unknown; did you mean 'window'?" in said.err
    assert "algorithm.ga.power is 0" in said.err
    assert f"{EXPERIMENTS[0]}: good" in said.out


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (CARTPOLE.replace("CartPole-v1", "NoSuch-v1"), "task.gym.id is 'NoSuch-v1'"),
        (CARTPOLE.replace('"mlp"', '"mpl"'), "policy.name is 'mpl'; allowed: "),
        (CARTPOLE.replace('"mlp"', '"dqn2015"'), "policy.name is 'dqn2015', which sees"),
        (
            CARTPOLE.replace('[task.gym]\nid = "CartPole-v1"', '[task.atari]\ngame = "pongg"'),
            "task.atari.game is 'pongg'; allowed: ",
        ),
        (
            CARTPOLE.replace('[task.gym]\nid = "CartPole-v1"', '[task.plugin]\nname = "chess"'),
            "task is 'chess'; allowed: ",
        ),
        (
            CARTPOLE.replace(
                '[task.gym]\nid = "CartPole-v1"', '[task.function]\npath = "os:nothing"'
            ).replace('"mlp"', '"vector"'),
            "task.function.path is 'os:nothing'",
        ),
        (CARTPOLE.replace('"mlp"', '"os:system"'), "policy.name is 'os:system'; os is a part of Python"),
        ("name = [", "is no valid TOML"),
    ],
)
def test_what_cannot_be_played_is_refused_by_field(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, sentence: str
) -> None:
    assert run(["spec", written(tmp_path, text)]) == 2
    assert sentence in capsys.readouterr().err


def test_problems_can_be_read_by_a_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["spec", "--json", written(tmp_path, CARTPOLE + "window = 0\n")]) == 2
    found = json.loads(capsys.readouterr().out)
    assert [problem["path"] for problem in found["problems"]] == ["algorithm.ga.window"]


def test_a_completed_spec_is_a_spec(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["spec", "--complete", written(tmp_path, CARTPOLE)]) == 0
    assert loads(capsys.readouterr().out) == loads(CARTPOLE)


def test_the_explanation_holds_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["spec", "--explain"]) == 0
    said = capsys.readouterr().out
    for words in (
        "[algorithm.ga]",
        "window",
        "1..1000000 (individuals); default 1000",
        "[stop]",
        '"self_adapted"',
    ):
        assert words in said
    assert run(["spec", "--explain", "--json"]) == 0
    sections = json.loads(capsys.readouterr().out)
    assert {"path", "text", "rows"} == set(sections[0])


def test_the_explanation_names_every_policy_that_comes_with_germline(
    capsys: pytest.CaptureFixture[str],
) -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    policies = project["entry-points"]["germline.policies"]
    assert run(["spec", "--explain", "--json"]) == 0
    (policy,) = [section for section in json.loads(capsys.readouterr().out) if section["path"] == "policy"]
    (name,) = [row for row in policy["rows"] if row["path"] == "policy.name"]
    assert [each for each in policies if f'"{each}"' not in name["text"]] == []


def test_no_master_is_exit_code_3(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "--master", "127.0.0.1:9"]) == 3
    assert "127.0.0.1:9 is not reachable" in capsys.readouterr().err


def test_a_folder_that_is_no_run_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--run", str(tmp_path)]) == 3
    assert "is no folder of a run" in capsys.readouterr().err
    assert run(["status", "--run", str(tmp_path / "nothing")]) == 2


def test_a_missing_file_and_an_unknown_command_are_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", "nothing.toml"]) == 2
    assert run(["evolve"]) == 2
    assert "nothing.toml" in capsys.readouterr().err
