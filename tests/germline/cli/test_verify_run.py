"""A run is held to what it told: `germline verify --run` plays a share of it again."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from germline.cli.app import run
from germline.cli.archive import Archive
from germline.cli.ending import Ending
from germline.cli.folder import RunFolder
from germline.cli.output import Shown, genome_text
from germline.cli.playing import play
from germline.cli.verdict import Judge
from germline.cli.verify_run import Told, draw, results_of
from germline.client import KnownReturns
from germline.genome import Genome, Mutation
from germline.protocol_starts import STARTS
from germline.spec import loads

SPHERE = """
name = "pong"
[task.function]
path = "worker.tasks.function:noisy_sphere"
dimension = 5
[policy]
name = "vector"
[evaluation]
episodes = 2
[algorithm.ga]
"""
PONG = """
name = "pong"
[task.atari]
game = "pong"
max_frames = 48
[policy]
name = "motion"
[evaluation]
precision = "int8"
[algorithm.ga]
"""
LINE = [Genome.founder(seed).child(Mutation(seed, 0.25)) for seed in range(4)]


def true_returns(spec: str, genome: Genome, seeds: tuple[int, ...]) -> tuple[float, ...]:
    return tuple(value for _, value in sorted(play(loads(spec), genome, seeds, "cpu")))


def leave(folder: str, spec: str, known: list[KnownReturns]) -> None:
    """What a run of this spec leaves in its folder."""
    file = Path(folder) / "experiment.json"
    written = json.loads(file.read_text()) | {"spec": spec, "population": len(known) + 3}
    file.write_text(json.dumps(written))
    rows: list[dict[str, Any]] = [
        {"genome": genome_text(each.genome), "seeds": list(each.seeds), "returns": list(each.returns)}
        for each in known
    ]
    (Path(folder) / "returns.json").write_text(json.dumps(rows))


def means_of_two(false: float = 0.0) -> list[KnownReturns]:
    known = []
    for genome in LINE:
        returns = true_returns(SPHERE, genome, (7, 8))
        known.append(KnownReturns(genome, (7, 8), ((returns[0] + returns[1]) / 2 + false,)))
    return known


def test_a_true_run_holds_and_says_how_much_of_it_is_known(
    archived: str, capsys: pytest.CaptureFixture[str]
) -> None:
    leave(archived, SPHERE, means_of_two())
    assert run(["verify", "--run", archived, "--share", "1"]) == 0
    said = capsys.readouterr().out
    assert "holds: 4 of 4 results of 4 individuals played again, all equal (float32)" in said
    assert "3 members of the population are not known by their episodes" in said


def test_a_false_mean_is_named_with_its_individual_and_its_seeds(
    archived: str, capsys: pytest.CaptureFixture[str]
) -> None:
    leave(archived, SPHERE, means_of_two(false=0.5))
    assert run(["verify", "--run", archived, "--share", "0.01", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["holds"], found["played"], found["results"]) == (False, 1, 4)
    (difference,) = found["differences"]
    assert difference["told"] == pytest.approx(difference["played"] + 0.5)
    assert difference["episodes"] == "mean of seeds 7, 8"


def test_a_false_return_is_named_with_its_start(archived: str, capsys: pytest.CaptureFixture[str]) -> None:
    starts = STARTS["uber2018"][4:7]
    first, second, third = true_returns(PONG, LINE[0], starts)
    leave(archived, PONG, [KnownReturns(LINE[0], starts, (first, second + 1, third))])
    assert run(["verify", "--run", archived, "--share", "1"]) == 1
    said = capsys.readouterr().out
    assert f"start 6: the run says {second + 1:.1f}, played {second:.1f}" in said
    assert "does not hold: 1 differ of 3 of 3 results of 1 individual" in said


def test_a_share_is_drawn_anew_by_its_seed_and_is_never_nothing() -> None:
    results = results_of([KnownReturns(genome, (1, 2, 3), (4.0, 5.0, 6.0)) for genome in LINE])
    assert results[1] == Told(LINE[0], (2,), 5.0)
    assert len(results) == 12
    assert len(draw(results, 0.001, 0)) == 1
    assert draw(results, 1.0, 0) == results
    assert len(draw(results, 0.5, 1)) == 6
    assert draw(results, 0.5, 1) == draw(results, 0.5, 1) != draw(results, 0.5, 2)


def test_a_run_that_left_no_returns_has_nothing_to_be_held_to(
    archived: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["verify", "--run", archived]) == 4
    leave(archived, SPHERE, [])
    assert run(["verify", "--run", archived]) == 1
    assert "there is nothing to hold it to" in capsys.readouterr().err


@pytest.mark.parametrize("both", [True, False])
def test_either_a_card_or_a_run_is_verified(
    archived: str, both: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    named = [f"{archived}/champion.toml", "--run", archived] if both else []
    assert run(["verify", *named]) == 2
    assert "allowed: a card, or --run with a folder" in capsys.readouterr().err


def test_a_verdict_plays_only_the_starts_that_the_run_has_not_played(
    archived: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    played: list[int] = []

    def noted(spec: Any, policy: Any, seeds: tuple[int, ...], device: str) -> Any:
        played.extend(seeds)
        return enumerate([2.0] * len(seeds))

    monkeypatch.setattr("germline.cli.verdict.play", noted)
    folder = RunFolder(Path(archived))
    archive = Archive(folder)
    best, starts = archive.individual(), STARTS["uber2018"]
    assert best.genome is not None
    leave(archived, PONG, [KnownReturns(best.genome, starts[3:9], (1.0,) * 6)])
    final = dataclasses.replace(archive.experiment(), kernels=("f",))
    judged = Judge(7, "cpu", Shown.NOTHING).verdict(folder, final, best, Ending(says_so=False))
    assert judged is not None
    assert played == [start for start in starts if start not in starts[3:9]]
    assert judged.individual.start_returns == (2.0,) * 3 + (1.0,) * 6 + (2.0,) * 21
    assert judged.kernels == ("f",)
