"""How a worker reaches its master: address, encryption, proxy, keepalive and the size of messages."""

from __future__ import annotations

from collections.abc import Callable

from grpc import aio

from germline.connection import options_for
from worker.config import WorkerConfig

MAX_MESSAGE_BYTES = 64 << 20

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # A peer that vanished without a word is noticed within half a minute, also while there is nothing to say.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    # Every try dials anew; waiting between tries is the link's business.
    ("grpc.use_local_subchannel_pool", 1),
)


def opener(config: WorkerConfig) -> Callable[[], aio.Channel]:
    """What opens a channel to the configured master."""
    credentials = config.security.credentials()
    options = (*_OPTIONS, *options_for(config.master))
    if credentials is None:
        return lambda: aio.insecure_channel(config.master, options=options)
    return lambda: aio.secure_channel(config.master, credentials, options=options)
