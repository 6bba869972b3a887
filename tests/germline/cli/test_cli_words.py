"""What people read: every letter of it, on every terminal, and no word that is not so."""

import io
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from rich.console import Console, RenderableType
from typer.core import TyperGroup

from germline.card import parse_card
from germline.cli import live
from germline.cli.app import app, run
from germline.cli.output import console
from germline.cli.words import counted, mean_text, number
from germline.client import Experiment, Individual
from germline.spec import loads
from germline.v1 import experiment_pb2

GA = loads('name = "a"\n[task.gym]\nid = "CartPole-v1"\n[policy]\nname = "mlp"\n[algorithm.ga]\n')
EGGROLL = loads('name = "a"\n[task.gym]\nid = "CartPole-v1"\n[policy]\nname = "mlp"\n[algorithm.eggroll]\n')
LOOK = Experiment.of(experiment_pb2.Experiment(spec=GA, state=experiment_pb2.EXPERIMENT_STATE_RUNNING))


def shown(what: RenderableType) -> str:
    screen = io.StringIO()
    Console(file=screen, width=200, markup=False).print(what)
    return screen.getvalue()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (float("nan"), "-"),
        (0.0, "0.0"),
        (-0.0, "0.0"),
        (-12.96, "-13.0"),
        (1234.5, "1,234.5"),
        (-0.04, "-0.040"),
        (0.00321, "0.0032"),
        (-1e-9, "-1.0e-09"),
        (1e200, "1e+200"),
    ],
)
def test_numbers_are_short_and_small_ones_are_not_nothing(value: float | None, text: str) -> None:
    assert number(value) == text


def test_a_rounded_number_is_never_minus_nothing() -> None:
    assert number(-0.4, 0) == "0"


def test_one_thing_is_singular() -> None:
    assert [counted(n, "mutation") for n in (0, 1, 2_000)] == ["0 mutations", "1 mutation", "2,000 mutations"]
    one = Individual(1, 1.0, 1, 1.5, 1, None, None)
    assert mean_text(one) == "1.5 over 1 fresh episode"
    line = live.line(replace(LOOK, evaluations=1, frames=1, workers=1))
    assert line == "a running: 1 evaluation, 1 step, 0 steps/s, 1 worker"


def test_nobody_has_no_best_score() -> None:
    assert "best" not in shown(live.facts(LOOK))
    assert "best score  3.0 of" in shown(live.facts(replace(LOOK, best_fitness=3.0)))


def test_only_lines_have_lengths() -> None:
    look = replace(LOOK, population=5, fitness_quantiles=(1.0, 2.0, 3.0, 4.0, 5.0))
    assert "all founders" in shown(live.facts(look))
    assert "lines up to 1 mutation " in shown(live.facts(replace(look, lineage_depth=1)))
    assert "mutation" not in shown(live.facts(replace(look, spec=EGGROLL)))


def test_a_run_that_is_over_for_now_is_not_running() -> None:
    assert "a, running" in shown(live.facts(LOOK))
    assert "a, not complete" in shown(live.facts(LOOK, is_up=False))
    assert "a, complete" in shown(live.facts(replace(LOOK, state="complete"), is_up=False))


def test_a_curve_does_not_fall_between_numbers_that_are_shown_as_one() -> None:
    assert len(set(live.sparkline([-13.0, -13.0 - 1e-9, -13.000001]))) == 1
    assert live.sparkline([1.0, 2.0]) == "▁█"


def test_leases_that_a_drain_gave_back_are_no_news() -> None:
    look = replace(LOOK, leases_lost=1)
    assert "1 lease ran out or came back" in shown(live.facts(look))
    assert "lease" not in shown(live.facts(look, is_up=False))


def test_a_display_leaves_room_for_what_a_terminal_writes_at_ctrl_c() -> None:
    screen = io.StringIO()
    with live.Display(Console(file=screen, width=60, force_terminal=True)) as display:
        display.show(LOOK, [], [], "a note [in brackets]")
    drawn = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    assert {len(line) for line in re.findall(r"[╭╰][^╭╰╮╯]*[╮╯]", drawn)} == {58}
    assert "a note [in brackets]" in screen.getvalue()


def test_brackets_in_anybodys_words_are_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    console.print("pip install 'germline[worker,local]'")
    console.print(live.facts(replace(LOOK, name="[red]a[/red]")))
    said = capsys.readouterr().out
    assert "pip install 'germline[worker,local]'" in said
    assert "[red]a[/red]" in said


def test_no_help_is_eaten_as_a_style() -> None:
    def texts(group: object) -> list[str]:
        commands = group.commands.values() if isinstance(group, TyperGroup) else ()
        own = [str(getattr(p, "help", "")) for c in commands for p in c.params]
        return own + [str(c.help) for c in commands] + [text for c in commands for text in texts(c)]

    found = texts(typer.main.get_command(app))
    assert len(found) > 100
    assert [text for text in found if "[" in text] == []


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "koi8-r"])
def test_a_terminal_of_any_encoding_shows_the_final_report(encoding: str) -> None:
    code = """
from germline.cli import live
from germline.cli.app import run
from germline.cli.output import console
from germline.client import Experiment, Individual
from germline.spec import loads
from germline.v1 import experiment_pb2
import dataclasses
run(["spec", "--explain"])
spec = loads('name = "a"\\n[task.gym]\\nid = "CartPole-v1"\\n[policy]\\nname = "mlp"\\n[algorithm.ga]\\n')
look = Experiment.of(experiment_pb2.Experiment(spec=spec, state=1))
champion = Individual(1, 1.0, 1, 1.5, 4, 0.5, None)
console.print(live.facts(dataclasses.replace(look, champion=champion)), live.sparkline([1.0, 2.0, 8.0]))
"""
    told = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONIOENCODING": encoding}, capture_output=True, check=False
    )
    assert told.returncode == 0, told.stderr.decode()
    said = told.stdout.decode(encoding)
    assert "1.5 +- 0.5 over 4 fresh episodes" in said.replace("±", "+-")
    assert "?" not in said.splitlines()[-1]


def test_what_is_missing_from_a_card_is_not_the_card(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="card is missing; it has to be there"):
        parse_card("")


def test_an_evaluation_without_a_finite_return_ends_with_a_sentence(
    card: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "germline.cli.playing.play", lambda *_: iter([(0, 1.0), (1, float("nan")), (2, float("inf"))])
    )
    assert run(["evaluate", card, "--episodes", "3"]) == 1
    assert "2 of 3 episodes have no finite return, episode 2 for one: nan" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ["plot", "--run", "a", "--run", "b"],
        ["status", "--json", "--json"],
        ["list", "--master", "a", "--master", "b"],
    ],
)
def test_an_option_that_is_given_twice_is_refused(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command) == 2
    assert f"{command[1]} is given twice; allowed: once" in capsys.readouterr().err
