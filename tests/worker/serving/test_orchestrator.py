"""The WebSocket, spoken to as clients and as strangers do."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from germline.models.announcements import Announced, Report
from worker.serving import orchestrator as orchestrator_module
from worker.serving.node import Protection
from worker.serving.orchestrator import MAX_FRAME_BYTES, MAX_SENSELESS, Orchestrator
from worker.serving.telling import Offer

TOKEN = "a-token-of-24-characters"  # noqa: S105 - of these tests


def offer(name: str, experiment: str) -> Offer:
    return Offer(Announced(name, f"{name}_1", experiment, "", 80), experiment)


OFFERS = {each.announced.model_id: each for each in (offer("pong-1", "pong"), offer("cart-1", "cart"))}


@asynccontextmanager
async def opened(
    token: str = "", advertise: str = "", reports: list[Report] | None = None
) -> AsyncIterator[tuple[Orchestrator, str]]:
    told = [] if reports is None else reports
    served = Orchestrator(Protection(token), told.append, advertise=advertise)
    served.offers = dict(OFFERS)
    async with AsyncExitStack() as stack:
        await served.open("127.0.0.1", 0, stack)
        yield served, f"ws://127.0.0.1:{served.port}"


async def frame(connection: ClientConnection) -> Any:
    return json.loads(await asyncio.wait_for(connection.recv(), 20))


def ids(told: Any) -> list[str]:
    return [model["model_id"] for model in told["data"]]


async def test_a_path_names_an_experiment_or_all_of_them() -> None:
    async with opened() as (_, url):
        for path, expected in (("pong", ["pong-1"]), ("all", ["pong-1", "cart-1"]), ("other", [])):
            async with connect(f"{url}/{path}") as connection:
                told = await frame(connection)
                assert (told["event"], ids(told)) == ("init", expected)


async def test_a_path_without_a_name_is_told_so() -> None:
    async with opened() as (_, url), connect(f"{url}/") as connection:
        assert "allowed: /NAME, or /all" in (await frame(connection))["error"]
        with pytest.raises(ConnectionClosed):
            await frame(connection)


async def test_models_are_where_the_client_came_or_where_it_is_advertised() -> None:
    async with opened() as (_, url), connect(f"{url}/pong") as connection:
        assert (await frame(connection))["data"][0]["ip"] == "127.0.0.1"
    async with opened(advertise="models.example") as (_, url), connect(f"{url}/pong") as connection:
        assert (await frame(connection))["data"][0]["ip"] == "models.example"


async def test_who_comes_and_who_leaves_is_told_to_those_who_asked_for_it() -> None:
    async with opened() as (served, url), connect(f"{url}/pong") as pong, connect(f"{url}/cart") as cart:
        await frame(pong)
        await frame(cart)
        served.offers = {"pong-2": offer("pong-2", "pong"), "cart-1": OFFERS["cart-1"]}
        served.changed()
        new, left = await frame(pong), await frame(pong)
        assert (new["event"], ids(new), new["data"][0]["state"]) == ("update", ["pong-2"], "RUNNING")
        assert (ids(left), left["data"][0]["state"]) == (["pong-1"], "STOPPED")
        served.offers = {"pong-2": offer("pong-2", "pong")}
        served.changed()
        assert ids(await frame(cart)) == ["cart-1"]


async def test_a_client_that_gives_a_model_up_is_heard_and_only_of_models_it_knows() -> None:
    reports: list[Report] = []
    async with opened(reports=reports) as (_, url), connect(f"{url}/pong") as connection:
        await frame(connection)
        entries = [
            {"model_id": name, "failure_code": "MULTIPLE_TIMEOUT", "failure_reason": None, "ip": "x"}
            for name in ("cart-1", "nobody", "pong-1")
        ]
        await connection.send(json.dumps({"event": "report_failure", "data": entries}))
        await connection.send(json.dumps({"event": "something later", "data": []}))
        pong = await connection.ping()
        await asyncio.wait_for(pong, 20)
        await until(lambda: bool(reports))
        assert reports == [Report("pong-1", "MULTIPLE_TIMEOUT", "")]


async def until(holds: Any) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0)


@pytest.mark.parametrize("sent", ["{", b"\x00binary", "[]", '{"event": 3}', "[" * 10_000])
async def test_frames_that_make_no_sense_are_left_out(sent: str | bytes) -> None:
    async with opened() as (served, url), connect(f"{url}/pong") as connection:
        await frame(connection)
        await connection.send(sent)
        served.offers = {}
        served.changed()
        assert ids(await frame(connection)) == ["pong-1"]


async def test_who_sends_nothing_else_or_too_much_is_shown_out_and_others_stay() -> None:
    async with opened() as (served, url), connect(f"{url}/pong") as honest:
        await frame(honest)
        async with connect(f"{url}/pong") as stranger:
            await frame(stranger)
            for _ in range(MAX_SENSELESS):
                await stranger.send("nonsense")
            with pytest.raises(ConnectionClosed) as closed:
                await frame(stranger)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008
        async with connect(f"{url}/pong") as stranger:
            await frame(stranger)
            await stranger.send("x" * (MAX_FRAME_BYTES + 1))
            with pytest.raises(ConnectionClosed) as closed:
                await frame(stranger)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1009
        served.offers = {}
        served.changed()
        assert ids(await frame(honest)) == ["pong-1"]


async def test_bytes_that_are_no_websocket_end_nothing() -> None:
    async with opened() as (served, url):
        for sent in (b"GET /pong HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\0" * 100):
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(sent)
            writer.write_eof()
            answer = await asyncio.wait_for(reader.read(), 20)
            writer.close()
            await writer.wait_closed()
            assert answer == b"" or answer.startswith((b"HTTP/1.1 426", b"HTTP/1.1 400"))
        async with connect(f"{url}/pong") as connection:
            assert ids(await frame(connection)) == ["pong-1"]


async def test_where_a_token_is_asked_for_nobody_comes_in_without() -> None:
    async with opened(token=TOKEN) as (_, url):
        for headers in ({}, {"Authorization": "Bearer another"}):
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"{url}/pong", additional_headers=headers)
            assert refused.value.response.status_code == 401
        async with connect(f"{url}/pong", additional_headers={"Authorization": f"Bearer {TOKEN}"}) as known:
            assert ids(await frame(known)) == ["pong-1"]


async def test_there_is_room_for_so_many_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orchestrator_module, "MAX_CLIENTS", 1)
    async with opened() as (_, url), connect(f"{url}/pong") as connection:
        await frame(connection)
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{url}/pong")
        assert refused.value.response.status_code == 503
