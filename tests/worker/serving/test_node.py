"""A node over real gRPC: what becomes of a call is in the answer, and nothing from outside ends it."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from germline.models.paths import CALL, SETUP
from germline.models.variants import decode, encode
from germline.peers.model_runner_pb2 import (
    DOUBLE,
    Argument,
    CallRequest,
    CallResponse,
    KwArgument,
    SetupRequest,
    SetupResponse,
    Variant,
)
from worker.serving import node as node_module
from worker.serving.calling import MAX_REPLY_BYTES
from worker.serving.node import Node, NodeError, Protection
from worker.serving.policy import ArgumentError

TOKEN = "a-token-of-24-characters"  # noqa: S105 - of these tests


class Model:
    """Does what it is told."""

    def __init__(self) -> None:
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.calls: list[int] = []

    def add(self, first: int, second: int = 1, *, scale: int = 1) -> int:
        return (first + second) * scale

    def minus(self, first: int, second: int) -> int:
        return first - second

    def nothing(self) -> None:
        return None

    def fail(self) -> None:
        raise OverflowError("too much")

    def leave(self) -> None:
        raise SystemExit(3)

    def refuse(self) -> None:
        raise ArgumentError("the observation is odd")

    def odd(self) -> object:
        return object()

    def large(self) -> str:
        return "x" * (MAX_REPLY_BYTES + 1)

    def wait(self, number: int) -> int:
        self.entered.set()
        self.go_on.wait()
        self.calls.append(number)
        return number

    @property
    def broken(self) -> int:
        raise OSError("it is broken")

    not_a_method = 3


class Caller:
    """Calls one node."""

    def __init__(self, port: int, token: str = "") -> None:
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()

    async def call(self, method: str, *args: object, timeout: float = 20, **named: object) -> CallResponse:
        request = CallRequest(
            method_name=method,
            method_arguments=[
                Argument(position=place, data=encode(value)) for place, value in enumerate(args)
            ],
            method_kw_arguments=[
                KwArgument(keyword=name, data=encode(value)) for name, value in named.items()
            ],
        )
        return await self.send(request, timeout)

    async def send(self, request: CallRequest, timeout: float = 20) -> CallResponse:
        call = self.channel.unary_unary(CALL, CallRequest.SerializeToString, CallResponse.FromString)
        found: CallResponse = await call(request, timeout=timeout, metadata=self._metadata)
        return found

    async def setup(self, *args: object, name: str = "Base") -> SetupResponse:
        call = self.channel.unary_unary(SETUP, SetupRequest.SerializeToString, SetupResponse.FromString)
        given = [Argument(position=place, data=encode(value)) for place, value in enumerate(args)]
        request = SetupRequest(class_name=name, instance_arguments=given)
        found: SetupResponse = await call(request, timeout=20, metadata=self._metadata)
        return found

    async def raw(self, path: str, data: bytes) -> bytes:
        found: bytes = await self.channel.unary_unary(path, bytes, bytes)(data, timeout=20)
        return found

    async def health(self) -> int:
        request = health_pb2.HealthCheckRequest(service="")
        found = await health_pb2_grpc.HealthStub(self.channel).Check(request, timeout=5)
        return int(found.status)


@asynccontextmanager
async def served(
    build: Callable[[], object],
    kind: Callable[..., object] | None = None,
    protection: Protection | None = None,
    token: str = "",
) -> AsyncIterator[tuple[Node, Caller]]:
    node = Node("it", build, kind, protection)
    await node.open("127.0.0.1")
    caller = Caller(node.port, token)
    try:
        yield node, caller
    finally:
        await caller.channel.close()
        await node.close()


async def test_arguments_come_by_place_and_by_name_and_unknown_names_are_left_out() -> None:
    async with served(Model) as (_, caller):
        found = await caller.call("add", 2, 3)
        assert (found.status.code, decode(found.method_response)) == ("SUCCESS", 5)
        assert decode((await caller.call("add", 2, scale=10, unknown=1)).method_response) == 30
        backwards = CallRequest(
            method_name="minus",
            method_arguments=[
                Argument(position=1, data=encode(1)),
                Argument(position=0, data=encode(7)),
            ],
        )
        assert decode((await caller.send(backwards)).method_response) == 6


async def test_none_is_an_absent_answer() -> None:
    async with served(Model) as (_, caller):
        found = await caller.call("nothing")
        assert found.status.code == "SUCCESS"
        assert not found.HasField("method_response")


@pytest.mark.parametrize(
    ("method", "code", "sentence"),
    [
        ("fail", "MODEL_FAILED", "OverflowError: too much"),
        ("leave", "MODEL_FAILED", "SystemExit: 3"),
        ("broken", "MODEL_FAILED", "OSError: it is broken"),
        ("odd", "MODEL_FAILED", "the result: a object cannot travel"),
        ("large", "MODEL_FAILED", "allowed: up to"),
        ("refuse", "INVALID_ARGUMENT", "the observation is odd"),
        ("add", "INVALID_ARGUMENT", "missing a required argument"),
        ("", "INVALID_ARGUMENT", "method_name is empty"),
        ("not_a_method", "BAD_IMPLEMENTATION", "a Model has no method 'not_a_method'; allowed: add"),
        ("__init__", "BAD_IMPLEMENTATION", "no method '__init__'"),
        ("a.b" * 1_000, "BAD_IMPLEMENTATION", "no method"),
    ],
)
async def test_what_goes_wrong_is_told_apart_in_the_answer(method: str, code: str, sentence: str) -> None:
    async with served(Model) as (_, caller):
        found = await caller.call(method)
        assert found.status.code == code
        assert sentence in found.status.message
        assert len(found.status.message) <= 2_000
        assert (await caller.call("add", 1)).status.code == "SUCCESS", "and it goes on"


async def test_an_argument_that_cannot_be_read_is_the_callers_mistake() -> None:
    async with served(Model) as (_, caller):
        data = Variant(type=DOUBLE, value=b"123")
        found = await caller.send(CallRequest(method_name="add", method_arguments=[Argument(data=data)]))
        assert (found.status.code, found.status.message) == (
            "INVALID_ARGUMENT",
            "argument 0: a DOUBLE has 8 bytes, and not 3",
        )
        many = [Argument(position=place, data=encode(1)) for place in range(1_001)]
        found = await caller.send(CallRequest(method_name="add", method_arguments=many))
        assert found.status.message == "there are 1001 arguments; allowed: up to 1000"


async def test_health_answers_while_a_call_runs_and_calls_wait_for_each_other() -> None:
    model = Model()
    async with served(lambda: model) as (_, caller):
        first = asyncio.create_task(caller.call("wait", 1))
        await asyncio.to_thread(model.entered.wait)
        second = asyncio.create_task(caller.call("wait", 2))
        assert await caller.health() == health_pb2.HealthCheckResponse.SERVING
        model.go_on.set()
        assert decode((await first).method_response) == 1
        assert decode((await second).method_response) == 2
        assert model.calls == [1, 2]


async def test_a_call_whose_client_gave_up_before_it_began_is_never_made() -> None:
    model = Model()
    async with served(lambda: model) as (_, caller):
        first = asyncio.create_task(caller.call("wait", 1))
        await asyncio.to_thread(model.entered.wait)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await caller.call("wait", 2, timeout=0.1)
        assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await caller.health()  # which comes after the news that the client has given up
        model.go_on.set()
        await first
        assert (await caller.call("add", 1)).status.code == "SUCCESS"
        assert model.calls == [1]


async def test_a_policy_needs_no_setup_and_takes_any() -> None:
    async with served(Model) as (_, caller):
        assert (await caller.call("add", 1)).status.code == "SUCCESS"
        assert (await caller.setup(1, 2, name="")).status.code == "SUCCESS"
        again = await caller.setup()
        assert (again.status.code, again.status.message) == ("SUCCESS", "the model is set up already")


class Own:
    """A class around a policy."""

    def __init__(self, policy: Model, offset: int = 0) -> None:
        if offset < 0:
            raise OverflowError("offset is below 0")
        self.policy, self.offset = policy, offset

    def add(self, number: int) -> int:
        return self.policy.add(number, self.offset)


class Demanding(Own):
    """One that does not go without an argument."""

    def __init__(self, policy: Model, offset: int) -> None:
        super().__init__(policy, offset)


async def test_a_class_of_ones_own_gets_the_policy_and_what_the_first_setup_says() -> None:
    async with served(Model, Own) as (_, caller):
        assert decode((await caller.call("add", 1)).method_response) == 1
        assert (await caller.setup(10)).status.code == "SUCCESS"
        assert (await caller.setup(20)).status.message == "the model is set up already"
        assert decode((await caller.call("add", 1)).method_response) == 11


async def test_a_class_that_wants_arguments_waits_for_them() -> None:
    async with served(Model, Demanding) as (_, caller):
        waits = await caller.call("add", 1)
        assert waits.status.code == "FAILED_PRECONDITION"
        assert (await caller.setup(-1)).status.code == "SETUP_FAILED"
        without = await caller.setup()
        assert without.status.code == "SETUP_FAILED"
        assert "missing a required argument: 'offset'" in without.status.message
        assert (await caller.setup(5)).status.code == "SUCCESS"
        assert decode((await caller.call("add", 1)).method_response) == 6


async def test_a_model_that_cannot_be_built_says_why() -> None:
    def build() -> object:
        raise OverflowError("too much")

    with pytest.raises(NodeError, match="it cannot be served: OverflowError: too much"):
        await Node("it", build).open("127.0.0.1")


async def test_a_port_that_is_taken_says_so() -> None:
    async with served(Model) as (node, _):
        with pytest.raises(NodeError, match=f"it cannot be served on 127.0.0.1:{node.port}"):
            await Node("it", Model).open("127.0.0.1", node.port)


async def test_a_model_that_hangs_is_in_trouble_and_is_started_over(monkeypatch: pytest.MonkeyPatch) -> None:
    models: list[Model] = []

    def build() -> Model:
        models.append(Model())
        return models[-1]

    monkeypatch.setattr(node_module, "STUCK_S", 0.05)
    async with served(build) as (node, caller):
        before = node.deployment_id
        hanging = asyncio.create_task(caller.call("wait", 1))
        await asyncio.to_thread(models[0].entered.wait)
        while not node.trouble:
            await caller.health()
        assert "a call has been running for" in node.trouble
        assert await node.renew()
        assert node.deployment_id != before
        assert not node.trouble
        assert (await caller.call("add", 1)).status.code == "SUCCESS"
        models[0].go_on.set()
        await hanging
        assert [await node.renew() for _ in range(node_module.MAX_RENEWALS)] == [True, True, False]


async def test_who_shows_no_token_is_refused() -> None:
    async with served(Model, protection=Protection(TOKEN), token=TOKEN) as (node, caller):
        assert (await caller.call("add", 1)).status.code == "SUCCESS"
        for shown in ("", "another"):
            stranger = Caller(node.port, shown)
            for refused in (stranger.call("add", 1), stranger.setup()):
                with pytest.raises(grpc.aio.AioRpcError) as error:
                    await refused
                assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
            await stranger.channel.close()


async def test_a_stranger_is_refused_before_anything_of_the_message_is_there() -> None:
    async with served(Model, protection=Protection(TOKEN), token=TOKEN) as (node, _):
        stranger = Caller(node.port)
        for path in (CALL, SETUP):
            call = stranger.channel.stream_unary(path, bytes, bytes)
            assert await call(timeout=20).code() is grpc.StatusCode.UNAUTHENTICATED
        await stranger.channel.close()


async def test_nobody_takes_up_room_by_waiting_for_a_nodes_health() -> None:
    async with served(Model) as (_, caller):
        watching = health_pb2_grpc.HealthStub(caller.channel).Watch(health_pb2.HealthCheckRequest())
        assert await watching.code() is grpc.StatusCode.UNIMPLEMENTED
        assert await caller.health() == health_pb2.HealthCheckResponse.SERVING


async def test_calls_that_were_given_up_behind_one_that_hangs_leave_nothing_behind() -> None:
    model = Model()
    async with served(lambda: model) as (node, caller):
        hanging = asyncio.create_task(caller.call("wait", 1))
        await asyncio.to_thread(model.entered.wait)
        for _ in range(20):
            with pytest.raises(grpc.aio.AioRpcError):
                await caller.call("add", 1, timeout=0.02)
        async with asyncio.timeout(20):
            while node.waiting:
                await asyncio.sleep(0.005)
        model.go_on.set()
        assert decode((await hanging).method_response) == 1
        assert (await caller.call("add", 1)).status.code == "SUCCESS"


async def test_calls_that_wait_may_have_so_many_bytes_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_module, "MAX_WAITING_BYTES", 1_000)
    model = Model()
    async with served(lambda: model) as (_, caller):
        assert (await caller.call("nothing", more="x" * 2_000)).status.code == "SUCCESS", "one may be larger"
        hanging = asyncio.create_task(caller.call("wait", 1))
        await asyncio.to_thread(model.entered.wait)
        with pytest.raises(grpc.aio.AioRpcError, match="bytes wait; allowed: up to 1,000") as error:
            await caller.call("nothing", more="x" * 2_000)
        assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        model.go_on.set()
        await hanging
        assert (await caller.call("nothing", more="x" * 2_000)).status.code == "SUCCESS"


async def test_bytes_of_strangers_end_nothing() -> None:
    async with served(Model) as (node, caller):
        for path, data in ((CALL, b"\xff" * 100), (SETUP, b"\x0a\xff"), ("/other.Service/Call", b"")):
            with pytest.raises(grpc.aio.AioRpcError):
                await caller.raw(path, data)
        for sent in (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,
            b"GET / HTTP/1.1\r\n\r\n",
        ):
            with socket.create_connection(("127.0.0.1", node.port), 5) as raw:
                raw.sendall(sent)
        assert (await caller.call("add", 1)).status.code == "SUCCESS"
