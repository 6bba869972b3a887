"""Two versions side by side, as while an upgrade rolls: an earlier build works, or says why it cannot."""

import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path

import pytest

from germline.client import Client
from germline.ports import free_port

ROOT = Path(__file__).parents[2]
EARLIER = "e428cc6"
"""A build of ours that knows no strips of pictures, and fewer settings of an evaluation."""
PATIENCE_S = 90.0
SPHERE = """
name = "sphere"
[task.function]
path = "worker.tasks.function:noisy_sphere"
[policy]
name = "vector"
[algorithm.ga]
"""
STRIPS = """
name = "strips"
[task.atari]
game = "pong"
strips = [12, 72]
strip_rows = [14, 78]
[policy]
name = "linear"
[algorithm.ga]
"""


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the earlier build; skips, loudly, where the history is not at hand."""
    command = ["git", "archive", EARLIER, "germline", "master", "worker"]
    archived = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if archived.returncode:
        pytest.skip(f"{EARLIER} is not in this checkout's history: {archived.stderr.decode().strip()}")
    folder = tmp_path_factory.mktemp("earlier")
    with tarfile.open(fileobj=BytesIO(archived.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def start() -> Iterator[Callable[..., None]]:
    """Starts a service of the code in a folder; all of them end with the test."""
    with ExitStack() as house:

        def started(service: str, build: Path, *flags: str) -> None:
            environment = os.environ | {"PYTHONPATH": str(build)}
            process = subprocess.Popen([sys.executable, "-m", service, *flags], cwd=build, env=environment)
            house.callback(process.wait, PATIENCE_S)
            house.callback(process.terminate)

        yield started


def wait_for(what: str, is_so: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        if is_so():
            return
        time.sleep(0.1)
    raise AssertionError(f"not within {PATIENCE_S:g} s: {what}")


def master(start: Callable[..., None], build: Path, store: Path) -> str:
    address = f"127.0.0.1:{free_port()}"
    start("master", build, "--listen", address, "--metrics-port", "-1", "--store-folder", str(store))
    return address


def submit(build: Path, address: str, text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Submit a spec with the command line of a build, which fills in the defaults that it knows."""
    (folder / "spec.toml").write_text(text)
    program = "import sys; from germline.cli import main; main(sys.argv[1:])"
    words = ("submit", str(folder / "spec.toml"), "--master", address)
    return subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=build, env=os.environ | {"PYTHONPATH": str(build)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def played(client: Client, name: str) -> int:
    return client.experiment(name).evaluations


def test_an_earlier_worker_says_what_it_does_not_know_and_leaves_it_to_a_later_one(
    earlier: Path, start: Callable[..., None], tmp_path: Path
) -> None:
    address = master(start, ROOT, tmp_path / "store")
    start("worker", earlier, "--master", address, "--device", "cpu")
    with Client(address) as client:
        client.wait_until_ready(PATIENCE_S)
        assert submit(ROOT, address, STRIPS, tmp_path).returncode == 0
        wait_for("it says why not", lambda: "too old" in client.experiment("strips").trouble)
        assert "task.atari has field 4, which this build does not know" in client.experiment("strips").trouble
        assert len(client.workers()) == 1, "it lives on, for what it knows"
        start("worker", ROOT, "--master", address, "--device", "cpu")
        wait_for("a later one plays it", lambda: played(client, "strips") > 0)


def test_a_later_worker_plays_for_an_earlier_master_which_refuses_what_it_does_not_know(
    earlier: Path, start: Callable[..., None], tmp_path: Path
) -> None:
    address = master(start, earlier, tmp_path / "store")
    start("worker", ROOT, "--master", address, "--device", "cpu")
    with Client(address) as client:
        client.wait_until_ready(PATIENCE_S)
        refused = submit(ROOT, address, STRIPS, tmp_path)
        assert refused.returncode == 4
        assert "which this build does not know: a later one wrote it" in refused.stderr
        assert submit(ROOT, address, SPHERE, tmp_path).returncode == 0
        wait_for("it plays", lambda: played(client, "sphere") > 100)


def test_an_earlier_worker_plays_what_is_new_after_its_master_was_upgraded(
    earlier: Path, start: Callable[..., None], tmp_path: Path
) -> None:
    address = master(start, ROOT, tmp_path / "store")
    start("worker", earlier, "--master", address, "--device", "cpu")
    with Client(address) as client:
        client.wait_until_ready(PATIENCE_S)
        for spec in (
            SPHERE,
            SPHERE.replace('name = "sphere"', 'name = "evolving"').replace("ga]", "eggroll]"),
        ):
            assert submit(ROOT, address, spec, tmp_path).returncode == 0
        for name in ("sphere", "evolving"):
            wait_for(f"it plays {name}", lambda: played(client, name) > 100)  # noqa: B023 - done with at once


def test_a_later_master_goes_on_with_what_an_earlier_one_kept_and_with_its_workers(
    earlier: Path, start: Callable[..., None], tmp_path: Path
) -> None:
    address = f"127.0.0.1:{free_port()}"
    flags = ("--listen", address, "--metrics-port", "-1", "--store-folder", str(tmp_path / "store"))
    first = subprocess.Popen(
        [sys.executable, "-m", "master", *flags], cwd=earlier, env=os.environ | {"PYTHONPATH": str(earlier)}
    )
    start("worker", earlier, "--master", address, "--device", "cpu")
    with Client(address) as client:
        try:
            client.wait_until_ready(PATIENCE_S)
            assert submit(earlier, address, SPHERE, tmp_path).returncode == 0
            wait_for("it plays", lambda: played(client, "sphere") > 100)
            before = played(client, "sphere")
        finally:
            first.terminate()
            first.wait(PATIENCE_S)
    start("master", ROOT, *flags)
    with Client(address) as client:
        client.wait_until_ready(PATIENCE_S)
        assert played(client, "sphere") >= before
        wait_for("the same worker goes on", lambda: played(client, "sphere") > before + 100)
