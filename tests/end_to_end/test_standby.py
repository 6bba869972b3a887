"""Two masters on one store, as processes: one serves, the other waits, and takes over whatever happens."""

import asyncio
import http.client
import json
import signal
import time
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from germline.client import Client, NotReachableError
from germline.spec import loads
from germline.v1 import experiment_pb2, experiment_pb2_grpc
from master.journal.connection import connect
from tests.masters import OWNERSHIP_S, PATIENCE_S, Pair, Process

SPEC = loads("""
name = "kept"
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[algorithm.ga]
window = 50
parents = 5
""")


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    pair = Pair(tmp_path)
    try:
        await pair.begin()
        yield pair
    finally:
        await pair.end()


async def serving_and_waiting(pair: Pair, ownership_s: float = OWNERSHIP_S) -> tuple[Process, Process]:
    first = await pair.master(0, ownership_s=ownership_s)
    await pair.until(0, "serving")
    second = await pair.master(1, ownership_s=ownership_s)
    await pair.until(1, "waiting")
    return first, second


async def test_a_second_master_waits_says_so_and_sends_callers_on(pair: Pair) -> None:
    first, _ = await serving_and_waiting(pair)
    await pair.ask(lambda client: client.create(SPEC))
    with pytest.raises(NotReachableError, match=f"process {first.pid} on .*:{pair.ports[0]}"):
        await pair.ask(lambda client: client.experiments(), f"127.0.0.1:{pair.ports[1]}")
    for addresses in (pair.both, ",".join(reversed(pair.both.split(",")))):
        assert (await pair.ask(lambda client: client.experiment("kept"), addresses)).name == "kept"
    assert [owns(port) for port in pair.metrics] == [1.0, 0.0]
    assert [is_ready(port) for port in pair.metrics] == [200, 503]
    await asyncio.sleep(2 * OWNERSHIP_S)  # it is not the time that makes it an owner
    assert [await pair.state(which) for which in (0, 1)] == ["serving", "waiting"]


def owns(metrics_port: int) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("germline_owner ")))


def is_ready(metrics_port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", metrics_port, timeout=5)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status
    finally:
        connection.close()


async def test_who_watches_and_knows_both_goes_on_watching_after_a_takeover(pair: Pair) -> None:
    first, _ = await serving_and_waiting(pair)
    await pair.ask(lambda client: client.create(SPEC))
    with Client(pair.both) as client:
        looks = client.watch("kept", 0.1)
        next(looks)
        first.kill()
        await pair.until(1, "serving")
        await pair.ask(lambda other: other.stop("kept"))
        assert [look.state for look in await asyncio.to_thread(list, looks)][-1] == "stopped"


async def test_after_a_kill_on_the_same_machine_nobody_waits_for_the_end_of_an_ownership(pair: Pair) -> None:
    first, _ = await serving_and_waiting(pair, ownership_s=60.0)
    await pair.ask(lambda client: client.create(SPEC))
    first.kill()
    assert await pair.until(1, "serving") < 10
    assert (await pair.ask(lambda client: client.experiment("kept"))).name == "kept"


async def test_a_master_that_stops_politely_hands_its_store_over(pair: Pair) -> None:
    first, _ = await serving_and_waiting(pair, ownership_s=60.0)
    first.terminate()
    assert await first.wait() == 0
    assert await pair.until(1, "serving") < 10


async def test_a_waiting_master_ends_when_it_is_told_to(pair: Pair) -> None:
    _, second = await serving_and_waiting(pair)
    second.terminate()
    async with asyncio.timeout(PATIENCE_S):
        assert await second.wait() == 0
    assert await pair.state(0) == "serving"


async def test_whoever_is_told_to_takes_over_at_once_and_the_other_one_waits(pair: Pair) -> None:
    await pair.master(0, ownership_s=60.0)
    await pair.until(0, "serving")
    await pair.ask(lambda client: client.create(SPEC))
    await pair.master(1, "--take-over", ownership_s=60.0)
    await pair.until(1, "serving")
    await pair.until(0, "waiting")
    assert (await pair.ask(lambda client: client.experiment("kept"))).name == "kept"


async def test_a_master_that_stood_still_for_too_long_answers_nothing_from_before(pair: Pair) -> None:
    first, _ = await serving_and_waiting(pair)
    await pair.ask(lambda client: client.create(SPEC))
    with grpc.insecure_channel(f"127.0.0.1:{pair.ports[0]}") as channel:
        people = experiment_pb2_grpc.ExperimentServiceStub(channel)
        get = experiment_pb2.GetExperimentRequest(name="kept")
        watched = people.WatchExperiment(experiment_pb2.WatchExperimentRequest(name="kept", interval_s=0.1))
        next(watched)
        first.send_signal(signal.SIGSTOP)
        asked = [people.GetExperiment.future(get) for _ in range(20)]  # they lie there when it wakes
        assert await pair.until(1, "serving") < 10
        await pair.ask(lambda client: client.pause("kept"))
        first.send_signal(signal.SIGCONT)
        for each in asked:
            with pytest.raises(grpc.RpcError) as refused:
                await asyncio.to_thread(each.result, PATIENCE_S)
            assert refused.value.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
        with pytest.raises(grpc.RpcError) as ended:
            await asyncio.to_thread(lambda: list(watched))
        assert ended.value.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    await pair.until(0, "waiting")
    assert (await pair.ask(lambda client: client.experiment("kept"))).state == "paused"


async def test_a_master_that_is_cut_off_from_its_store_ends_its_streams_and_answers_no_more(
    pair: Pair,
) -> None:
    await serving_and_waiting(pair)
    await pair.ask(lambda client: client.create(SPEC))
    with Client(f"127.0.0.1:{pair.ports[0]}", deadline_s=2.0) as client:
        looks = client.watch("kept", 3_600.0, patience_s=0.0)  # nothing is due on it
        next(looks)
        pair.cables[0].hold()
        began_s = time.monotonic()
        with pytest.raises(NotReachableError, match="could not say for 2 s that it owns its store"):
            await asyncio.to_thread(lambda: [*looks])
        assert time.monotonic() - began_s < OWNERSHIP_S + 1
        with pytest.raises(NotReachableError, match="could not say for 2 s"):
            client.experiment("kept")
    assert await pair.until(1, "serving") < 10
    await pair.ask(lambda client: client.pause("kept"))
    pair.cables[0].let_go()
    await pair.until(0, "waiting")
    assert (await pair.ask(lambda client: client.experiment("kept"))).state == "paused"


async def test_a_master_whose_store_takes_no_writes_says_so_and_serves_again_when_it_does(pair: Pair) -> None:
    await pair.master(0)
    await pair.until(0, "serving")
    await pair.ask(lambda client: client.create(SPEC))
    store = connect(f"redis://127.0.0.1:{pair.store}")
    await store.config_set("maxmemory", 1)
    await pair.until(0, "waiting")
    with pytest.raises(NotReachableError, match="maxmemory"):
        await pair.ask(lambda client: client.experiment("kept"), f"127.0.0.1:{pair.ports[0]}")
    await store.config_set("maxmemory", 0)
    await store.aclose()
    await pair.until(0, "serving")
    assert (await pair.ask(lambda client: client.experiment("kept"))).name == "kept"


async def test_a_master_whose_store_was_away_and_who_is_still_the_owner_goes_on(pair: Pair) -> None:
    await pair.master(0)
    await pair.until(0, "serving")
    await pair.ask(lambda client: client.create(SPEC))
    pair.cables[0].hold()
    await pair.until(0, "waiting")
    pair.cables[0].let_go()
    await pair.until(0, "serving")
    assert (await pair.ask(lambda client: client.experiment("kept"))).name == "kept"


async def test_a_store_that_loses_everything_stays_with_its_owner_although_one_waits(
    pair: Pair,
) -> None:
    owner, _ = await serving_and_waiting(pair, ownership_s=6.0)
    await pair.ask(lambda client: client.create(SPEC))
    store = connect(f"redis://127.0.0.1:{pair.store}")
    owner.send_signal(signal.SIGSTOP)  # so that the one that waits sees it first
    await store.flushall()
    await asyncio.sleep(2.0)
    owner.send_signal(signal.SIGCONT)
    async with asyncio.timeout(PATIENCE_S):
        while not await store.keys("*snapshot"):  # an idle owner notices, and fills it again
            await asyncio.sleep(0.05)
    await store.aclose()
    assert [await pair.state(which) for which in (0, 1)] == ["serving", "waiting"]
    log = (pair.folder / "master-0.log").read_text()
    assert "all experiments are written to it again" in log, json.dumps(log)
