"""The neuro gateway: its workers' loop, misuse, and a master that comes back."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import math
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeAlias

import grpc
import grpc.aio
import pytest
from google.protobuf import empty_pb2

from germline.algorithms.base import Result
from germline.algorithms.ga import GeneticAlgorithm
from germline.algorithms.ga_settings import GaSettings
from germline.card import parse_card
from germline.cli.app import run
from germline.genome import Genome
from germline.peers import neuro_pb2 as pb
from germline.peers import neuro_pb2_grpc
from germline.v1 import spec_pb2
from master.config import MasterConfig
from master.experiments.events import Quarantined
from master.experiments.experiment import Experiment
from master.gateways import GatewayError
from master.gateways.neuro.breeding import genome_of, next_seeds, seeds_of
from master.gateways.neuro.config import is_plain
from master.server import Master

ROOT = Path(__file__).parents[3]
WORKER = ROOT / "tests" / "peers" / "neuro_worker.py"
EMPTY = empty_pb2.Empty()
STRENGTH = 0.005
Stub: TypeAlias = "neuro_pb2_grpc.NeuroAsyncStub"


@contextlib.asynccontextmanager
async def serving(
    folder: Path, clock: Callable[[], float] | None = None, **environment: str
) -> AsyncIterator[Master]:
    config = MasterConfig(
        listen="localhost:0",
        metrics_port=-1,
        store_folder=folder / "store",
        gateway="neuro=localhost:0",
        archive="none",  # which keeps what was told until it is written
    )
    variables = {f"GERMLINE_NEURO_{name.upper()}": value for name, value in environment.items()}
    async with Master.serving(config, clock, environment=variables) as master:
        yield master


@contextlib.asynccontextmanager
async def calling(master: Master) -> AsyncIterator[Stub]:
    async with grpc.aio.insecure_channel(master.gateways["neuro"]) as channel:
        yield neuro_pb2_grpc.NeuroStub(channel)


def shown(seeds: list[int], score: float) -> pb.Evaluation:
    return pb.Evaluation(individual=pb.Individual(seeds=seeds), score=score)


def experiment_of(master: Master) -> Experiment:
    return master.registry.named("neuro")


async def worker(address: str, episodes: int) -> list[tuple[list[int], float]]:
    """A worker in a process of its own; what it played."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(WORKER), address, str(episodes), env=environment, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return [(seeds, score) for seeds, score in map(json.loads, out.decode().splitlines())]


async def test_workers_play_their_episodes_and_their_best_is_known(tmp_path: Path) -> None:
    async with serving(tmp_path, window="10", parents="2") as master, calling(master) as stub:
        played = await asyncio.gather(*(worker(master.gateways["neuro"], 20) for _ in range(2)))
        top = await stub.Status(EMPTY)
    episodes = [episode for own in played for episode in own]
    best, score = max(episodes, key=lambda episode: episode[1])
    assert (list(top.top_individual.seeds), top.top_score, top.num_iter) == (best, score, 40)
    assert {len(seeds) for seeds, _ in episodes} > {1}
    lines = [tuple(seeds) for seeds, _ in episodes]
    assert len(set(lines)) == 40
    assert all(line[:-1] in {*lines, ()} for line in lines), "a child of somebody who was never shown"


async def test_its_champion_is_published_as_any_other_is(tmp_path: Path) -> None:
    async with serving(tmp_path, window="10", parents="2") as master, calling(master) as stub:
        await worker(master.gateways["neuro"], 20)
        top = await stub.Status(EMPTY)
        command = ["publish", "neuro", "--master", master.address, "--to", str(tmp_path / "kept"), "--once"]
        assert await asyncio.to_thread(run, command) == 0
    card = parse_card((tmp_path / "kept" / "neuro" / "champion.toml").read_text())
    assert list(seeds_of(card.genome)) == list(top.top_individual.seeds)


async def test_beyond_this_machine_the_port_is_encrypted_and_asks_for_a_token(tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="pip install 'germline[certificates]'")
    assert run(["certificates", str(tmp_path / "certs")]) == 0
    (tmp_path / "tokens").write_text("a-token-of-workers\n")
    ca = (tmp_path / "certs" / "ca.pem").read_bytes()
    config = MasterConfig(
        listen="0.0.0.0:0",
        gateway="neuro=0.0.0.0:0",
        metrics_port=-1,
        store_folder=tmp_path / "store",
        tls_cert=tmp_path / "certs" / "server.pem",
        tls_key=tmp_path / "certs" / "server-key.pem",
        worker_tokens=tmp_path / "tokens",
    )
    async with Master.serving(config, environment={}) as master:
        address = master.gateways["neuro"].replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - its own words
        async with grpc.aio.insecure_channel(address) as plain:
            assert await refusal(plain) is grpc.StatusCode.UNAVAILABLE
        async with grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(ca)) as encrypted:
            assert await refusal(encrypted) is grpc.StatusCode.UNAUTHENTICATED
            assert await refusal(encrypted, "another") is grpc.StatusCode.UNAUTHENTICATED
            assert await refusal(encrypted, "a-token-of-workers") is None


async def refusal(channel: grpc.aio.Channel, token: str = "") -> grpc.StatusCode | None:
    """How a Seek is refused; None if it is answered."""
    shows = (("authorization", f"Bearer {token}"),) if token else ()
    try:
        await neuro_pb2_grpc.NeuroStub(channel).Seek(EMPTY, metadata=shows, timeout=10.0)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return None


async def test_before_the_first_score_there_is_nobody(tmp_path: Path) -> None:
    async with serving(tmp_path) as master, calling(master) as stub:
        top = await stub.Status(EMPTY)
        assert (list(top.top_individual.seeds), top.top_score, top.num_iter) == ([], -math.inf, 0)
        assert [len((await stub.Seek(EMPTY)).seeds) for _ in range(5)] == [1] * 5
        assert experiment_of(master).progress.evaluations == 0


async def test_seeks_that_nobody_shows_leave_nothing_behind(tmp_path: Path) -> None:
    async with serving(tmp_path) as master, calling(master) as stub:
        before = experiment_of(master).algorithm.snapshot()
        sought = [tuple((await stub.Seek(EMPTY)).seeds) for _ in range(200)]
        assert experiment_of(master).algorithm.snapshot() == before
    assert len(set(sought)) == 200
    assert all(0 <= seed < 2**32 for (seed,) in sought)


async def test_a_restart_keeps_all_that_was_answered(tmp_path: Path) -> None:
    async with serving(tmp_path, window="4", parents="2") as master, calling(master) as stub:
        for seed in range(8):
            await stub.Show(shown([seed, seed + 100], float(seed % 5)))
        await stub.Show(shown([99], math.nan))
        await stub.Show(pb.Evaluation(score=3.0))
        top = await stub.Status(EMPTY)
        kept = experiment_of(master).algorithm.snapshot()
    async with serving(tmp_path, window="4", parents="2") as master, calling(master) as stub:
        assert await stub.Status(EMPTY) == top
        assert experiment_of(master).algorithm.snapshot() == kept
        assert (await stub.Seek(EMPTY)).seeds[:2] in ([7, 107], [4, 104], [6, 106])
        await stub.Show(shown([1, 2, 3], 9.0))
        assert (await stub.Status(EMPTY)).num_iter == 11


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
async def test_a_score_that_is_not_finite_counts_and_makes_nobody_an_elite(
    tmp_path: Path, score: float
) -> None:
    async with serving(tmp_path) as master, calling(master) as stub:
        await stub.Show(shown([1], -5.0))
        await stub.Show(shown([2], score))
        top = await stub.Status(EMPTY)
        assert (list(top.top_individual.seeds), top.top_score, top.num_iter) == ([1], -5.0, 2)
        assert experiment_of(master).progress.set_aside[-1].reason == f"its score is {score}"


async def test_no_message_ends_anything(tmp_path: Path) -> None:
    odd = [pb.Evaluation(), pb.Evaluation(score=1e300), shown([], 2.0), shown([0, 2**32 - 1], -1e308)]
    async with serving(tmp_path) as master, calling(master) as stub:
        for evaluation in odd:
            assert await stub.Show(evaluation) == EMPTY
        for seeds, code in ((10_001, "INVALID_ARGUMENT"), (400_000, "RESOURCE_EXHAUSTED")):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.Show(shown([2**32 - 1] * seeds, 1.0))
            assert refused.value.code().name == code
        async with grpc.aio.insecure_channel(master.gateways["neuro"]) as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await channel.unary_unary("/neuroevolution.Neuro/Show")(b"\xff" * 50)  # type: ignore[arg-type]
        top = await stub.Status(EMPTY)
        assert (list(top.top_individual.seeds), top.top_score, top.num_iter) == ([], 2.0, 4)
        assert len((await stub.Seek(EMPTY)).seeds) == 1


async def test_an_individual_may_be_shown_any_number_of_times_also_one_that_was_never_sought(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as master, calling(master) as stub:
        await asyncio.gather(*(stub.Show(shown([5, 6], float(score))) for score in range(10)))
        members = experiment_of(master).algorithm.best(2)
        assert [(seeds_of(m.genome), m.episodes) for m in members] == [([5, 6], 10)]
        assert members[0].fitness == pytest.approx(4.5)  # in whatever order they came
        assert (await stub.Status(EMPTY)).num_iter == 10
        assert (await stub.Status(EMPTY)).top_score == 9.0


async def test_an_experiment_that_is_over_sends_workers_home_and_counts_no_more(tmp_path: Path) -> None:
    async with serving(tmp_path, evaluations="2") as master, calling(master) as stub:
        for seed in range(3):
            await stub.Show(shown([seed], float(seed)))
        with pytest.raises(grpc.aio.AioRpcError, match="experiment neuro is complete"):
            await stub.Seek(EMPTY)
        top = await stub.Status(EMPTY)
        assert (list(top.top_individual.seeds), top.num_iter) == ([1], 2)


async def test_the_fleet_gets_none_of_it_and_is_not_wanted_for_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as master, calling(master) as stub:
        await stub.Show(shown([1], 1.0))
        experiment = experiment_of(master)
        assert experiment.lend("a worker", 5, (), 5) == experiment.lend_trial("a worker", 5, ()) == []
        assert experiment.search.ask(5) == ()
        assert master.dispatcher.overview.workers_wanted([experiment]) == 0


async def test_time_counts_while_somebody_calls_now_and_then(tmp_path: Path) -> None:
    now = [100.0]
    async with serving(tmp_path, lambda: now[0]) as master, calling(master) as stub:
        experiment = experiment_of(master)
        experiment.tick()
        now[0] += 1_000.0
        assert experiment.progress.running_s == 0.0
        await stub.Show(shown([1], 1.0))
        now[0] += 30.0
        await stub.Show(shown([2], 1.0))
        now[0] += 59.0
        experiment.tick()
        now[0] += 2.0
        experiment.tick()
        now[0] += 1_000.0
        experiment.tick()
        assert experiment.progress.running_s == 91.0


async def test_scores_of_a_machine_in_quarantine_do_not_count(tmp_path: Path) -> None:
    async with serving(tmp_path) as master, calling(master) as stub:
        await stub.Show(shown([1], 1.0))
        (machine,) = experiment_of(master).workers
        master.registry.quarantined[machine] = Quarantined(machine, "it was proven wrong", 0.0)
        assert await stub.Show(shown([2], 2.0)) == EMPTY
        top = await stub.Status(EMPTY)
        assert (list(top.top_individual.seeds), top.num_iter) == ([1], 1)


async def test_an_experiment_of_another_kind_is_not_served(tmp_path: Path) -> None:
    config = MasterConfig(listen="localhost:0", metrics_port=-1, store_folder=tmp_path / "store")
    async with Master.serving(config) as master:
        spec = spec_pb2.ExperimentSpec(name="neuro", policy=spec_pb2.Policy(name="vector"))
        spec.task.function.path = "worker.tasks.function:noisy_sphere"
        spec.algorithm.ga.SetInParent()
        created = master.registry.create(spec)
        await master.journal.durable((created.number,))
    for environment, said in (
        ({}, "not played by clients of another"),
        ({"parents": "x"}, "GERMLINE_NEURO_PARENTS is 'x'"),
    ):
        with pytest.raises(GatewayError, match=said):
            async with serving(tmp_path, None, **environment):
                raise AssertionError


@pytest.mark.parametrize(
    ("address", "more", "plain"),
    [
        ("localhost:8081", {"token": "a-token-of-operators"}, True),
        ("0.0.0.0:8081", {"insecure": True}, True),
        ("0.0.0.0:8081", {"token": "a-token-of-operators", "tls_cert": "c", "tls_key": "k"}, False),
    ],
)
def test_a_port_is_in_the_open_on_this_machine_and_where_the_operator_says_so(
    address: str, more: dict[str, object], plain: bool
) -> None:
    paths = {name: Path(str(value)) if name.startswith("tls") else value for name, value in more.items()}
    config = MasterConfig(gateway=f"neuro={address}", **paths)  # type: ignore[arg-type]
    assert is_plain(config, address) is plain


def test_beyond_this_machine_the_gateway_needs_what_every_port_needs() -> None:
    with pytest.raises(ValueError, match=r"the address of a gateway is '0\.0\.0\.0:8081'"):
        MasterConfig(gateway="neuro=0.0.0.0:8081")


def test_a_new_individual_is_the_child_of_an_elite_or_the_champion() -> None:
    algorithm = GeneticAlgorithm(GaSettings(window=3, parents=2, founders=3, candidates=0), 1)
    assert next_seeds(algorithm, lambda n: n - 1) == [2**32 - 1]
    for seed, score in ((10, 9.0), (20, 1.0), (30, 2.0), (40, 3.0)):  # the first leaves the window
        genome = genome_of([seed], STRENGTH)
        (ask,) = algorithm.ask(1)
        algorithm.set_aside(ask.ticket)
        algorithm.adopt(ask._replace(ticket=algorithm.next_ticket, genome=genome))
        algorithm.tell(Result(algorithm.next_ticket - 1, (score,), 0, 0))
    chosen = {tuple(next_seeds(algorithm, lambda n, k=k: k % n)) for k in range(3)}  # type: ignore[misc]
    assert chosen == {(40, 0), (30, 1), (10, 2)}


async def test_long_lines_are_kept_once_and_those_that_count_no_more_not_at_all(tmp_path: Path) -> None:
    line = list(range(1_000))
    async with serving(tmp_path, window="10", parents="2") as master, calling(master) as stub:
        for child in range(30):
            await stub.Show(shown(line, 1e6))  # an elite that stays
            await stub.Show(shown([*line, child], float(child)))
            await stub.Show(shown([7, *line, child], float(child)))  # of nobody who is known
        algorithm = experiment_of(master).algorithm
        elite = algorithm.find(genome_of(line, STRENGTH).id)
        assert elite is not None
        assert sum(member.genome.parent() is elite for member in algorithm.population()) >= 3
        gc.collect()
        alive = [each for each in gc.get_objects() if type(each) is Genome]
        founders = [each for each in alive if len(each.mutations) == 1 and each.mutations[0].seed == 7]
        assert len(founders) <= 12, "lines outlive the window that they counted in"
