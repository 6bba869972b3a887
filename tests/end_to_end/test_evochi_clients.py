"""Unmodified clients of evochi 0.1.4 against a master that is killed, and beside workers that are.

They need Python 3.12 and the package itself: `make peers` puts them into .peers/, or GERMLINE_EVOCHI_PYTHON
names an interpreter that has them. GERMLINE_TRIALS says how often each death is died; the page speaks of 20.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from germline.ports import free_port

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "tests" / "peers" / "evochi_sphere.py"
PYTHON = Path(os.environ.get("GERMLINE_EVOCHI_PYTHON", ROOT / ".peers" / "evochi" / "bin" / "python"))
TRIALS = int(os.environ.get("GERMLINE_TRIALS", "1"))
PATIENCE_S = 60.0
VALUES = [-5.4957, -3.4983, -1.7497]  # after each epoch of a population of 10, on evochi's own server, too

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.exists(), reason=f"no evochi 0.1.4 at {PYTHON}; `make peers` installs it"),
]
Line = dict[str, object]


class Client:
    """One process of a user's worker, and what its hooks have said."""

    def __init__(
        self, address: str, cores: int, folder: Path, number: int, wishes: dict[str, object]
    ) -> None:
        self.output, self.errors = folder / f"client-{number}.out", folder / f"client-{number}.err"
        told = [f"{name}={value}" for name, value in wishes.items()]
        command = [str(PYTHON), "-u", str(CLIENT), address, str(cores), *told]
        with self.output.open("w") as output, self.errors.open("w") as errors:
            self.process = subprocess.Popen(command, stdout=output, stderr=errors)

    def lines(self, hook: str = "") -> list[Line]:
        """What was said so far."""
        whole = self.output.read_text().rpartition("\n")[0]
        said = [json.loads(line) for line in whole.splitlines()]
        return [line for line in said if hook in ("", line["hook"])]

    def wait_for(self, hook: str, times: int = 1) -> None:
        """Wait until a hook was called so often."""
        until(lambda: len(self.lines(hook)) >= times, f"{hook} of {self.output.name}")

    def end(self) -> int:
        """Wait for its end; the status."""
        return self.process.wait(PATIENCE_S)


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for what other processes do."""
    time_up = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < time_up, f"waited in vain for {what}"
        time.sleep(0.02)


class House:
    """A folder, two ports, one master after the other, and their clients."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.listen, self.gateway = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        self.clients: list[Client] = []
        self.master: subprocess.Popen[bytes] | None = None

    def serve(self, **environment: object) -> None:
        """Start a master; clients wait until it is there."""
        command = [
            *(sys.executable, "-m", "master", "--listen", self.listen, "--metrics-port", "-1"),
            *("--store-folder", str(self.folder / "store"), "--gateway", f"evochi={self.gateway}"),
        ]
        settings = {"EVOCHI_POPULATION_SIZE": 10, "EVOCHI_MAX_EPOCHS": 3} | environment
        variables = os.environ | {name: str(value) for name, value in settings.items()}
        with (self.folder / "master.log").open("a") as log:
            self.master = subprocess.Popen(command, stderr=log, env=variables)

    def client(self, cores: int = 4, **wishes: object) -> Client:
        """Start a worker."""
        self.clients.append(Client(self.gateway, cores, self.folder, len(self.clients), wishes))
        return self.clients[-1]

    def end(self) -> None:
        """Leave nobody behind."""
        for client in self.clients:
            client.process.kill()
            client.process.wait()
        if self.master is not None:
            self.master.terminate()
            self.master.wait(PATIENCE_S)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.end()


def check(*clients: Client) -> None:
    """Each ended in peace, optimised each of its epochs once, and came to the values that are known."""
    for client in clients:
        assert client.end() == 0, client.errors.read_text()
        optimised = {int(str(line["epoch"])): float(str(line["value"])) for line in client.lines("optimized")}
        assert len(client.lines("optimize")) == len(optimised)
        assert list(optimised) == list(range(4 - len(optimised), 4))
        for epoch, value in optimised.items():
            assert value == pytest.approx(VALUES[epoch - 1], abs=5e-5)
        assert client.lines("stop")[-1]["cancel"] is True


def test_a_worker_alone_comes_to_the_values_of_evochis_own_server(house: House) -> None:
    house.serve()
    client = house.client()
    check(client)
    assert len(client.lines("optimized")) == 3


def test_workers_of_different_sizes_come_to_the_same_values_together(house: House) -> None:
    house.serve()
    clients = [house.client(cores, evaluate=0.3) for cores in (1, 3, 5)]
    check(*clients)
    evaluated = [str(line["slices"]) for client in clients for line in client.lines("evaluate")]
    assert len(evaluated) >= 3


@pytest.mark.parametrize("trial", range(TRIALS))
@pytest.mark.parametrize(
    ("hook", "victims_cores", "survivor_is"),
    [
        ("initialize:1", 4, {}),
        ("evaluate:2", 10, {}),
        ("evaluate:2", 4, {"evaluate": 0.4}),
        ("optimize:1", 4, {}),
        ("optimize:1", 4, {"optimize": 0.4}),
        ("share:2", 4, {}),
    ],
    ids=["init", "evaluate-idle", "evaluate-busy", "optimise-idle", "optimise-busy", "share"],
)
def test_whoever_dies_the_survivor_and_a_late_joiner_come_to_the_same_values(
    house: House, hook: str, victims_cores: int, survivor_is: dict[str, float], trial: int
) -> None:
    name, _, _ = hook.partition(":")
    house.serve()
    victim = house.client(victims_cores, die=hook, **{name: 0.3, "initialize": 0.5, "evaluate": 0.3})
    victim.wait_for("initialize")
    survivor = house.client(4, **survivor_is)
    assert victim.end() == 9, victim.errors.read_text()
    late = house.client(4)
    check(survivor, late)


def test_a_killed_master_comes_back_and_clients_that_come_back_go_on(house: House) -> None:
    house.serve()
    first = house.client(3, evaluate=0.3)
    first.wait_for("optimized", 1)
    first.wait_for("evaluate", 6)  # four to an epoch: the second is under way
    assert house.master is not None
    house.master.send_signal(signal.SIGKILL)
    house.master.wait()
    assert first.end() == 1
    assert "UNAVAILABLE" in first.errors.read_text()
    second = house.client(3)  # as a supervisor would; it waits for the master
    house.serve()
    check(second)
    assert len(second.lines("initialize")) == 0
    assert len(second.lines("optimized")) == 2
    told_again = [line for line in second.lines("evaluate") if line["epoch"] == 2]
    assert sum(end - start for line in told_again for start, end in _slices(line)) < 10


def test_a_worker_that_takes_longer_than_the_worker_timeout_is_busy_and_not_gone(house: House) -> None:
    house.serve(EVOCHI_WORKER_TIMEOUT="2s", EVOCHI_MAX_EPOCHS=1)
    client = house.client(10, evaluate=6)
    assert client.end() == 0, client.errors.read_text()
    assert len(client.lines("evaluate")) == 1
    assert client.lines("optimized")[0]["value"] == pytest.approx(VALUES[0], abs=5e-5)


def test_a_worker_whose_machine_stands_still_holds_up_nobody(house: House) -> None:
    house.serve(EVOCHI_WORKER_TIMEOUT="2s")
    still = house.client(4, evaluate=0.3)
    still.wait_for("evaluate", 2)
    still.process.send_signal(signal.SIGSTOP)
    check(house.client(4))


def test_a_worker_that_returns_too_few_rewards_is_told_so_and_another_does_its_part(house: House) -> None:
    house.serve()
    wrong = house.client(4, short=1)
    assert wrong.end() == 1
    assert "INVALID_ARGUMENT" in wrong.errors.read_text()
    assert "evaluations[0] has 3 rewards for the slice [0, 4)" in wrong.errors.read_text()
    check(house.client(4))


def test_a_reward_that_is_no_number_reaches_every_optimise_as_it_was_given(house: House) -> None:
    house.serve(EVOCHI_MAX_EPOCHS=1)
    client = house.client(10, nan=1)
    assert client.end() == 0, client.errors.read_text()
    assert "NaN" in client.output.read_text()
    assert len(client.lines("optimized")) == 1


def _slices(line: Line) -> list[tuple[int, int]]:
    found = line["slices"]
    assert isinstance(found, list)
    return [(int(start), int(end)) for start, end in found]
