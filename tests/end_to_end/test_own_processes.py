"""Workers of one's own as processes, beside a master that is killed: nothing that was told is lost."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from germline.client import Client
from germline.client.errors import NotReachableError
from germline.own import unpack
from germline.ports import free_port
from germline.spec import loads

ROOT = Path(__file__).parents[2]
(CLASS,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "own.md").read_text(), flags=re.DOTALL)
SLOWLY = "    def evaluate(self, epoch, slices):\n"
PATIENCE_S = 60.0
SPEC = loads("""
name = "own-sphere"
[task.own]
[policy]
name = "own"
[algorithm.own]
population = 40
[stop]
evaluations = 120
""")


def until(condition: Callable[[], bool]) -> None:
    time_up = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < time_up, "waited in vain"
        time.sleep(0.02)


class House:
    """A folder, a port, one master after the other, and their workers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"127.0.0.1:{free_port()}"
        self.processes: list[subprocess.Popen[bytes]] = []
        (folder / "slow.py").write_text(
            "import time\n" + CLASS.replace(SLOWLY, SLOWLY + "        time.sleep(0.05)\n")
        )

    def start(self, *command: str) -> "subprocess.Popen[bytes]":
        with (self.folder / f"log-{len(self.processes)}").open("w") as log:
            process = subprocess.Popen([sys.executable, *command], stderr=log, cwd=ROOT)
        self.processes.append(process)
        return process

    def serve(self) -> "subprocess.Popen[bytes]":
        store = str(self.folder / "store")
        flags = ("--listen", self.address, "--metrics-port", "-1", "--store-folder", store)
        return self.start("-m", "master", *flags)

    def work(self) -> "subprocess.Popen[bytes]":
        return self.start(str(self.folder / "slow.py"), self.address)

    def evaluations(self) -> int:
        try:
            with Client(self.address, deadline_s=2.0) as client:
                return client.experiment("own-sphere").evaluations
        except NotReachableError:
            return -1

    def end(self) -> None:
        for process in reversed(self.processes):
            if process.poll() is None:
                process.terminate()
            process.wait(PATIENCE_S)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    assert SLOWLY in CLASS
    house = House(tmp_path)
    yield house
    house.end()


def final_theta(house: House) -> list[float]:
    with Client(house.address) as client:
        kept = client.checkpoint("own-sphere")
    assert kept.epoch == 3
    theta: list[float] = unpack(kept.data)["theta"].tolist()
    return theta


def run_undisturbed(house: House) -> list[float]:
    """What comes of it when nobody dies."""
    house.serve()
    with Client(house.address) as client:
        client.wait_until_ready(PATIENCE_S)
        client.create(SPEC)
        assert house.work().wait(PATIENCE_S) == 0
        theta = final_theta(house)
        client.delete("own-sphere")
    return theta


def test_a_killed_worker_and_a_killed_master_change_nothing_of_what_comes_of_a_run(house: House) -> None:
    expected = run_undisturbed(house)
    with Client(house.address) as client:
        client.create(SPEC)
    doomed, survivor = house.work(), house.work()
    until(lambda: house.evaluations() >= 8)
    doomed.send_signal(signal.SIGKILL)
    until(lambda: house.evaluations() >= 60)  # amid the second epoch
    house.processes[0].send_signal(signal.SIGKILL)
    house.processes[0].wait()
    house.processes.append(house.processes.pop(0))  # whoever is started next takes its store
    house.serve()
    assert survivor.wait(PATIENCE_S) == 0
    assert final_theta(house) == expected
    assert house.evaluations() == 120


def test_ctrl_c_ends_a_worker_and_its_members_go_to_another(house: House) -> None:
    house.serve()
    with Client(house.address) as client:
        client.wait_until_ready(PATIENCE_S)
        client.create(SPEC)
    first = house.work()
    until(lambda: house.evaluations() >= 8)
    first.send_signal(signal.SIGINT)
    assert first.wait(PATIENCE_S) != 0
    assert house.work().wait(PATIENCE_S) == 0
    assert house.evaluations() == 120


def test_a_worker_that_is_first_waits_for_its_master(house: House) -> None:
    master = house.serve()
    with Client(house.address) as client:
        client.wait_until_ready(PATIENCE_S)
        client.create(SPEC)
    master.terminate()
    assert master.wait(PATIENCE_S) == 0
    worker = house.work()
    until(lambda: "waiting for the master" in (house.folder / "log-1").read_text())
    house.serve()
    assert worker.wait(PATIENCE_S) == 0
    assert house.evaluations() == 120
