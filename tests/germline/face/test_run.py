"""A run from a program: real processes, points as they come, callbacks, and an end when somebody wants it."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import germline
from germline.client import HistoryPoint, Individual
from germline.face.running import RunResult

SPEC = """
name = "sphere"
[task.function]
path = "worker.tasks.function:noisy_sphere"
dimension = 10
[policy]
name = "vector"
[algorithm.ga]
window = 50
parents = 5
power = 0.2
candidates = 3
validation_episodes = 5
[stop]
evaluations = 300
"""
ENDLESS = SPEC.replace("evaluations = 300", "evaluations = 100_000_000")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    assert not children(), "every process of a run ends with it"


def children() -> list[str]:
    """What this process has started and not buried."""
    task = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return [
        name
        for child in task.read_text().split()
        if "germline.cli.child" in (name := Path(f"/proc/{child}/cmdline").read_text())
    ]


def test_a_run_calls_back_and_leaves_a_policy_and_a_curve() -> None:
    points: list[HistoryPoint] = []
    champions: list[Individual] = []
    ends: list[RunResult] = []
    threads: set[int] = set()

    def at_point(point: HistoryPoint) -> None:
        points.append(point)
        threads.add(threading.get_ident())

    result = germline.run(
        SPEC, workers=2, progress=False, verdict=5,
        on_point=at_point, on_champion=champions.append, on_end=ends.append,
    )  # fmt: skip
    assert (result.name, result.state) == ("sphere", "complete")
    assert result.evaluations >= 300
    assert ends == [result]
    assert threads == {threading.get_ident()}, "callbacks come in the thread that waits"
    assert [p.evaluations for p in points] == sorted({p.evaluations for p in points})
    assert points[-1] == result.curve[-1]
    assert champions
    assert champions[-1].genome is not None
    assert result.champion is not None
    assert result.champion.validation_episodes == 5
    assert result.policy.genome == result.champion.genome
    assert result.policy.score is not None
    assert result.folder == Path("runs/sphere")


def test_points_are_yielded_as_they_come_and_leaving_early_ends_the_run() -> None:
    with germline.run(ENDLESS, workers=1, progress=False, blocking=False) as running:
        first = next(iter(running))
        assert first.evaluations > 0
    left = running.result()
    assert left.state == "running"
    again = germline.run(ENDLESS, workers=1, progress=False, evaluations=left.evaluations + 50, verdict=0)
    assert again.state == "complete"
    assert again.evaluations >= left.evaluations + 50, "it went on where it was"


def test_what_a_callback_raises_ends_the_run_and_is_raised() -> None:
    def refuse(point: HistoryPoint) -> None:
        raise LookupError(point)

    with pytest.raises(LookupError):
        germline.run(ENDLESS, workers=1, progress=False, on_point=refuse)


def test_a_run_of_which_nothing_came_says_so() -> None:
    with pytest.raises(germline.GermlineError, match="sphere: nothing was ever evaluated; the logs are in"):
        germline.run(ENDLESS, workers=1, progress=False, seconds=0.1)


def test_what_cannot_be_run_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(germline.SpecError, match="no_such_module"):
        germline.run(SPEC.replace("worker.tasks.function:", "no_such_module:"))
    with pytest.raises(germline.GermlineError, match="workers is 0; allowed: 1 or more"):
        germline.run(SPEC, workers=0)
    (tmp_path / "runs" / "sphere").mkdir(parents=True)
    (tmp_path / "runs" / "sphere" / "spec.toml").write_text("mine")
    with pytest.raises(germline.GermlineError, match="is no folder of a run and holds"):
        germline.run(SPEC, workers=1)


def test_progress_is_said_in_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with germline.run(ENDLESS, workers=1, blocking=False) as running:
        said = ""
        for _ in running:
            said += capsys.readouterr().out
            if said:
                running.stop()
    assert said.startswith("sphere running:")
