"""deploy/ray on a real Ray of this machine: submitted as a job, an actor that dies, a stop, nothing lost."""

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from germline.ports import free_port

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy" / "ray" / "germline_on_ray.py"
PATIENCE_S = 90.0
JOBS = ("first", "second")
SPEC = """
name = "sphere"
[task.function]
path = "worker.tasks.function:noisy_sphere"
[policy]
name = "vector"
[algorithm.ga]
window = 50
parents = 5
[stop]
seconds = 3600
"""

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not Path(sysconfig.get_path("scripts"), "ray").exists(),
        reason="no Ray beside this Python: pip install 'ray[default]' (400 MB)",
    ),
]


def wait_for(what: str, is_so: Callable[[], bool], log: Callable[[], str] = str) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        if is_so():
            return
        time.sleep(0.5)
    raise AssertionError(f"not within {PATIENCE_S:g} s: {what}\n{log()}")


class Cluster:
    """A Ray of one node, with a token, that is gone with its process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "token").write_text("0" * 64)
        self.address = f"http://127.0.0.1:{free_port()}"
        self.environment = {
            **os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
            "RAY_USAGE_STATS_ENABLED": "0",
        }  # fmt: skip
        flags = ("--port", str(free_port()), "--temp-dir", str(folder), "--num-cpus", "3", "--block")
        served = ("--dashboard-host", "127.0.0.1", "--dashboard-port", self.address.rpartition(":")[2])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", *flags, *served],
            env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def job(self, *words: str, check: bool = True) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "ray.scripts.scripts", "job", *words, "--address", self.address],
            env=self.environment, capture_output=True, text=True, check=False,
        ) if "--" not in words else self._submitted(words)  # fmt: skip
        assert not check or done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def _submitted(self, words: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        first, *rest = words
        command = [
            sys.executable,
            "-m",
            "ray.scripts.scripts",
            "job",
            first,
            "--address",
            self.address,
            *rest,
        ]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)

    def stop(self) -> None:
        """Stop the jobs first: Ray would kill their masters, and leave the masters' stores."""
        for name in JOBS:
            self.job("stop", name, check=False)
        self._process.terminate()
        self._process.wait(PATIENCE_S)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="ray"))  # short: its sockets' names have a limit
    cluster = Cluster(folder)
    try:
        wait_for("Ray takes jobs", lambda: "not found" not in cluster.job("list", check=False) != "")
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def processes(words: str) -> dict[int, int]:
    """Processes with these words on their command line, and their parents."""
    shown = subprocess.run(
        ["ps", "-wweo", "pid,ppid,args"], capture_output=True, text=True, check=True
    ).stdout
    found = (re.match(r"\s*(\d+)\s+(\d+)\s+(.*)", line) for line in shown.splitlines()[1:])
    return {int(each[1]): int(each[2]) for each in found if each and words in each[3]}


def test_a_job_plays_with_actors_and_goes_on_where_it_was_stopped(cluster: Cluster, tmp_path: Path) -> None:
    for name, text in (("sphere.toml", SPEC), (SCRIPT.name, SCRIPT.read_text())):
        (tmp_path / name).write_text(text)
    journal = tmp_path / "journal"

    def submit(name: str) -> None:
        program = (sys.executable, SCRIPT.name, "sphere.toml", "--workers", "2", "--folder", str(journal))
        options = ("--no-wait", "--entrypoint-num-cpus", "1", "--working-dir", str(tmp_path))
        words = ("submit", *options, "--submission-id", name, "--", *program, "--worker-flags=--device cpu")
        # A node that has just started has no agent yet, and says so.
        wait_for("Ray takes the job", lambda: "submitted successfully" in cluster.job(*words, check=False))

    def told(name: str) -> list[tuple[int, int]]:
        """Evaluations and workers, look by look."""
        looks = re.findall(r"is running: ([\d,]+) evaluations, (\d+) workers", cluster.job("logs", name))
        return [(int(evaluations.replace(",", "")), int(workers)) for evaluations, workers in looks]

    submit("first")
    wait_for(
        "both actors play",
        lambda: any(n > 100 and workers == 2 for n, workers in told("first")),
        lambda: cluster.job("logs", "first"),
    )
    (worker, actor), *_ = sorted(processes("--worker-id ray-").items())
    os.kill(actor, signal.SIGKILL)
    wait_for("its worker drains and leaves", lambda: worker not in processes("--worker-id ray-"))
    wait_for("Ray starts another actor, and that a worker", lambda: len(processes("--worker-id ray-")) == 2)
    before = told("first")[-1][0]
    cluster.job("stop", "first")
    wait_for("all have left", lambda: not processes("--worker-id ray-") and not processes(str(journal)))
    submit("second")
    wait_for("it goes on", lambda: bool(told("second")))
    assert told("second")[0][0] >= before
    cluster.job("stop", "second")
    wait_for("all have left", lambda: not processes("--worker-id ray-") and not processes(str(journal)))


def test_a_job_names_a_spec_or_a_master() -> None:
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "name either a spec" in done.stderr
