"""`germline publish` to S3, as moto's server speaks it: a real master and worker; a publisher is killed."""

import json
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from germline import backup_file
from germline.card import parse_card
from germline.cli.app import run
from germline.client import Client
from germline.ports import free_port
from germline.spec import loads
from tests.buckets import PATIENCE_S, Bucket, served

TASK = '[task.function]\npath = "worker.tasks.function:noisy_sphere"\n[policy]\nname = "vector"\n'
HILL = f'name = "hill"\n{TASK}[algorithm.ga]\nwindow = 50\nparents = 5\n'
BOWL = f"""
name = "bowl"
{TASK}[algorithm.eggroll]
pairs = 8
validation_epochs = 2
checkpoint_epochs = 2
[stop]
evaluations = 400
"""


def wait_for(what: str, is_so: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        if is_so():
            return
        time.sleep(0.1)
    raise AssertionError(f"not within {PATIENCE_S:g} s: {what}")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    with served("champions", monkeypatch) as bucket:
        yield bucket


def published(bucket: Bucket, name: str) -> list[dict[str, Any]]:
    if f"november/{name}/published.json" not in bucket.names():
        return []
    found: list[dict[str, Any]] = json.loads(bucket.read(f"november/{name}/published.json"))["champions"]
    return found


@pytest.fixture
def master(tmp_path: Path) -> Iterator[str]:
    """A master with one worker; gives its address."""
    address = f"127.0.0.1:{free_port()}"
    flags = ("--listen", address, "--metrics-port", "-1", "--store-folder", str(tmp_path / "store"))
    processes = [subprocess.Popen([sys.executable, "-m", "master", *flags], stderr=subprocess.DEVNULL)]
    worker = ("--master", address, "--device", "cpu")
    processes.append(subprocess.Popen([sys.executable, "-m", "worker", *worker], stderr=subprocess.DEVNULL))
    try:
        with Client(address) as client:
            client.wait_until_ready(PATIENCE_S)
        yield address
    finally:
        for process in processes:
            process.terminate()
        codes = {process.wait(PATIENCE_S) for process in processes}
    assert codes <= {0, -signal.SIGTERM}  # a worker may still be loading torch


def publisher(master: str, *flags: str) -> subprocess.Popen[bytes]:
    program = Path(sysconfig.get_path("scripts")) / "germline"
    where = ("--master", master, "--to", "s3://champions/november", "--interval", "0.2")
    return subprocess.Popen([program, "publish", "hill", *where, *flags], stdout=subprocess.DEVNULL)


def test_champions_come_to_s3_as_they_are_crowned_and_one_that_is_killed_goes_on(
    bucket: Bucket, master: str, tmp_path: Path
) -> None:
    with Client(master) as client:
        client.create(loads(HILL))
        first = publisher(master, "--weights")
        try:
            wait_for("a champion is published", lambda: bool(published(bucket, "hill")))
        finally:
            first.send_signal(signal.SIGKILL)
            first.wait(PATIENCE_S)
        before = [each["id"] for each in published(bucket, "hill")]
        second = publisher(master, "--weights", "--backup")
        wait_for("another one is", lambda: len(published(bucket, "hill")) > len(before))
        client.stop("hill")
        assert second.wait(PATIENCE_S) == 0
        last = client.individual("hill")
    found = published(bucket, "hill")
    ids = [each["id"] for each in found]
    assert ids[: len(before)] == before
    assert {file for each in found for file in each["files"]} <= {
        name.removeprefix("november/") for name in bucket.names()
    }
    card = parse_card(bucket.read("november/hill/champion.toml").decode())
    assert card.genome == last.genome
    assert card.score is None or card.score.episodes == last.validation_episodes
    kept = tmp_path / "all.backup"
    kept.write_bytes(bucket.read("november/hill/experiment.backup"))
    assert [each.name for each in backup_file.read(kept)] == ["hill"]


def test_the_centre_of_an_evolution_strategy_is_published_as_it_can_be_played_again(
    bucket: Bucket, master: str, tmp_path: Path
) -> None:
    with Client(master) as client:
        client.create(loads(BOWL))
        where = ("--master", master, "--to", "s3://champions/november", "--interval", "0.2")
        assert run(["publish", "bowl", *where]) == 0
    newest = published(bucket, "bowl")[-1]
    file = tmp_path / "centre.safetensors"
    file.write_bytes(bucket.read(f"november/bowl/champions/{newest['id']}/centre.safetensors"))
    assert bucket.read("november/bowl/centre.safetensors") == file.read_bytes()
    assert run(["evaluate", str(file), "--episodes", "4"]) == 0


def test_a_bucket_that_is_not_there_is_said_and_the_command_ends_with_1(
    bucket: Bucket, master: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Client(master) as client:
        client.create(loads(HILL))
    assert run(["publish", "hill", "--master", master, "--to", "s3://nobodys/x", "--once"]) == 1
    assert "s3://nobodys/x/hill/published.json cannot be read: " in capsys.readouterr().err
