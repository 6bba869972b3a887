"""`germline run` with real processes: a master, its store, workers, and people who press Ctrl-C."""

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from germline.eggroll import centre_file
from germline.genome import Genome

GERMLINE = Path(sysconfig.get_path("scripts")) / "germline"
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

BOWL = """
name = "bowl"
[task.function]
path = "bowl:measure"
dimension = 5
[policy]
name = "vector"
[algorithm.eggroll]
pairs = 4
slice_pairs = 1
sigma = 0.1
learning_rate = 0.1
validation_epochs = 0
checkpoint_epochs = 0
[stop]
evaluations = 16
"""
UNEQUAL = """
import os, time

try:
    os.close(os.open("quick", os.O_CREAT | os.O_EXCL))
    PAUSE_S = 0.0
except FileExistsError:
    PAUSE_S = 0.7

def measure(weights, seed):
    time.sleep(PAUSE_S)
    return -float((weights**2).sum())
"""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `germline` in the test's folder; what still runs at the end is ended."""
    (tmp_path / "sphere.toml").write_text(SPEC)
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        process = subprocess.Popen([GERMLINE, *arguments], cwd=tmp_path, stdout=pipe, stderr=pipe, text=True)
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        if process.stdout and not process.stdout.closed:
            process.communicate()


def finish(process: subprocess.Popen[str], code: int = 0) -> dict[str, Any]:
    """The JSON object on the last line of a `run --json` that ends with this exit code."""
    out, err = process.communicate(timeout=240)
    assert process.returncode == code, out + err
    result: dict[str, Any] = json.loads(out.splitlines()[-1])
    return result


def wait_for(what: Callable[[], bool], seconds: float = 240.0) -> None:
    give_up = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < give_up, "it did not happen in time"
        time.sleep(0.05)


def children_of(process: subprocess.Popen[str], module: str) -> list[int]:
    """Process ids of a run's children of one kind."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
            command = (status.parent / "cmdline").read_text().split("\0")
        except OSError:
            continue
        if int(fields[1]) == process.pid and module in command:
            found.append(int(status.parent.name))
    return found


def evaluations_told(tmp_path: Path) -> int:
    """How far the run in the test's folder is, as its master says."""
    looked = subprocess.run(
        [GERMLINE, "status", "--run", "runs/sphere", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    return int(json.loads(looked.stdout)["evaluations"]) if looked.returncode == 0 else 0


def test_a_run_ends_with_one_json_object_and_a_policy_card(start: Start, tmp_path: Path) -> None:
    result = finish(start("run", "sphere.toml", "--evaluations", "3000", "--workers", "2", "--json"))
    assert (result["experiment"], result["state"], result["workers"]) == ("sphere", "complete", 2)
    assert result["evaluations"] == result["episodes"] == result["frames"] == 3000
    assert result["frames_per_second"] == pytest.approx(3000 / result["seconds"])
    champion = result["champion"]
    assert (champion["episodes"], champion["verdict"], champion["exact"]) == (100, True, False)
    assert result["best_fitness"] >= champion["mean"] - 1
    genome = Genome.decode(base64.b64decode(champion["genome"]))
    assert (f"{genome.id:016x}", len(genome)) == (champion["id"], champion["mutations"])
    assert champion["id"] in (tmp_path / "runs" / "sphere" / "champion.toml").read_text()


def test_a_champion_is_polished_from_where_it_stands(start: Start, tmp_path: Path) -> None:
    (tmp_path / "hill.py").write_text("def height(weights, _):\n    return -float((weights**2).sum())\n")
    hill = SPEC.replace('"sphere"', '"hill"').replace("worker.tasks.function:noisy_sphere", "hill:height")
    (tmp_path / "hill.toml").write_text(hill)
    champion = finish(start("run", "hill.toml", "--workers", "1", "--json"))["champion"]
    polish = BOWL.replace("bowl:measure", "hill:height").replace("dimension = 5", "dimension = 10")
    from_there = 'validation_epochs = 1\nstart = "runs/hill/champion.toml"'
    (tmp_path / "bowl.toml").write_text(polish.replace("validation_epochs = 0", from_there))
    result = finish(start("run", "bowl.toml", "--workers", "2", "--json"))
    first, *_ = json.loads((tmp_path / "runs" / "bowl" / "history.json").read_text())
    assert first["champion_mean"] == pytest.approx(champion["mean"], rel=1e-12)
    assert result["champion"]["mean"] >= first["champion_mean"]
    assert "champion.toml" not in (tmp_path / "runs" / "bowl" / "spec.toml").read_text(), "it stands alone"


def test_a_run_waits_for_the_last_centre_of_its_slowest_worker(start: Start, tmp_path: Path) -> None:
    (tmp_path / "bowl.toml").write_text(BOWL)
    (tmp_path / "bowl.py").write_text(UNEQUAL)
    result = finish(start("run", "bowl.toml", "--workers", "2", "--json"))
    assert (result["state"], result["evaluations"]) == ("complete", 16)
    champion = result["champion"]
    assert (champion["verdict"], champion["episodes"], champion["mutations"]) == (True, 100, 2)
    assert champion["half_width"] == 0, "every call of this function returns the same"
    assert centre_file.read((tmp_path / "runs" / "bowl" / "centre.safetensors").read_bytes()).epoch == 2
    experiment = json.loads((tmp_path / "runs" / "bowl" / "experiment.json").read_text())
    assert (experiment["epochs"], experiment["checkpoints_wanted"]) == (2, 0)
    assert experiment["centre_digest"]


NEVER = """
def measure(weights, seed):
    raise RuntimeError("no licence server")
"""


def test_a_run_whose_function_always_raises_ends_with_what_it_says(start: Start, tmp_path: Path) -> None:
    (tmp_path / "never.py").write_text(NEVER)
    (tmp_path / "never.toml").write_text(SPEC.replace("worker.tasks.function:noisy_sphere", "never:measure"))
    process = start("run", "never.toml", "--workers", "1", "--json")
    out, err = process.communicate(timeout=240)
    assert process.returncode == 1, err
    result = json.loads(out.splitlines()[-1])
    assert (result["state"], result["evaluations"]) == ("paused", 0)
    assert result["failed"] >= 20  # what was out then failed, too
    for text in (err, result["trouble"]):
        assert "20 of the last 20 individuals could not be scored" in text
        assert "failed 3 times, then on worker-1: RuntimeError: no licence server" in text


def test_ctrl_c_drains_and_running_again_goes_on(start: Start, tmp_path: Path) -> None:
    first = start("run", "sphere.toml", "--evaluations", "120000", "--workers", "2", "--json")
    wait_for(lambda: evaluations_told(tmp_path) > 100)
    first.send_signal(signal.SIGINT)
    half = finish(first, code=130)
    assert 100 < half["evaluations"] < 120_000
    assert half["state"] == "running"
    whole = finish(start("run", "sphere.toml", "--workers", "2", "--json"))
    assert (whole["state"], whole["evaluations"]) == ("complete", 120_000)
    assert whole["seconds"] > half["seconds"]


def test_a_run_survives_the_death_of_a_worker_and_of_its_master(start: Start, tmp_path: Path) -> None:
    process = start("run", "sphere.toml", "--evaluations", "120000", "--workers", "2", "--json")
    wait_for(lambda: evaluations_told(tmp_path) > 100)
    os.kill(children_of(process, "worker")[0], signal.SIGKILL)
    os.kill(children_of(process, "master")[0], signal.SIGKILL)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert json.loads(out)["evaluations"] == 120_000
    assert "ended with status -9 and was started again (1/5)" in err


def servers_in(folder: Path) -> list[str]:
    """The store's servers that work in a folder, by their command lines."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_text()
            if "valkey-server" in command and (process / "cwd").readlink().is_relative_to(folder):
                found.append(command)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_run_that_is_killed_leaves_no_process_behind(start: Start, tmp_path: Path) -> None:
    process = start("run", "sphere.toml", "--evaluations", "1000000", "--workers", "1", "--json")
    wait_for(lambda: evaluations_told(tmp_path) > 10)
    assert servers_in(tmp_path)
    process.kill()
    process.wait()
    wait_for(lambda: not servers_in(tmp_path))


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_run_whose_terminal_and_reader_are_gone_drains_and_leaves_its_champion(
    start: Start, tmp_path: Path
) -> None:
    process = start("run", "sphere.toml", "--evaluations", "1000000", "--workers", "1", "--plain")
    wait_for(lambda: evaluations_told(tmp_path) > 10)
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    process.stderr.close()
    process.send_signal(signal.SIGHUP)
    assert process.wait(240) == 130
    assert (tmp_path / "runs" / "sphere" / "champion.toml").exists()
    assert not servers_in(tmp_path)


def test_a_second_run_in_the_same_folder_is_refused(start: Start, tmp_path: Path) -> None:
    first = start("run", "sphere.toml", "--evaluations", "1000000", "--workers", "1", "--json")
    wait_for(lambda: evaluations_told(tmp_path) > 10)
    _, said = start("run", "sphere.toml").communicate(timeout=240)
    assert f"is in use by process {first.pid}" in said
    first.send_signal(signal.SIGINT)
    finish(first, code=130)


def test_another_spec_in_the_same_folder_is_refused_line_by_line(start: Start, tmp_path: Path) -> None:
    finish(start("run", "sphere.toml", "--workers", "1", "--json"))
    kept = tomllib.loads((tmp_path / "runs" / "sphere" / "spec.toml").read_text())
    assert kept["algorithm"]["ga"]["selection"] == "truncation", "the folder keeps the complete spec"
    (tmp_path / "sphere.toml").write_text(SPEC.replace("power = 0.2", "power = 0.3"))
    other = start("run", "sphere.toml", "--workers", "1")
    _, said = other.communicate(timeout=240)
    assert other.returncode == 2
    assert "there: power = 0.2" in said
    assert "here:  power = 0.3" in said


def test_a_complete_run_goes_on_once_its_spec_has_another_stop(start: Start, tmp_path: Path) -> None:
    finish(start("run", "sphere.toml", "--workers", "1", "--json"))
    (tmp_path / "sphere.toml").write_text(SPEC.replace("evaluations = 300", "evaluations = 450"))
    result = finish(start("run", "sphere.toml", "--workers", "1", "--json"))
    assert (result["state"], result["evaluations"]) == ("complete", 450)


def test_a_folder_is_one_run_whose_results_nobody_else_overwrites(start: Start, tmp_path: Path) -> None:
    first = finish(start("run", "sphere.toml", "--workers", "1", "--folder", "mine", "--json"))
    kept = {file: file.read_bytes() for file in (tmp_path / "mine").glob("*.*")}
    (tmp_path / "other.toml").write_text(SPEC.replace("sphere", "other", 1))
    for command in (("run", "other.toml", "--folder", "mine"), ("submit", "other.toml", "--run", "mine")):
        other = start(*command)
        _, said = other.communicate(timeout=240)
        assert other.returncode == 2
        assert "mine holds the run of 'sphere' and nothing else; give 'other' a --folder of its own" in said
    assert kept == {file: file.read_bytes() for file in (tmp_path / "mine").glob("*.*")}
    assert first["champion"]["id"] in (tmp_path / "mine" / "champion.toml").read_text()


def test_a_fleet_that_cannot_start_says_why(start: Start) -> None:
    process = start("run", "sphere.toml", "--workers", "1", "--device", "abacus")
    out, said = process.communicate(timeout=240)
    assert process.returncode == 1, out + said
    assert "worker-1 ended with status 2" in said
    assert "device is 'abacus'" in said
