"""The verdict of a complete run: what is played for it, and what is left when it is not reached."""

import dataclasses
import math
import os
import signal
import tomllib
from pathlib import Path

import pytest

from germline.card import parse_card
from germline.cli import report
from germline.cli.archive import Archive
from germline.cli.ending import Ending
from germline.cli.folder import RunFolder
from germline.cli.output import Shown
from germline.cli.playing import fresh_seeds
from germline.cli.verdict import Judge, seeds_of
from germline.client import Experiment, Individual
from germline.spec import loads
from germline.statistics import mean_interval

SPHERE = """
name = "pong"
[task.function]
path = "{path}"
dimension = 5
[policy]
name = "vector"
[algorithm.ga]
"""
PONG = """
name = "pong"
[task.atari]
game = "pong"
max_frames = 120
[policy]
name = "motion"
[algorithm.ga]
[evaluation]
precision = "int8"
"""


class Calls:
    """Functions to measure weights with, and how often that was done."""

    count = 0
    interrupt_at = math.inf

    @classmethod
    def noisy(cls, weights: object, seed: int) -> float:
        cls.count += 1
        if cls.count >= cls.interrupt_at:
            os.kill(os.getpid(), signal.SIGINT)
        return float(seed % 97)

    @classmethod
    def endless(cls, weights: object, seed: int) -> float:
        return math.inf


noisy, endless = Calls.noisy, Calls.endless  # as specs can name them


@pytest.fixture
def run(archived: str, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A folder as a run leaves it, and a function that can be named in specs."""
    monkeypatch.setattr(Calls, "count", 0)
    return RunFolder(Path(archived))


def complete(folder: RunFolder, spec: str, path: str = "noisy") -> tuple[Experiment, Individual]:
    """The folder's experiment, if this were its spec, and its champion."""
    archive = Archive(folder)
    written = loads(spec.replace("{path}", f"{__name__}:{path}"))
    return dataclasses.replace(archive.experiment(), spec=written), archive.individual()


def judge(episodes: int) -> Judge:
    return Judge(episodes, "cpu", Shown.NOTHING)


def quiet() -> Ending:
    return Ending(says_so=False)


def test_a_verdict_is_the_mean_of_fresh_episodes_with_students_interval(run: RunFolder) -> None:
    final, best = complete(run, SPHERE)
    verdict = judge(20).verdict(run, final, best, quiet())
    assert verdict is not None
    mean, low, _ = mean_interval([float(seed % 97) for seed in fresh_seeds(0, 20)])
    assert verdict.individual.validated_mean == mean
    assert verdict.individual.validation_episodes == 20
    assert verdict.individual.validated_half_width == pytest.approx(mean - low)
    assert verdict.individual.validated_mean != best.validated_mean


def test_an_episode_of_a_verdict_is_played_once_though_the_run_ends_again(run: RunFolder) -> None:
    final, best = complete(run, SPHERE)
    first = judge(20).verdict(run, final, best, quiet())
    assert judge(20).verdict(run, final, best, quiet()) == first
    assert Calls.count == 20
    longer = judge(30).verdict(run, final, best, quiet())
    assert longer is not None
    assert (longer.individual.validation_episodes, Calls.count) == (30, 30)
    other = Archive(run).individuals(2)[0]
    judge(20).verdict(run, final, other, quiet())
    assert Calls.count == 50, "another champion has episodes of its own"


def test_the_verdict_is_on_the_card_in_the_json_and_in_what_read_only_commands_find(run: RunFolder) -> None:
    final, best = complete(run, SPHERE)
    verdict = judge(20).verdict(run, final, best, quiet())
    assert verdict is not None
    report.keep_verdict(run, final, verdict)
    mean = verdict.individual.validated_mean
    score = parse_card(run.champion.read_text()).score
    assert score is not None
    assert (score.mean, score.episodes) == (mean, 20)
    champion = report.result(run, final, best, verdict, 2).champion
    assert champion is not None
    assert (champion.mean, champion.episodes, champion.verdict, champion.exact) == (mean, 20, True, False)
    assert Archive(run).individual().validated_mean == mean
    kept = Archive(run).experiment().champion
    assert kept is not None
    assert kept.validated_mean == mean


def test_where_starts_are_finite_the_verdict_is_exact(run: RunFolder) -> None:
    final, best = complete(run, PONG)
    verdict = judge(7).verdict(run, final, best, quiet())
    assert verdict is not None
    assert verdict.individual.is_exact
    assert (verdict.individual.validation_episodes, verdict.individual.validated_half_width) == (30, None)
    report.keep_verdict(run, final, verdict)
    score = tomllib.loads(run.champion.read_text())["score"]
    assert len(score["returns"]) == 30
    assert "interval" not in score


def test_a_champion_that_is_exact_costs_no_verdict(run: RunFolder) -> None:
    final, best = complete(run, PONG)
    exact = dataclasses.replace(best, start_returns=(1.5,) * 30, validated_half_width=None)
    verdict = judge(100).verdict(run, final, exact, quiet())
    assert verdict is not None
    assert verdict.individual is exact
    assert run.verdict() is None, "nothing was played"


@pytest.mark.parametrize("state", ["running", "paused", "stopped"])
def test_only_a_complete_run_has_a_verdict(run: RunFolder, state: str) -> None:
    final, best = complete(run, SPHERE)
    unfinished = dataclasses.replace(final, state=state)  # type: ignore[arg-type]
    assert judge(20).verdict(run, unfinished, best, quiet()) is None
    assert judge(0).verdict(run, final, best, quiet()) is None
    assert Calls.count == 0


def test_ctrl_c_leaves_the_verdict_out_and_the_old_card_as_it_is(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Calls, "interrupt_at", 5)
    final, best = complete(run, SPHERE)
    ending, before = quiet(), signal.getsignal(signal.SIGINT)
    others = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    card = run.champion.read_text()
    ending.heed_signals()
    try:
        assert judge(20).verdict(run, final, best, ending) is None
    finally:
        signal.signal(signal.SIGINT, before)
        for number, handler in others.items():
            signal.signal(number, handler)
    assert "the verdict is left out; run again to have it" in capsys.readouterr().err
    assert run.champion.read_text() == card
    champion = report.result(run, final, best, None, 2).champion
    assert champion is not None
    assert (champion.mean, champion.verdict) == (best.validated_mean, False)


def test_a_champion_that_has_no_finite_return_has_no_verdict(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    final, best = complete(run, SPHERE, "endless")
    assert judge(3).verdict(run, final, best, quiet()) is None
    assert "there is no verdict: the episode of seed" in capsys.readouterr().err


def test_a_verdict_says_how_far_it_is_where_lines_are_shown(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("germline.cli.verdict._LINE_S", 0.0)
    final, best = complete(run, SPHERE)
    Judge(3, "cpu", Shown.LINES).verdict(run, final, best, quiet())
    lines = capsys.readouterr().out.splitlines()
    told = [line.partition(", about")[0] for line in lines]
    assert told == [f"verdict: {k} of 3 episodes" for k in (1, 2, 3)]


def test_a_verdict_plays_other_episodes_than_any_search() -> None:
    spec = loads(SPHERE.replace("{path}", "worker.tasks.function:noisy_sphere"))
    assert seeds_of(spec, 4) == fresh_seeds(0, 4)
    assert len(seeds_of(loads(PONG), 4)) == 30
