"""How a worker reaches its master: address, encryption, token, keepalive and the size of messages."""

from __future__ import annotations

from collections.abc import Callable

import grpc
from grpc import aio

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
    if not (config.tls or config.ca or config.tls_cert):
        return lambda: aio.insecure_channel(config.master, options=_OPTIONS)
    trusted, chain, key = (
        path.read_bytes() if path else None for path in (config.ca, config.tls_cert, config.tls_key)
    )
    credentials = grpc.ssl_channel_credentials(trusted, key, chain)
    return lambda: aio.secure_channel(config.master, credentials, options=_OPTIONS)


def metadata(config: WorkerConfig) -> tuple[tuple[str, str], ...]:
    """What goes with the call: the token, if there is one."""
    return (("authorization", f"Bearer {config.token}"),) if config.token else ()
