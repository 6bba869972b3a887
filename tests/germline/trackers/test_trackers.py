"""Trackers with the real libraries, offline: every point of a curve is kept once, whoever dies meanwhile."""

import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from germline.client import HistoryPoint

for _package in ("tensorboard", "tensorboardX", "wandb", "mlflow"):
    pytest.importorskip(_package, reason="pip install 'germline[tensorboard,wandb,mlflow,dev]'")

GERMLINE = Path(sysconfig.get_path("scripts")) / "germline"
NAMES = ("fitness/q00", "fitness/q10", "fitness/q50", "fitness/q90", "fitness/q100")
SPEC = """
name = "sphere"
[task.function]
path = "{path}"
dimension = 4
[policy]
name = "vector"
[algorithm.ga]
window = 50
parents = 5
power = 0.2
candidates = 3
validation_episodes = 5
[stop]
evaluations = {evaluations}
"""
SLOW = """
import time
import numpy as np

def measure(weights, seed):
    time.sleep(0.004)
    return -float(np.square(weights).sum())
"""
# Reads a run that is over in three parts, and dies in one of them at one moment.
DYING = """
import os, signal, sys
from contextlib import nullcontext
from pathlib import Path
from germline.cli.archive import Archive
from germline.cli.folder import RunFolder
from germline.trackers import Cursor, Follower, describe, make_tracker

run, to, part, moment = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
archive = Archive(RunFolder(Path(run)))
look, points = archive.experiment(), archive.history()
here = 0

class InParts:
    def watch(self, interval_s):
        global here
        for here in (1, 2, 3):
            yield look
    def history(self):
        return points[: len(points) * here // 3]

class Dying:
    def __init__(self, tracker):
        self.resume, self.show, self.close = tracker.resume, tracker.show, tracker.close
        self.tracker = tracker
    def log(self, rows):
        if here == part and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        if here == part and moment == "amid":
            self.tracker.log(rows[: len(rows) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        self.tracker.log(rows)
        if here == part and moment == "after":
            os.kill(os.getpid(), signal.SIGKILL)

folder = Path(run) / "trackers"
folder.mkdir(exist_ok=True)
described = describe(look, folder)
cursor = Cursor(folder / f"{to}.json", described.id)
Follower(Dying(make_tracker(to, described)), cursor).follow(lambda: nullcontext(InParts()), 1.0)
"""

Step = tuple[int, tuple[float, ...]]


@pytest.fixture(autouse=True)
def _nobody_at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No key, no server and no project of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith(("WANDB_", "MLFLOW_", "GERMLINE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a real run left: a master, its store and a worker were at work."""
    folder = tmp_path_factory.mktemp("played")
    (folder / "sphere.toml").write_text(
        SPEC.format(path="worker.tasks.function:noisy_sphere", evaluations=300)
    )
    germline(folder, "run", "sphere.toml", "--workers", "1", "--json")
    return folder / "runs" / "sphere"


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without runs: making its tables takes seconds."""
    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    make = f"from mlflow.tracking import MlflowClient; MlflowClient('sqlite:///{file}')"
    subprocess.run([sys.executable, "-c", make], check=True, capture_output=True)
    return file


@pytest.fixture
def run(played: Path, migrated: Path, tmp_path: Path) -> Path:
    """The run in a folder of the test's own."""
    folder = tmp_path / "sphere"
    (folder / "trackers").mkdir(parents=True)
    for file in played.glob("*.json"):
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "trackers" / "mlflow.db").write_bytes(migrated.read_bytes())
    return folder


def germline(folder: Path, *arguments: str) -> str:
    done = subprocess.run([GERMLINE, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tracked(run: Path, to: str, *arguments: str) -> dict[str, Any]:
    line = germline(run, "track", "--run", str(run), "--to", to, "--json", *arguments)
    told: dict[str, Any] = json.loads(line)
    return told


def curve(run: Path) -> list[Step]:
    """What GetHistory said."""
    points = [HistoryPoint(**point) for point in json.loads((run / "history.json").read_text())]
    return [(point.evaluations, tuple(point.fitness_quantiles)) for point in points]


def read_tensorboard(run: Path) -> list[Step]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: PLC0415

    events = EventAccumulator(str(run / "trackers/tensorboard/sphere"), size_guidance={"scalars": 0})
    events.Reload()
    columns = [[(event.step, event.value) for event in events.Scalars(name)] for name in NAMES]
    return in_rows(columns)


def read_wandb(run: Path) -> list[Step]:
    from germline.trackers import wandb_file  # noqa: PLC0415

    files = sorted((run / "trackers/wandb").glob("offline-run-*/run-*.wandb"))
    rows = [row for file in files for row in wandb_file.rows(file)]
    assert all(row["_step"] == row["evaluations"] for row in rows)
    return in_rows([[(row["evaluations"], row[name]) for row in rows] for name in NAMES])


def read_mlflow(run: Path) -> list[Step]:
    """In a process of its own: it warns of what is not ours."""
    script = f"""
import json
from mlflow.tracking import MlflowClient
client = MlflowClient("sqlite:///{run / "trackers/mlflow.db"}")
(kept,) = client.search_runs([client.get_experiment_by_name("germline").experiment_id])
assert kept.info.status == "FINISHED"
columns = [client.get_metric_history(kept.info.run_id, name) for name in {NAMES}]
print(json.dumps([[(metric.step, metric.value) for metric in column] for column in columns]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return in_rows(json.loads(done.stdout))


def in_rows(columns: list[list[tuple[Any, Any]]]) -> list[Step]:
    """Columns of (step, value) as steps with all their values, none of them twice."""
    (steps,) = {tuple(step for step, _ in column) for column in columns}
    values = zip(*([value for _, value in column] for column in columns), strict=True)
    return list(zip(steps, values, strict=True))


READ: dict[str, Callable[[Path], list[Step]]] = {
    "tensorboard": read_tensorboard,
    "wandb": read_wandb,
    "mlflow": read_mlflow,
}


def same(kept: list[Step], told: list[Step]) -> bool:
    """Whether each step is there once, in order, with its values; TensorBoard keeps float32."""
    return [step for step, _ in kept] == [step for step, _ in told] and all(
        value == pytest.approx(wanted, rel=1e-6) for (_, value), (_, wanted) in zip(kept, told, strict=True)
    )


@pytest.mark.parametrize("to", READ)
def test_a_tracker_that_dies_at_three_moments_has_each_step_once_and_all_of_them(to: str, run: Path) -> None:
    for part, moment in ((1, "before"), (2, "amid"), (3, "after")):
        command = [sys.executable, "-c", DYING, str(run), to, str(part), moment]
        died = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
        )
        assert died.returncode == -signal.SIGKILL, died.stderr
    tracked(run, to)
    assert same(READ[to](run), curve(run))
    (run / "trackers" / f"{to}.json").unlink()  # as on another machine
    tracked(run, to)
    assert same(READ[to](run), curve(run))


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Path]:
    """A run that goes on while the test looks, for three seconds and more."""
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "sphere.toml").write_text(SPEC.format(path="slow:measure", evaluations=900))
    process = subprocess.Popen(
        [GERMLINE, "run", "sphere.toml", "--workers", "1", "--json"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield tmp_path / "runs" / "sphere"
    process.wait(timeout=120)


def test_a_tracker_beside_a_run_that_is_killed_again_and_again_ends_with_the_whole_curve(live: Path) -> None:
    cursor = live / "trackers" / "tensorboard.json"
    wait_for((live / "run.json").exists)
    for evaluations in (1, 200, 400):
        command = [str(GERMLINE), "track", "--run", str(live), "--to", "tensorboard", "--interval", "0.1"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as tracking:
            wait_for(lambda: tracking.poll() is not None or after(cursor) >= evaluations)  # noqa: B023
            tracking.kill()
    assert after(cursor) >= 400
    wait_for((live / "history.json").exists)
    tracked(live, "tensorboard")
    assert same(read_tensorboard(live), curve(live))


def after(cursor: Path) -> int:
    return int(json.loads(cursor.read_text())["after"]) if cursor.exists() else 0


def wait_for(what: Callable[[], bool], seconds: float = 60.0) -> None:
    give_up = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < give_up, "it did not happen in time"
        time.sleep(0.02)
