"""deploy/sky: SkyPilot reads it, and what it runs on a machine plays for a real master and leaves."""

import importlib
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

from germline.cli.app import run
from germline.client import Client
from germline.ports import free_port
from germline.spec import loads

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy" / "sky" / "workers.yaml"
PATIENCE_S = 120.0
OF_WORKERS, OF_OPERATORS = "token-of-workers", "token-of-operators"
SPEC = """
name = "sphere"
[task.function]
path = "worker.tasks.function:noisy_sphere"
[policy]
name = "vector"
[algorithm.ga]
"""
READ = """
import json, sys, sky
task = sky.Task.from_yaml(sys.argv[1])
print(json.dumps([task.name, [each.use_spot for each in task.resources]]))
"""


@pytest.fixture(scope="module")
def task() -> dict[str, Any]:
    pytest.importorskip("yaml", reason="PyYAML is not here: pip install 'germline[deploy]'")
    found: dict[str, Any] = importlib.import_module("yaml").safe_load(FILE.read_text())
    return found


def read_by_sky(file: Path) -> subprocess.CompletedProcess[str]:
    python = os.environ.get("GERMLINE_SKY_PYTHON", sys.executable)
    return subprocess.run(
        [python, "-c", READ, file], capture_output=True, text=True, check=False, cwd=ROOT
    )  # fmt: skip


@pytest.mark.skipif(
    "GERMLINE_SKY_PYTHON" not in os.environ,
    reason="no SkyPilot (460 MB): GERMLINE_SKY_PYTHON names the Python of an environment with it",
)
def test_skypilot_takes_the_task_and_refuses_a_misspelt_one(tmp_path: Path) -> None:
    read = read_by_sky(FILE)
    assert read.returncode == 0, read.stderr
    assert json.loads(read.stdout.splitlines()[-1]) == ["germline-workers", [True]]
    broken = tmp_path / "broken.yaml"
    broken.write_text(FILE.read_text().replace("use_spot", "use_spots"))
    assert read_by_sky(broken).returncode != 0


@pytest.fixture
def master(tmp_path: Path) -> Iterator[str]:
    """A master with TLS and tokens; gives its address. Its files lie where the task expects them."""
    assert run(["certificates", str(tmp_path / "certificates")]) == 0
    (tmp_path / "ca.pem").write_bytes((tmp_path / "certificates" / "ca.pem").read_bytes())
    (tmp_path / "worker-tokens").write_text(f"{OF_WORKERS}\n")
    address = f"127.0.0.1:{free_port()}"
    files = {"--tls-cert": "certificates/server.pem", "--tls-key": "certificates/server-key.pem"}
    files |= {"--worker-tokens": "worker-tokens", "--store-folder": "store"}
    flags = [word for flag, file in files.items() for word in (flag, str(tmp_path / file))]
    command = [sys.executable, "-m", "master", "--listen", address, "--metrics-port", "-1", *flags]
    process = subprocess.Popen(command, env=os.environ | {"GERMLINE_TOKEN": OF_OPERATORS})
    try:
        yield address
    finally:
        process.terminate()
        code = process.wait(PATIENCE_S)
    assert code == 0


def wait_for(what: str, is_so: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        if is_so():
            return
        time.sleep(0.2)
    raise AssertionError(f"not within {PATIENCE_S:g} s: {what}")


def test_a_machine_runs_a_worker_to_a_core_and_all_leave_when_it_is_taken_away(
    task: dict[str, Any], master: str, tmp_path: Path
) -> None:
    (tmp_path / "germline").mkdir()
    (tmp_path / "germline" / "bin").symlink_to(sysconfig.get_path("scripts"))
    known = {"HOME": str(tmp_path), "GERMLINE_MASTER": master, "GERMLINE_TOKEN": OF_WORKERS}
    told = {name: str(value) for name, value in task["envs"].items()}
    with Client(master, token=OF_OPERATORS, ca=tmp_path / "ca.pem") as client:
        client.wait_until_ready(PATIENCE_S)
        client.create(loads(SPEC))
        machine = subprocess.Popen(["bash", "-c", task["run"]], env=os.environ | told | known)
        try:
            wait_for("a worker to a core", lambda: len(client.workers()) == os.sysconf("SC_NPROCESSORS_ONLN"))
            wait_for("they play", lambda: client.experiment("sphere").evaluations > 100)
        finally:
            machine.send_signal(signal.SIGTERM)
        assert machine.wait(PATIENCE_S) == 0
        assert client.workers() == [], "each has said goodbye, and is not just away"
