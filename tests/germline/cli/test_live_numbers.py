"""What people see of numbers, however large."""

import dataclasses
import io
from pathlib import Path

import pytest
from rich.console import Console

from germline.cli import live
from germline.cli.live import sparkline
from germline.cli.output import experiment_json
from germline.cli.plot import draw
from germline.cli.report import is_chosen_early
from germline.cli.words import number
from germline.client import Experiment, HistoryPoint, Individual, Worker
from germline.spec import loads
from germline.v1 import experiment_pb2

TASKS = {
    "frames": '[task.atari]\ngame = "pong"\n[policy]\nname = "motion"\n',
    "steps": '[task.gym]\nid = "CartPole-v1"\n[policy]\nname = "mlp"\n',
    "calls": '[task.function]\npath = "a:f"\n[policy]\nname = "vector"\n',
}


def looked_at(task: str) -> Experiment:
    spec = loads(f'name = "a"\n{task}[algorithm.ga]\n[stop]\nframes = 9000\n')
    return Experiment.of(experiment_pb2.Experiment(spec=spec, frames=1_234, frames_per_second=77))


@pytest.mark.parametrize("scale", [1.0, 1e200, 1.7e308])
def test_a_sparkline_rises_from_the_smallest_to_the_largest(scale: float) -> None:
    assert sparkline([-scale, 0.0, scale])[0] < sparkline([-scale, 0.0, scale])[2]
    assert len(sparkline([-scale, 0.0, scale])) == 3


def test_a_number_with_too_many_digits_is_written_with_a_power_of_ten() -> None:
    assert number(-1234.56) == "-1,234.6"
    assert number(-1e200) == "-1e+200"


@pytest.mark.parametrize("played", TASKS)
def test_only_emulators_are_said_to_play_frames(played: str, tmp_path: Path) -> None:
    experiment, screen = looked_at(TASKS[played]), io.StringIO()
    Console(file=screen, width=200).print(live.facts(experiment))
    with live.Display(Console(file=screen, width=200, force_terminal=True)) as display:
        display.show(experiment, [Worker.of(experiment_pb2.Worker(worker_id="w-1"))], [])
    draw(experiment, [HistoryPoint(1, 1, 1.0, (0.0,) * 5, None)], "frames", tmp_path / "curve.svg")
    curve = (tmp_path / "curve.svg").read_text()

    said = screen.getvalue() + live.line(experiment)
    for text in (f"1,234 {played}", f"77 {played}/s", f"until 9,000 {played}"):
        assert text in said
    assert "played/s" not in said, "which is at the head of workers who may play anything"
    assert f"1,234 {played} -->" in curve
    assert ("emulator frames" in curve) == ("frames" in said) == (played == "frames")


def test_a_run_says_which_share_of_its_children_acts_differently() -> None:
    experiment, screen = looked_at(TASKS["frames"]), io.StringIO()
    assert "differ" not in live.line(experiment), "nobody was compared"
    compared = dataclasses.replace(experiment, compared_children=1_200, different_children=300)
    Console(file=screen, width=200).print(live.facts(compared))

    assert "25 % act differently from their parent, of 1,200 that played a start of its" in screen.getvalue()
    assert "25 % of children differ" in live.line(compared)
    assert experiment_json(compared)["different_children"] == 300


def test_the_time_to_go_is_that_of_the_condition_that_holds_first() -> None:
    spec = loads(f'name = "a"\n{TASKS["frames"]}[algorithm.ga]\n[stop]\nevaluations = 1000\nframes = 400\n')
    message = experiment_pb2.Experiment(
        spec=spec, evaluations=500, frames=300, evaluations_per_second=10.0, frames_per_second=4.0
    )
    message.state = experiment_pb2.EXPERIMENT_STATE_RUNNING
    look = Experiment.of(message)
    assert live.seconds_left(look) == 25.0
    assert live.seconds_left(dataclasses.replace(look, frames_per_second=0.0)) == 50.0
    assert live.seconds_left(dataclasses.replace(look, state="paused")) is None
    screen = io.StringIO()
    Console(file=screen, width=200).print(live.facts(look))
    assert "about 25 s to go" in screen.getvalue()


@pytest.mark.parametrize(
    ("changes", "mean", "is_early"),
    [
        ("", 14.0, True),
        ("", 15.0, False),
        ("", None, False),
        ("cap_frames = 10", 14.0, False),
    ],
)
def test_a_champion_that_half_of_the_population_beats_was_chosen_early(
    changes: str, mean: float | None, is_early: bool
) -> None:
    spec = loads(f'name = "a"\n{TASKS["steps"]}[evaluation]\n{changes}\n[algorithm.ga]\n')
    quantiles = [1.0, 9.0, 15.0, 30.0, 90.0]
    cap = spec.evaluation.cap_frames
    final = experiment_pb2.Experiment(spec=spec, fitness_quantiles=quantiles, compared_cap_frames=cap)
    champion = Individual(1, 40.0, 0, mean, 30, None, None)
    assert is_chosen_early(Experiment.of(final), champion) is is_early
