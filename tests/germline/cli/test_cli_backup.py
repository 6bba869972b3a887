"""Experiments are written into a file and taken into another store by commands, against real masters."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from germline.cli.app import run
from germline.client import Client
from germline.ports import free_port
from germline.spec import loads

PATIENCE_S = 60.0
SPEC = """
name = "{name}"
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[algorithm.ga]
"""


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Starts masters, each with a store of its own; gives their addresses."""
    monkeypatch.chdir(tmp_path)
    masters: list[subprocess.Popen[bytes]] = []

    def begin(store: str) -> str:
        address = f"127.0.0.1:{free_port()}"
        flags = ("--listen", address, "--metrics-port", "-1", "--store-folder", store)
        masters.append(subprocess.Popen([sys.executable, "-m", "master", *flags], stderr=subprocess.DEVNULL))
        with Client(address) as client:
            client.wait_until_ready(PATIENCE_S)
        return address

    yield begin
    for master in masters:
        master.terminate()
        assert master.wait(PATIENCE_S) == 0


def test_all_experiments_go_into_one_file_and_out_of_it_into_another_store(
    start: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = start("one"), start("two")
    with Client(one) as client:
        for name in ("first", "second"):
            client.create(loads(SPEC.format(name=name)))
        client.pause("second")
    assert run(["backup", "all.backup", "--master", one]) == 0
    assert capsys.readouterr().out.startswith("2 experiments in all.backup, ")
    assert run(["backup", "all.backup", "--master", one]) == 2
    assert "write over it with --force" in capsys.readouterr().err
    assert run(["restore", "all.backup", "second", "--as", "third", "--master", two]) == 0
    assert run(["restore", "all.backup", "--master", two]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "third is paused, 0 evaluations",
        "first is running, 0 evaluations",
        "second is paused, 0 evaluations",
    ]
    with Client(two) as client:
        assert [each.name for each in client.experiments()] == ["third", "first", "second"]


def test_what_cannot_be_restored_is_said_before_anything_is(
    start: Callable[[str], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    master = start("one")
    with Client(master) as client:
        client.create(loads(SPEC.format(name="kept")))
    assert run(["backup", "one.backup", "kept", "--master", master]) == 0
    for arguments, status, sentence in (
        (["one.backup", "other"], 2, "one.backup has no experiment other"),
        (["one.backup"], 4, "an experiment is called 'kept' already"),
    ):
        assert run(["restore", *arguments, "--master", master]) == status
        assert sentence in capsys.readouterr().err
    (tmp_path / "one.backup").write_bytes((tmp_path / "one.backup").read_bytes()[:-20])
    assert run(["restore", "one.backup", "--master", master]) == 2
    assert "one.backup is damaged" in capsys.readouterr().err
