"""A card of all starts is held to what it says; `germline verify` plays each start again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from germline.card import PolicyCard, Score, parse_card, write_card
from germline.cli.app import app, run
from germline.cli.playing import play
from germline.cli.verify import Difference, compare
from germline.cli.words import mean_text
from germline.client import Individual
from germline.genome import Genome, Mutation
from germline.protocol_starts import STARTS
from germline.spec import loads
from germline.toml import Table

GENOME = Genome.founder(4).child(Mutation(2, 0.25))
ATARI: Table = {"game": "pong", "protocol": "uber2018", "max_frames": 48}
SPEC = """
name = "card"
[task.atari]
game = "pong"
protocol = "uber2018"
max_frames = 48
[policy]
name = "motion"
[evaluation]
precision = "int8"
[algorithm.ga]
"""


@pytest.fixture(scope="module")
def returns() -> tuple[float, ...]:
    """The true return from each start: one second of Pong."""
    return tuple(value for _, value in sorted(play(loads(SPEC), GENOME, STARTS["uber2018"], "cpu")))


def written(folder: Path, returns: tuple[float, ...]) -> Path:
    score = Score(sum(returns) / len(returns), len(returns), returns=returns)
    card = PolicyCard({"atari": ATARI}, {"name": "motion"}, "int8", GENOME, score)
    path = folder / "card.toml"
    path.write_text(write_card(card))
    return path


def test_a_true_card_holds(tmp_path: Path, returns: tuple[float, ...]) -> None:
    said = CliRunner().invoke(app, ["verify", str(written(tmp_path, returns)), "--json"])
    assert said.exit_code == 0
    found = json.loads(said.stdout.splitlines()[-1])
    assert (found["holds"], found["starts"], found["differences"]) == (True, 30, [])


def test_a_card_that_claims_a_point_too_much_from_one_start_does_not_hold(
    tmp_path: Path, returns: tuple[float, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    false = (*returns[:6], returns[6] + 1, *returns[7:])
    assert run(["verify", str(written(tmp_path, false))]) == 1
    said = capsys.readouterr().out
    assert f"start 7: the card says {returns[6] + 1:g}, played {returns[6]:g}" in said.replace(".0", "")
    assert "1 of 30 returns differ" in said


def test_a_card_that_does_not_say_which_starts_were_played_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = PolicyCard({"atari": ATARI}, {"name": "motion"}, "int8", GENOME, Score(1.0, 12, (0.0, 2.0)))
    path = tmp_path / "card.toml"
    path.write_text(write_card(card))
    assert run(["verify", str(path)]) == 2
    assert "a mean over 12 of the 30 starts, and does not say which" in capsys.readouterr().err


def of_a_function(folder: Path, score: Score | None) -> Path:
    task: Table = {"function": {"path": "worker.tasks.function:noisy_sphere", "dimension": 4}}
    path = folder / "card.toml"
    path.write_text(write_card(PolicyCard(task, {"name": "vector"}, "float32", GENOME, score)))
    return path


def test_a_mean_over_the_episodes_of_a_verdict_holds_by_itself_and_no_other_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluated = CliRunner().invoke(
        app, ["evaluate", str(of_a_function(tmp_path, None)), "--episodes", "7", "--seed", "0", "--json"]
    )
    mean = json.loads(evaluated.stdout.splitlines()[-1])["mean"]
    assert run(["verify", str(of_a_function(tmp_path, Score(mean, 7)))]) == 0
    assert "over 7 episodes, played again here" in capsys.readouterr().out
    assert run(["verify", str(of_a_function(tmp_path, Score(mean + 1e-9, 7)))]) == 1
    said = capsys.readouterr().out
    assert f"is not confirmed: it says {mean + 1e-9!r}, played {mean!r} over 7 episodes of seed 0" in said
    assert "that alone proves nothing: a run that was not complete" in said
    told = CliRunner().invoke(app, ["verify", str(of_a_function(tmp_path, Score(mean, 7))), "--json"])
    assert json.loads(told.stdout.splitlines()[-1])["holds"] is True


def test_a_card_without_a_score_and_what_is_no_card_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["verify", str(of_a_function(tmp_path, None))]) == 2
    assert "says no score" in capsys.readouterr().err
    for command in ("verify", "evaluate"):
        assert run([command, "pong"]) == 2
        assert "there is no file pong; allowed: a policy card" in capsys.readouterr().err
    assert run(["evaluate", str(tmp_path)]) == 2
    assert f"The champion of a run: --run {tmp_path}" in capsys.readouterr().err


def test_a_card_spells_its_returns_and_reads_them_again(tmp_path: Path, returns: tuple[float, ...]) -> None:
    card = parse_card(written(tmp_path, returns).read_text())
    assert card.score is not None
    assert card.score.returns == returns


@pytest.mark.parametrize("wrong", ["[1.0]", "[1.0, 2.0]", '["a", 1.0]', "[]", "[1.0, inf]"])
def test_returns_that_do_not_give_the_score_are_refused(tmp_path: Path, wrong: str) -> None:
    text = written(tmp_path, (1.0, 3.0)).read_text()
    with pytest.raises(ValueError, match=r"score\.returns"):
        parse_card(text.replace("returns = [1.0, 3.0]", f"returns = {wrong}"))


def test_differences_are_named_by_their_start() -> None:
    assert compare([1, 2, 3], [1, 5, 3]) == [Difference(2, 2, 5)]


def test_a_mean_over_all_starts_is_shown_as_exact_and_without_an_interval() -> None:
    individual = Individual(1, 0.0, 3, -4.6, 30, None, None, (-4.6,) * 30)
    assert individual.is_exact
    assert mean_text(individual) == "-4.6 (n = 30 of 30, exact)"
