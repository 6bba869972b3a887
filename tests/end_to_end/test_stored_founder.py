"""A centre as a founder, with real processes: its weights reach all who play, and outlive a killed master."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from germline import stored_start, weights
from germline.client import Client, Experiment, NotReachableError, RefusedError
from germline.genome import Genome
from germline.ports import free_port
from germline.spec import load
from worker.networks.policies.vector import Vector

PATIENCE_S = 120.0
CENTRE = torch.linspace(-0.5, 0.5, 20)
TASK = """
import time
import numpy as np

def measure(weights, seed):
    time.sleep(0.004)
    return -float(np.square(weights - 1.0).sum(dtype=np.float64))
"""
SPEC = """
name = "bowl"
seed = 7
[task.function]
path = "bowl:measure"
dimension = 20
[policy]
name = "vector"
start = "centre.safetensors"
[algorithm.ga]
window = 40
parents = 5
power = 0.05
candidates = 0
[stop]
evaluations = 400
"""


class House:
    """A folder, a port, and the processes that live there."""

    def __init__(self, folder: Path) -> None:
        (folder / "bowl.py").write_text(TASK)
        (folder / "centre.safetensors").write_bytes(save({"vector": CENTRE, "moment:first": CENTRE.clone()}))
        (folder / "bowl.toml").write_text(SPEC)
        self.folder, self.address = folder, f"127.0.0.1:{free_port()}"
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, module: str, *flags: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{module}-{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen([sys.executable, "-m", module, *flags], cwd=self.folder, stderr=log)
        self.processes.append(process)
        return process

    def master(self) -> subprocess.Popen[bytes]:
        flags = ("--store-folder", "store", "--metrics-port", "-1", "--heartbeat-s", "0.5")
        return self.start("master", "--listen", self.address, *flags)

    def worker(self) -> subprocess.Popen[bytes]:
        flags = ("--device", "cpu", "--slots", "4", "--allow-code", "bowl")
        return self.start("worker", "--master", self.address, *flags)

    def until(self, client: Client, reached: Callable[[Experiment], bool]) -> Experiment:
        """The experiment, once it has come so far; a master that is away is waited for."""
        give_up = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up:
            try:
                if reached(now := client.experiment("bowl")):
                    return now
            except NotReachableError:
                pass
            time.sleep(0.02)
        raise TimeoutError(f"the experiment stands at {now}")

    def leave(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            process.wait(PATIENCE_S)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    try:
        yield house
    finally:
        house.leave()


def test_children_of_a_centre_are_exact_seeds_on_its_weights_before_and_after_a_kill(house: House) -> None:
    spec = load(house.folder / "bowl.toml")
    founder = Genome.founder(stored_start.founder_seed(spec.policy.start))
    master = house.master()
    house.worker()
    with Client(house.address) as client:
        client.wait_until_ready(PATIENCE_S)
        client.create(spec)
        house.until(client, lambda now: now.evaluations >= 100)
        master.send_signal(signal.SIGKILL)
        master.wait(PATIENCE_S)
        house.master()
        house.worker()  # which has never seen the weights, and gets them from the store
        assert house.until(client, lambda now: now.is_over).evaluations == 400
        network = Vector(dimension=20)
        weights.start_from(network, founder.init_seed, {"vector": CENTRE})
        layout = weights.Layout.of(network)
        for individual in client.individuals("bowl", with_genomes=True):
            assert individual.genome is not None
            assert individual.genome.common_ancestor(founder) == founder
            assert individual.fitness == pytest.approx(measured(individual.genome, layout), rel=1e-12)
        start = stored_start.get(spec.policy.start)
        assert client.checkpoint("bowl").data == start
        assert client.restore(client.back_up("bowl"), "again").evaluations == 400
        assert client.checkpoint("again").data == start


def measured(genome: Genome, layout: weights.Layout) -> float:
    """What the task says of a genome that is rebuilt here."""
    flat = torch.zeros(layout.size)
    weights.rebuild(genome, layout, flat)
    return -float(((flat.numpy() - 1.0) ** 2).sum(dtype="float64"))


def test_an_experiment_does_not_begin_without_the_very_weights_that_it_names(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = load(house.folder / "bowl.toml")
    house.master()
    with Client(house.address) as client:
        client.wait_until_ready(PATIENCE_S)
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(stored_start, "find", lambda digest: None)
            with pytest.raises(RefusedError, match=r"policy\.start .*did not come with the spec"):
                client.create(spec)
            elsewhere.setattr(stored_start, "find", lambda digest: b"others")
            with pytest.raises(RefusedError, match=r"data has the digest .*allowed: that of policy\.start"):
                client.create(spec)
        assert client.experiments() == []
        assert client.create(spec) == client.create(spec)
