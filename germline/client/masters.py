"""The masters that a client may ask: one at a time, and the next one where that does not serve."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TypeVar

import grpc

from germline.client.errors import from_rpc, is_unreachable
from germline.connection import Places, Security
from germline.v1.experiment_pb2_grpc import ExperimentServiceStub

_Answer = TypeVar("_Answer")

MAX_MESSAGE_BYTES = 64 * 1024 * 1024  # a population of long lines with its genomes
_SHORTEST_TRY_S = 1.0
_BETWEEN_ROUNDS_S = 0.3

# Every call may be repeated without harm; only UNAVAILABLE is, since anything else would fail again.
_RETRY = {
    "methodConfig": [
        {
            "name": [{"service": "germline.v1.ExperimentService"}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.2s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
_OPTIONS: list[tuple[str, str | int]] = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # A master that stands still is noticed within ten seconds: another one may have its place by then.
    ("grpc.keepalive_time_ms", 6_000),
    ("grpc.keepalive_timeout_ms", 4_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]


class Masters:
    """Finds the master that serves, and goes on to the next when it does not serve any more.

    A single one is asked again by gRPC itself, four times. Several are asked in turn until the deadline.
    """

    def __init__(self, addresses: str, security: Security) -> None:
        """Prepare; connections are made by calls. Raises ValueError."""
        self.addresses = addresses
        self._security = security
        self._places = Places(addresses)
        self._open()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def call(self, ask: Callable[[ExperimentServiceStub, float], _Answer], deadline_s: float) -> _Answer:
        """Ask with a stub and a time, until somebody answers or refuses.

        Raises:
            NotReachableError: nobody did within the deadline.
            RefusedError: a master said no.
        """
        give_up_s = time.monotonic() + deadline_s
        while True:
            left_s = give_up_s - time.monotonic()
            try:
                return ask(self.stub, self._patience_s(left_s))
            except grpc.RpcError as error:
                if not (self._places.are_several and is_unreachable(error)) or left_s <= _SHORTEST_TRY_S:
                    raise from_rpc(error, self.addresses) from None
                self.go_on()

    def go_on(self) -> None:
        """Turn to the next master, after a while if all were asked."""
        if not self._places.are_several:
            return
        if not self._places.go_on():
            time.sleep(_BETWEEN_ROUNDS_S)
        self._channel.close()
        self._open()

    def _patience_s(self, left_s: float) -> float:
        """How long to wait for one of several, one of which may stand still."""
        return max(left_s / 2, _SHORTEST_TRY_S) if self._places.are_several else left_s

    def _open(self) -> None:
        target, own = self._places.now
        credentials, options = self._security.credentials(), [*_OPTIONS, *own]
        if not self._places.are_several:
            options.append(("grpc.service_config", json.dumps(_RETRY)))
        if credentials is None:
            self._channel = grpc.insecure_channel(target, options=options)
        else:
            self._channel = grpc.secure_channel(target, credentials, options=options)
        self.stub = ExperimentServiceStub(self._channel)
