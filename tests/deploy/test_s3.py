"""`germline publish` to S3, as moto's server speaks it: a real master and worker; a publisher is killed."""

import importlib
import json
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from germline import backup_file
from germline.card import parse_card
from germline.cli.app import run
from germline.client import Client
from germline.ports import free_port
from germline.spec import loads

PATIENCE_S = 120.0
KEYS = {"AWS_ACCESS_KEY_ID": "of", "AWS_SECRET_ACCESS_KEY": "nobody", "AWS_DEFAULT_REGION": "us-east-1"}
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


class Bucket:
    """A bucket on moto's server, and what lies in it."""

    def __init__(self, client: Any) -> None:
        self._client = client
        client.create_bucket(Bucket="champions")

    def names(self) -> set[str]:
        found = self._client.list_objects_v2(Bucket="champions").get("Contents", ())
        return {each["Key"] for each in found}

    def read(self, name: str) -> bytes:
        return bytes(self._client.get_object(Bucket="champions", Key=name)["Body"].read())

    def published(self, name: str) -> list[dict[str, Any]]:
        if f"november/{name}/published.json" not in self.names():
            return []
        found: list[dict[str, Any]] = json.loads(self.read(f"november/{name}/published.json"))["champions"]
        return found


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    pytest.importorskip("moto", reason="moto is not here: pip install 'germline[deploy]'")
    address = f"http://127.0.0.1:{free_port()}"
    for name, value in (KEYS | {"AWS_ENDPOINT_URL": address}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    flags = ("-m", "moto.server", "-H", "127.0.0.1", "-p", address.rpartition(":")[2])
    server = subprocess.Popen([sys.executable, "-W", "ignore", *flags], stderr=subprocess.DEVNULL)
    try:
        yield _asked(importlib.import_module("boto3").client("s3"))
    finally:
        server.terminate()
        server.wait(PATIENCE_S)


def _asked(client: Any) -> Bucket:
    errors = importlib.import_module("botocore.exceptions")
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        with suppress(errors.EndpointConnectionError, errors.ConnectionClosedError):
            return Bucket(client)
        time.sleep(0.2)
    raise AssertionError("moto's server does not answer")


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
            wait_for("a champion is published", lambda: bool(bucket.published("hill")))
        finally:
            first.send_signal(signal.SIGKILL)
            first.wait(PATIENCE_S)
        before = [each["id"] for each in bucket.published("hill")]
        second = publisher(master, "--weights", "--backup")
        wait_for("another one is", lambda: len(bucket.published("hill")) > len(before))
        client.stop("hill")
        assert second.wait(PATIENCE_S) == 0
        last = client.individual("hill")
    found = bucket.published("hill")
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
    newest = bucket.published("bowl")[-1]
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
