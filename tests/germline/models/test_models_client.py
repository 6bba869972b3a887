"""Our own client, against real nodes and a real WebSocket, and a node that behaves as crunchdao's does."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from websockets.asyncio.server import ServerConnection, serve

from germline.cli.app import run
from germline.connection import Security
from germline.models import (
    Answer,
    AsyncModels,
    Given,
    Model,
    Models,
    ModelsError,
    Status,
    VariantError,
)
from germline.models.announcements import Announced, Report
from germline.models.paths import SERVICE
from germline.models.variants import encode
from germline.peers.model_runner_pb2 import CallRequest, CallResponse, SetupRequest, SetupResponse
from germline.peers.model_runner_pb2 import Status as StatusMessage
from worker.serving import telling
from worker.serving.fleet import Fleet, Place, Served
from worker.serving.node import Protection
from worker.serving.orchestrator import Orchestrator
from worker.serving.service import ServingSettings
from worker.serving.telling import Offer

TOKEN = "a-token-of-24-characters"  # noqa: S105 - of these tests
PATIENCE_S = 20.0


class Doubling:
    """A model that doubles, unless it was told to do something else."""

    def __init__(self, mood: str = "well") -> None:
        self.mood, self.go_on = mood, threading.Event()
        self.seen: list[object] = []

    def double(self, number: float, *, plus: float = 0) -> object:
        self.seen.append(number)
        if self.mood == "failing":
            raise OverflowError("too much")
        if self.mood == "slow":
            self.go_on.wait()
        return 2 * number + plus


class House:
    """Nodes and a WebSocket in this loop."""

    def __init__(self, settings: ServingSettings | None = None) -> None:
        self.settings = settings or ServingSettings()
        protection = self.settings.protection()
        self.models: dict[str, Doubling] = {}
        self.reports: list[Report] = []
        self.fleet = Fleet(Place("127.0.0.1"), None, protection)
        self.orchestrator = Orchestrator(protection, self.reports.append, tls=self.settings.context())
        self.address = ""

    async def serve(self, *moods: str) -> None:
        for mood in moods:
            self.models.setdefault(mood, Doubling(mood))
        await self.fleet.serve([Served(mood, "numbers", lambda m=mood: self.models[m]) for mood in moods])  # type: ignore[misc]

    async def open(self, stack: AsyncExitStack, port: int = 0) -> None:
        stack.push_async_callback(self.fleet.close)
        self.fleet.announce_by(self.orchestrator)
        await self.orchestrator.open("127.0.0.1", port, stack)
        self.address = f"localhost:{self.orchestrator.port}"


@asynccontextmanager
async def house(*moods: str, settings: ServingSettings | None = None) -> AsyncIterator[House]:
    there = House(settings)
    async with AsyncExitStack() as stack:
        await there.serve(*moods)
        await there.open(stack)
        yield there
        for model in there.models.values():
            model.go_on.set()


def statuses(answers: dict[str, Answer]) -> dict[str, str]:
    return {name: answer.status.value for name, answer in answers.items()}


async def test_all_models_are_called_at_once_and_none_waits_for_the_slow_one() -> None:
    async with house("well", "failing", "slow") as there, AsyncModels(there.address, "numbers") as models:
        assert {model.model_id for model in models.models} == {"well", "failing", "slow"}
        begun_s = time.monotonic()
        answers = await models.call("double", 2.5, deadline_s=0.5, plus=1)
        assert time.monotonic() - begun_s < 5
        assert statuses(answers) == {"well": "ok", "failing": "failed", "slow": "late"}
        well, slow = answers["well"], answers["slow"]
        assert (well.value, well.detail, well.is_ok) == (6.0, "", True)
        assert well.latency_s < 0.5 <= slow.latency_s
        assert answers["failing"].detail == "MODEL_FAILED: OverflowError: too much"
        assert slow.detail.startswith("DEADLINE_EXCEEDED")
        assert well.model.name == "numbers"


async def test_a_callers_mistake_is_told_from_a_models_fault() -> None:
    async with house("well") as there, AsyncModels(there.address) as models:
        assert statuses(await models.call("double")) == {"well": "refused"}
        missing = (await models.call("triple", 1))["well"]
        assert missing.status is Status.REFUSED
        assert "no method 'triple'; allowed: double" in missing.detail
        with pytest.raises(VariantError, match="a object cannot travel"):
            await models.call("double", object())
        with pytest.raises(ValueError, match="deadline_s is 0; allowed: above 0"):
            await models.call("double", 1, deadline_s=0)
        assert there.models["well"].seen == []


async def test_each_model_gets_arguments_of_its_own_and_some_are_left_alone() -> None:
    async with house("well", "other") as there, AsyncModels(there.address) as models:
        numbers = {"well": 1, "other": 10}
        answers = await models.call_each("double", lambda model: Given(numbers[model.model_id], plus=1))
        assert {name: answer.value for name, answer in answers.items()} == {"well": 3, "other": 21}
        assert list(await models.call("double", 1, only=["other"])) == ["other"]
        assert await models.call("double", 1, only=["nobody"]) == {}


async def test_who_comes_can_be_called_and_who_leaves_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "LOOK_S", 3_600.0)  # nobody is told by chance
    async with house("old") as there, AsyncModels(there.address) as models:
        await there.serve("old", "new")
        await models.until(2, PATIENCE_S)
        serving = asyncio.create_task(there.serve("new"))
        while [model.model_id for model in models.models] != ["new"]:
            answers = await models.call("double", 1)
            assert any(answer.is_ok for answer in answers.values())
        assert statuses(await models.call("double", 1)) == {"new": "ok"}
        await serving


async def test_announcements_that_end_are_found_again_and_models_can_be_called_meanwhile() -> None:
    there = House()
    async with AsyncExitStack() as nodes:
        nodes.push_async_callback(there.fleet.close)
        await there.serve("well")
        async with AsyncExitStack() as first:
            there.fleet.announce_by(there.orchestrator)
            await there.orchestrator.open("127.0.0.1", 0, first)
            port = there.orchestrator.port
            models = await nodes.enter_async_context(AsyncModels(f"127.0.0.1:{port}"))
            assert not models.trouble
        async with asyncio.timeout(PATIENCE_S):
            while not models.trouble:
                assert statuses(await models.call("double", 1)) == {"well": "ok"}
        assert statuses(await models.call("double", 1)) == {"well": "ok"}
        await there.serve("well", "new")
        there.orchestrator = Orchestrator(Protection(), there.reports.append)
        there.fleet.announce_by(there.orchestrator)
        async with AsyncExitStack() as second:
            await there.orchestrator.open("127.0.0.1", port, second)
            await models.until(2, PATIENCE_S)
            assert statuses(await models.call("double", 1)) == {"well": "ok", "new": "ok"}


async def test_a_node_that_is_gone_is_told_from_one_that_is_late() -> None:
    async with house("well", "other") as there, AsyncModels(there.address) as models:
        node, _ = there.fleet._nodes["other"]
        await node.close()
        answers = await models.call("double", 1, deadline_s=5)
        assert statuses(answers) == {"well": "ok", "other": "gone"}
        assert answers["other"].latency_s < 5


async def test_a_model_can_be_reported() -> None:
    async with house("well") as there, AsyncModels(there.address) as models:
        assert await models.report("well", "MULTIPLE_TIMEOUT", "it slept")
        async with asyncio.timeout(PATIENCE_S):
            while not there.reports:
                await models.call("double", 1)
        assert there.reports == [Report("well", "MULTIPLE_TIMEOUT", "it slept")]
        await models.close()
        assert not await models.report("well")


async def test_where_nobody_announces_anything_is_said_in_a_sentence() -> None:
    with pytest.raises(ModelsError, match="localhost:1 announces no models: "):
        async with AsyncModels("localhost:1", patience_s=0.3):
            pass
    with pytest.raises(ValueError, match="address is 'nowhere'; allowed: host:port"):
        AsyncModels("nowhere")


# With TLS and a token


@pytest.fixture
def protected(tmp_path: Path) -> ServingSettings:
    """Settings with a certificate for localhost, and a token."""
    assert run(["certificates", str(tmp_path), "--force"]) == 0
    return ServingSettings(token=TOKEN, tls_cert=tmp_path / "server.pem", tls_key=tmp_path / "server-key.pem")


async def test_with_tls_and_a_token_announcements_and_calls_are_both_protected(
    protected: ServingSettings, tmp_path: Path
) -> None:
    ca = tmp_path / "ca.pem"
    async with house("well", settings=protected) as there:
        known = Security(token=TOKEN, ca=ca)
        async with AsyncModels(there.address, security=known) as models:
            assert statuses(await models.call("double", 1)) == {"well": "ok"}
        for stranger in (Security(ca=ca), Security(token="another-token-of-some-length", ca=ca), Security()):  # noqa: S106
            with pytest.raises(ModelsError, match="announces no models"):
                async with AsyncModels(there.address, security=stranger, patience_s=1):
                    pass


# A node that behaves as crunchdao's own


class TheirNode:
    """Takes one call at a time, refuses others, and knows nothing before it was set up."""

    def __init__(self) -> None:
        self.setups: list[SetupRequest] = []
        self.is_set_up, self.busy, self.fail_setups = False, 0, 0
        self.answer: Callable[[CallRequest], CallResponse] = lambda request: CallResponse(
            status=StatusMessage(code="SUCCESS"), method_response=encode(7)
        )

    async def setup(self, request: SetupRequest, context: Any) -> SetupResponse:
        self.setups.append(request)
        if self.fail_setups:
            self.fail_setups -= 1
            return SetupResponse(status=StatusMessage(code="SETUP_FAILED", message="not yet"))
        self.is_set_up = True
        return SetupResponse(status=StatusMessage(code="SUCCESS"))

    async def call(self, request: CallRequest, context: Any) -> CallResponse:
        if self.busy:
            self.busy -= 1
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "Server busy")
        if not self.is_set_up:
            return CallResponse(status=StatusMessage(code="FAILED_PRECONDITION", message="set me up"))
        return self.answer(request)


@asynccontextmanager
async def theirs(**more: Any) -> AsyncIterator[tuple[TheirNode, str, Orchestrator]]:
    node, server = TheirNode(), grpc.aio.server()
    vars(node).update(more)
    methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "Setup": grpc.unary_unary_rpc_method_handler(
            node.setup, SetupRequest.FromString, SetupResponse.SerializeToString
        ),
        "Call": grpc.unary_unary_rpc_method_handler(
            node.call, CallRequest.FromString, CallResponse.SerializeToString
        ),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    orchestrator = Orchestrator(Protection(), lambda report: None)
    orchestrator.offers = {"it": Offer(Announced("it", "it_1", "it", "127.0.0.1", port), "it")}
    async with AsyncExitStack() as stack:
        await orchestrator.open("127.0.0.1", 0, stack)
        yield node, f"127.0.0.1:{orchestrator.port}", orchestrator
    await server.stop(None)


async def test_a_class_and_its_arguments_are_told_to_nodes_that_want_them() -> None:
    async with theirs() as (node, address, _):
        async with AsyncModels(address, class_name="tracker.Base", given=Given(1, horizon="day")) as models:
            assert (await models.call("predict"))["it"].value == 7
        (setup,) = node.setups
        assert setup.class_name == "tracker.Base"
        assert setup.instance_arguments[0].data == encode(1)
        assert setup.instance_kw_arguments[0].keyword == "horizon"


async def test_a_busy_node_is_asked_again_until_the_deadline() -> None:
    async with theirs() as (node, address, _), AsyncModels(address) as models:
        node.busy = 3
        assert (await models.call("predict", deadline_s=10))["it"].value == 7
        node.busy = 10_000
        answer = (await models.call("predict", deadline_s=0.5))["it"]
        assert (answer.status, answer.detail) == (Status.BUSY, "RESOURCE_EXHAUSTED: Server busy")


async def test_a_node_that_was_started_again_and_forgot_is_set_up_again_within_the_call() -> None:
    async with theirs() as (node, address, _), AsyncModels(address) as models:
        node.is_set_up = False
        assert (await models.call("predict"))["it"].value == 7
        assert len(node.setups) == 2


async def test_a_new_deployment_takes_the_place_of_the_old_one_once_it_is_set_up() -> None:
    async with theirs() as (old, address, orchestrator), theirs() as (new, _, other):
        async with AsyncModels(address) as models:
            assert (await models.call("predict"))["it"].value == 7
            new.answer = lambda request: CallResponse(
                status=StatusMessage(code="SUCCESS"), method_response=encode(8)
            )
            (offer,) = other.offers.values()
            again = replace(offer.announced, deployment_id="it_2")
            orchestrator.offers = {"it": replace(offer, announced=again)}
            orchestrator.changed()
            async with asyncio.timeout(PATIENCE_S):
                while (await models.call("predict"))["it"].value == 7:
                    pass
            assert (await models.call("predict"))["it"].value == 8
        assert (len(old.setups), len(new.setups)) == (1, 1)


async def test_a_model_that_cannot_be_set_up_yet_holds_nobody_up_and_joins_later() -> None:
    async with theirs(fail_setups=2) as (node, address, _):
        async with AsyncModels(address, patience_s=0.05) as models:
            if not models.models:
                assert models.waiting["it"]
            await models.until(1, PATIENCE_S)
            assert models.waiting == {}
            assert (await models.call("predict"))["it"].value == 7
        assert len(node.setups) == 3


@pytest.mark.parametrize(
    ("response", "status", "detail"),
    [
        (CallResponse(), "failed", "no status: "),
        (CallResponse(status=StatusMessage(code="SUCCESS")), "ok", ""),
        (CallResponse(status=StatusMessage(code="UNKNOWN", message="?")), "failed", "UNKNOWN: ?"),
        (
            CallResponse.FromString(b"\x0a\x09\x0a\x07SUCCESS\x12\x05\x10\x01\x1a\x01x"),
            "failed",
            "a DOUBLE has 8 bytes, and not 1",
        ),
    ],
)
async def test_answers_that_say_nothing_sensible_are_failures(
    response: CallResponse, status: str, detail: str
) -> None:
    async with theirs() as (node, address, _), AsyncModels(address) as models:
        node.answer = lambda request: response
        answer = (await models.call("predict"))["it"]
        assert (answer.status, answer.detail) == (status, detail)


# An orchestrator that says what it likes


@asynccontextmanager
async def announcing(*frames: str | bytes) -> AsyncIterator[str]:
    async def say(connection: ServerConnection) -> None:
        for frame in frames:
            await connection.send(frame)
        await connection.wait_closed()

    async with serve(say, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        ("nonsense", "the frame is not JSON"),
        (b"\x00", "the frame is binary"),
        ('{"event": "init", "data": [{}]}', "state is 'None'"),
        ("x" * (5 << 20), "ConnectionClosedError: sent 1009"),
    ],
)
async def test_a_first_word_that_makes_no_sense_is_said_so(frame: str | bytes, sentence: str) -> None:
    async with announcing(frame) as address:
        with pytest.raises(ModelsError, match=f"announces no models: {sentence}"):
            async with AsyncModels(address, patience_s=1):
                pass


async def test_later_words_that_make_no_sense_are_left_out() -> None:
    entry = {"model_id": "b", "deployment_id": "1", "state": "RUNNING", "ip": "127.0.0.1", "port": 1}
    last = json.dumps({"event": "update", "data": [entry]})
    frames = ('{"event": "init"}', "nonsense", b"\x00", '{"event": "new"}', last)
    async with announcing(*frames) as address, AsyncModels(address, patience_s=2) as models:
        async with asyncio.timeout(PATIENCE_S):
            while not models.waiting:
                await asyncio.sleep(0)
        assert list(models.waiting) == ["b"]


# Without an event loop of one's own


@pytest.fixture
def running() -> Iterator[House]:
    """Nodes and a WebSocket in a thread."""
    loop, there = asyncio.new_event_loop(), House()
    ended, opened = asyncio.Event(), threading.Event()

    async def main() -> None:
        async with AsyncExitStack() as stack:
            await there.serve("well", "slow")
            await there.open(stack)
            opened.set()
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=[main()])
    thread.start()
    assert opened.wait(PATIENCE_S)
    yield there
    there.models["slow"].go_on.set()
    loop.call_soon_threadsafe(ended.set)
    thread.join(PATIENCE_S)
    loop.close()


def test_programs_without_an_event_loop_call_models_too(running: House) -> None:
    with Models(running.address, "numbers") as models:
        models.until(2, PATIENCE_S)
        assert {model.model_id for model in models.models} == {"well", "slow"}
        assert statuses(models.call("double", 2, deadline_s=0.3)) == {"well": "ok", "slow": "late"}
        each = models.call_each("double", lambda model: Given(3), only=["well"])
        assert each["well"].value == 6
        assert models.waiting == {}
        assert models.trouble == ""
        assert models.report("well")
        with pytest.raises(TimeoutError):
            models.until(3, 0.05)
    models.close()
    assert not models._thread.is_alive()


def test_a_blocking_client_that_finds_nobody_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    with (
        pytest.raises(ModelsError, match="localhost:1 announces no models"),
        Models("localhost:1", patience_s=0.2),
    ):
        pass
    with pytest.raises(ValueError, match="address is"):
        Models("nowhere")
    assert threading.active_count() <= before


def test_a_model_is_known_by_its_name() -> None:
    assert Model("a", "b") == Model("a", "b", {})
