"""A client of one node: sets its model up, and calls it with a deadline."""

from __future__ import annotations

import asyncio
import time

import grpc
import grpc.aio

from germline.connection import Options, Security
from germline.models.announcements import Announced
from germline.models.answers import Answer, Given, Model, Status
from germline.models.paths import CALL, SETUP
from germline.models.variants import VariantError, decode, encode
from germline.peers.model_runner_pb2 import (
    Argument,
    CallRequest,
    CallResponse,
    KwArgument,
    SetupRequest,
    SetupResponse,
)

_LARGEST_BYTES = 64 << 20  # of a message, as nodes have it
_LEAST_S = 0.001
_GRACE_S = 5.0
_BUSY_S, _LONGEST_BUSY_S = 0.01, 0.05  # until a busy node is asked again
_OPTIONS: Options = (
    ("grpc.max_receive_message_length", _LARGEST_BYTES),
    ("grpc.max_send_message_length", _LARGEST_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.use_local_subchannel_pool", 1),  # a node that is gone shares its back-off with nobody
)
_REFUSED = ("INVALID_ARGUMENT", "BAD_IMPLEMENTATION")


class SetupError(Exception):
    """A model cannot be set up now; the sentence says why."""


def call_request(method: str, given: Given) -> CallRequest:
    """A call as a message. Raises VariantError for arguments that cannot travel."""
    return CallRequest(
        method_name=method, method_arguments=_by_place(given), method_kw_arguments=_by_name(given)
    )


class NodeClient:
    """Calls one model.

    Attributes:
        announced: where it is.
        model: who it is.
    """

    def __init__(
        self, announced: Announced, setup: SetupRequest, security: Security, more: Options = ()
    ) -> None:
        """Nothing is sent yet.

        Args:
            announced: where the model is.
            setup: what it is set up with.
            security: what to show, and how to encrypt.
            more: channel options.
        """
        self.announced = announced
        self.model = Model(announced.model_id, announced.name, dict(announced.infos))
        self._request, self._metadata = setup, security.metadata()
        self._channel = _channel(f"{announced.host}:{announced.port}", security, (*_OPTIONS, *more))
        self._setup = self._channel.unary_unary(
            SETUP, SetupRequest.SerializeToString, SetupResponse.FromString
        )
        self._call = self._channel.unary_unary(CALL, CallRequest.SerializeToString, CallResponse.FromString)

    async def set_up(self, deadline_s: float) -> None:
        """Have the model made ready. Raises SetupError."""
        try:
            found = await self._setup(self._request, timeout=deadline_s, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise SetupError(f"{error.code().name}: {error.details()}") from None
        if found.status.code != "SUCCESS":
            raise SetupError(f"{found.status.code or 'no status'}: {found.status.message}")

    async def call(self, request: CallRequest, deadline_s: float) -> Answer:
        """Call the model. Whatever goes wrong is in the answer."""
        begun_s = time.monotonic()
        try:
            response = await self._in_time(request, begun_s + deadline_s)
            status, value, detail = _read(response)
        except grpc.aio.AioRpcError as error:
            status, value, detail = _status_of(error), None, f"{error.code().name}: {error.details()}"
        except (SetupError, VariantError) as error:
            status, value, detail = Status.FAILED, None, str(error)
        except TimeoutError as error:
            status, value, detail = Status.BUSY, None, str(error)
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            status, value, detail = Status.GONE, None, "the model has left"
        return Answer(self.model, status, value, time.monotonic() - begun_s, detail)

    async def close(self) -> None:
        """Give the connection up; calls that are under way have a while to end."""
        await self._channel.close(_GRACE_S)

    async def _in_time(self, request: CallRequest, until_s: float) -> CallResponse:
        """The answer; a node that has forgotten its model sets it up again, a busy one is asked again."""
        response = await self._unless_busy(request, until_s)
        if response.status.code != "FAILED_PRECONDITION":
            return response
        await self.set_up(max(_LEAST_S, until_s - time.monotonic()))
        return await self._unless_busy(request, until_s)

    async def _unless_busy(self, request: CallRequest, until_s: float) -> CallResponse:
        """Ask until the node takes the call. Raises TimeoutError if it never does."""
        pause_s, busy = _BUSY_S, ""
        while True:
            left_s = max(_LEAST_S, until_s - time.monotonic())
            try:
                found: CallResponse = await self._call(request, timeout=left_s, metadata=self._metadata)
                return found
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and busy:
                    raise TimeoutError(busy) from None
                if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise
                busy = f"RESOURCE_EXHAUSTED: {error.details()}"
                if time.monotonic() + pause_s >= until_s:
                    raise TimeoutError(busy) from None
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_BUSY_S)


def setup_request(class_name: str, given: Given) -> SetupRequest:
    """What models are set up with. Raises VariantError for arguments that cannot travel."""
    return SetupRequest(
        class_name=class_name, instance_arguments=_by_place(given), instance_kw_arguments=_by_name(given)
    )


def _read(response: CallResponse) -> tuple[Status, object, str]:
    """What is in an answer. Raises VariantError for a value that cannot be read."""
    code = response.status.code
    if code == "SUCCESS":
        value = decode(response.method_response) if response.HasField("method_response") else None
        return Status.OK, value, ""
    status = Status.REFUSED if code in _REFUSED else Status.FAILED
    return status, None, f"{code or 'no status'}: {response.status.message}"


def _status_of(error: grpc.aio.AioRpcError) -> Status:
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return Status.LATE
    gone = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAUTHENTICATED)
    return Status.GONE if error.code() in gone else Status.FAILED


def _is_cancelled() -> bool:
    """Whether somebody wants this task to end; a channel that is closed cancels its calls only."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _by_place(given: Given) -> list[Argument]:
    return [Argument(position=place, data=encode(value)) for place, value in enumerate(given.positional)]


def _by_name(given: Given) -> list[KwArgument]:
    return [KwArgument(keyword=name, data=encode(value)) for name, value in given.named.items()]


def _channel(target: str, security: Security, options: Options) -> grpc.aio.Channel:
    credentials = security.credentials()
    if credentials is None:
        return grpc.aio.insecure_channel(target, options=options)
    return grpc.aio.secure_channel(target, credentials, options=options)
