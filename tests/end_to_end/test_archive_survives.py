"""A master that is killed again and again, with its store: the archive holds every evaluation once."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from germline.archive.files import ArchiveFiles, archives_in
from germline.archive.view import ColumnCache, View
from germline.bench.serving import served
from germline.client import Client
from germline.destinations import Folder
from germline.spec import loads

PATIENCE_S = 120.0
GA = """
name = "archived"
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[algorithm.ga]
window = 200
parents = 10
"""
EGGROLL = """
name = "archived"
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[algorithm.eggroll]
pairs = 64
slice_pairs = 4
validation_epochs = 0
"""


@contextlib.contextmanager
def fleet(address: str, evaluations: int) -> Iterator["subprocess.Popen[str]"]:
    sizes = ("--streams", "4", "--batch", "8", "--in-flight", "64", "--evaluations", str(evaluations))
    command = [sys.executable, "-m", "germline.bench.fleet", address, *sizes]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def archived(folder: Path) -> View:
    (_, name) = next(archives_in(folder))
    files = ArchiveFiles(Folder(folder), name)
    files.open()
    return View.of_files(files, ColumnCache())


def kill_when_it_has(process: "subprocess.Popen[str]", evaluations: int, master: int) -> None:
    """SIGKILL the master once the fleet had so many acknowledged."""
    assert process.stdout is not None
    for line in process.stdout:
        if float(line.strip("[]\n").split(",")[1]) >= evaluations:
            break
    os.kill(master, signal.SIGKILL)


@pytest.mark.parametrize("spec", [GA, EGGROLL], ids=["ga", "eggroll"])
def test_after_kill_9_and_again_the_archive_has_what_the_experiment_counts(tmp_path: Path, spec: str) -> None:
    flags = ("--snapshot-interval-s", "0.3")
    for round_ in range(4):
        with served(tmp_path, *flags) as master, Client(master.address) as client:
            if not round_:
                client.create(loads(spec))
            with fleet(master.address, 100_000) as workers:
                kill_when_it_has(workers, 1_500, master.pid)
    with served(tmp_path, *flags) as master, Client(master.address) as client:
        with fleet(master.address, 500) as workers:
            workers.communicate(timeout=PATIENCE_S)
            assert workers.returncode == 0
        client.stop("archived")
        experiment = client.experiment("archived")
    view = archived(tmp_path / "archive")
    assert view.numbers().tolist() == list(range(len(view.numbers())))
    assert len(view.numbers()) == experiment.evaluations
    if experiment.spec.algorithm.HasField("ga"):
        records = view.records()
        made_of = set(records["individual"].tolist())
        assert set(records["parent"].tolist()) - {0} <= made_of
        assert np.all(np.diff(records["running_cs"].astype(np.int64)) >= 0)
    else:
        assert len(np.unique(view.column("individual"))) == experiment.evaluations
