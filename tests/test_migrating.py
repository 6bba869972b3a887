"""What docs/migrating.md shows works as it is written."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.protobuf import empty_pb2

from germline.cli.app import run
from germline.peers import neuro_pb2, neuro_pb2_grpc
from germline.ports import free_port
from germline.spec import load, loads, to_toml
from tests.pages import ROOT, page

PAGE = page("docs/migrating.md")
SCRIPTS = sysconfig.get_path("scripts")


@pytest.mark.parametrize("title", ["From torcheggroll", "From eggroll-trainer"])
def test_every_snippet_of_a_python_interface_runs_as_it_is_written(
    title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = PAGE.section(title).blocks("python")
    assert len(shown) >= 2
    scope: dict[str, object] = {}
    for snippet in shown:
        exec(snippet, scope)  # noqa: S102 - our own page
    if title == "From torcheggroll":
        assert isinstance(scope["mean_fitness"], float)
        assert (tmp_path / "checkpoint.pt").is_file()
    else:
        assert len(re.findall("generation", capsys.readouterr().out)) == 5


class ShownMaster:
    """The master of the page's own line, on a free port."""

    def __init__(self, folder: Path) -> None:
        (shown,) = re.findall(
            r"^\$ (germline master .*)$", PAGE.section("From cshenton/neuroevolution").text, re.MULTILINE
        )
        self.address = f"127.0.0.1:{free_port()}"
        self._folder = folder
        self._line = shown.replace("127.0.0.1:8080", self.address)
        plain = {name: value for name, value in os.environ.items() if not name.startswith("GERMLINE_")}
        self.environment = {**plain, "PATH": f"{SCRIPTS}:{plain['PATH']}", "PYTHONPATH": str(ROOT)}

    @contextlib.contextmanager
    def up(self) -> Iterator[subprocess.Popen[bytes]]:
        """Serve until told to stop, or until somebody kills it."""
        words = [*shlex.split(self._line), "--listen", "localhost:0", "--metrics-port", "-1"]
        process = subprocess.Popen(words, cwd=self._folder, env=self.environment)
        try:
            with grpc.insecure_channel(self.address) as channel:
                grpc.channel_ready_future(channel).result(60)
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(60)

    def status(self) -> neuro_pb2.Top:
        """The best so far."""
        with grpc.insecure_channel(self.address) as channel:
            return neuro_pb2_grpc.NeuroStub(channel).Status(empty_pb2.Empty())


def test_a_worker_of_neuroevolution_plays_on_a_master_that_is_started_as_shown(tmp_path: Path) -> None:
    master = ShownMaster(tmp_path)
    worker = [sys.executable, str(ROOT / "tests/peers/neuro_worker.py"), master.address, "20"]
    with master.up() as process:
        played = subprocess.check_output(worker, env=master.environment, text=True)
        top = master.status()
    assert process.returncode == 0
    episodes = [json.loads(each) for each in played.splitlines()]
    best, score = max(episodes, key=lambda episode: episode[1])
    assert (list(top.top_individual.seeds), top.top_score, top.num_iter) == (best, score, 20)


def test_a_master_that_is_killed_has_kept_every_score_that_it_answered(tmp_path: Path) -> None:
    master, answered = ShownMaster(tmp_path), 0
    with master.up() as process, grpc.insecure_channel(master.address) as channel:
        stub = neuro_pb2_grpc.NeuroStub(channel)
        for seed in range(40):
            stub.Show(neuro_pb2.Evaluation(individual=neuro_pb2.Individual(seeds=[seed]), score=seed))
            answered += 1
        process.kill()
    with master.up():
        top = master.status()
    assert (list(top.top_individual.seeds), top.num_iter) == ([39], answered)


def test_seeds_are_imported_as_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (spec,) = PAGE.section("From cshenton/neuroevolution").blocks("toml")
    Path("venture.toml").write_text(spec)
    np.savez("inits.npz", np.zeros((4, 2), np.float32), np.zeros(2, np.float32))
    lines = re.findall(r"^\$ germline (\w[\w-]* .*policy\.safetensors.*)$", PAGE.text, re.MULTILINE)
    assert [line.split()[0] for line in lines] == ["import-seeds", "evaluate"]
    for line in lines:
        assert run(shlex.split(line, comments=True)) == 0
        assert re.search(r"mean \d", capsys.readouterr().out)


def test_ubers_settings_are_those_of_the_spec_that_is_run() -> None:
    section_ = PAGE.section("From Uber's deep-neuroevolution").text
    theirs, strategy = PAGE.section("From Uber's deep-neuroevolution").blocks("toml")
    shown, ready = loads(theirs), load(ROOT / "experiments" / "frostbite-ga.toml")
    shown.name, shown.task.atari.game, shown.stop.frames = "frostbite-ga", "frostbite", ready.stop.frames
    assert to_toml(shown) == to_toml(ready)
    assert loads(strategy).algorithm.eggroll.pairs == 2_500
    for setting in re.findall(r"`(window|parents|power|candidates) = ([\d_.]+)`", section_):
        name, value = setting
        assert getattr(ready.algorithm.ga, name) == pytest.approx(float(value))
