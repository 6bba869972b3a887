"""What a fleet is scaled by: how many workers are wanted, on a real master."""

import asyncio
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from grpc import aio

from germline.spec import loads
from germline.v1 import experiment_pb2 as pb
from germline.v1.experiment_pb2_grpc import ExperimentServiceStub
from master.config import MasterConfig
from master.experiments.experiment import Experiment
from master.experiments.workers import WorkerIdentity
from master.server import Master
from master.work.workers_wanted import WorkersWanted, evaluations_wanted

TASK = '[task.function]\npath = "germline.functions:sphere"\n[policy]\nname = "vector"\n'
GA = "[algorithm.ga]\nwindow = 20\nparents = 4\ncandidates = 0\n"


@pytest.fixture
async def master(tmp_path: Path) -> AsyncIterator[Master]:
    config = MasterConfig(listen="localhost:0", metrics_port=0, worker_slots=8, store_folder=tmp_path)
    async with Master.serving(config) as serving:
        yield serving


def spec(name: str = "one", *, first: str = "", algorithm: str = GA, stop: str = "") -> str:
    return f'name = "{name}"\n{first}\n{TASK}{algorithm}\n[stop]\n{stop}\n'


def create(master: Master, text: str) -> Experiment:
    return master.registry.create(loads(text))


async def wanted(master: Master) -> float:
    """As whoever scales the fleet reads it."""
    text = await asyncio.to_thread(_fetch, f"http://{master.metrics_address}/metrics")
    (line,) = (line for line in text.splitlines() if line.startswith("germline_workers_wanted "))
    return float(line.rpartition(" ")[2])


def _fetch(url: str) -> str:
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - our own server
        return str(answer.read(), "utf-8")


async def test_workers_are_wanted_before_there_is_one_and_no_more_once_nothing_runs(master: Master) -> None:
    assert await wanted(master) == 0
    one = create(master, spec())
    assert await wanted(master) == 5  # 2 windows of 20, 8 slots a worker
    two = create(master, spec("two", first="parallelism = 2"))
    assert await wanted(master) == 6
    two.pause()
    assert evaluations_wanted(two) == 0
    assert await wanted(master) == 5
    two.resume()
    one.stop()
    assert await wanted(master) == 1
    two.stop()
    assert await wanted(master) == 0


@pytest.mark.parametrize(
    ("text", "evaluations"),
    [
        (spec(), 40),
        (spec(first="parallelism = 7"), 7),
        (spec(algorithm="[algorithm.eggroll]\npairs = 48\n"), 96),
        (spec(stop="evaluations = 30"), 30),
        (spec(stop="frames = 30"), 40),  # nobody knows yet how long an evaluation is
    ],
)
def test_wanted_is_the_parallelism_or_what_is_left(master: Master, text: str, evaluations: int) -> None:
    assert evaluations_wanted(create(master, text)) == evaluations


@pytest.mark.parametrize(
    ("stop", "left"), [("evaluations = 30", 10), ("frames = 900", 10), ("frames = 600", 1)]
)
def test_less_is_wanted_towards_the_end(master: Master, stop: str, left: int) -> None:
    experiment = create(master, spec(stop=stop))
    experiment.progress.evaluations, experiment.progress.frames = 20, 600
    assert evaluations_wanted(experiment) == left


def test_a_worker_counts_for_its_slots_once_it_knows_them(master: Master) -> None:
    experiment = create(master, spec())
    counting = WorkersWanted(8)
    session = master.dispatcher.fleet.join(WorkerIdentity("w", "cpu", {}), slots=2)
    counting.learn(master.dispatcher.fleet)
    assert counting.by([experiment]) == 5
    session.slots, session.evaluations = 20, 1
    counting.learn(master.dispatcher.fleet)
    assert counting.by([experiment]) == 2
    master.dispatcher.fleet.leave(session, for_good=True)
    counting.learn(master.dispatcher.fleet)
    assert counting.by([experiment]) == 2, "what was learnt stays when the fleet is gone"


async def test_people_are_told_how_many_workers_an_experiment_can_use(master: Master) -> None:
    create(master, spec())
    async with aio.insecure_channel(master.address) as channel:
        answer = await ExperimentServiceStub(channel).GetExperiment(pb.GetExperimentRequest(name="one"))
    assert answer.experiment.workers_wanted == 5
