"""How a worker reaches its master: address, encryption, proxy, keepalive and the size of messages."""

from __future__ import annotations

from grpc import aio

from germline.connection import Places
from worker.config import WorkerConfig

MAX_MESSAGE_BYTES = 64 << 20

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # A peer that vanished without a word, or stands still, is noticed within ten seconds, also while there is
    # nothing to say: another master may have its place by then.
    ("grpc.keepalive_time_ms", 6_000),
    ("grpc.keepalive_timeout_ms", 4_000),
    ("grpc.min_reconnect_backoff_ms", 5_000),  # the longest wait for a connection
    ("grpc.http2.max_pings_without_data", 0),
    # Every try dials anew; waiting between tries is the link's business.
    ("grpc.use_local_subchannel_pool", 1),
)


class Dial:
    """Opens channels to the configured master; of several addresses, to each in turn."""

    def __init__(self, config: WorkerConfig) -> None:
        """Dial nobody yet."""
        self._places = Places(config.master)
        self._credentials = config.security.credentials()

    def __call__(self) -> aio.Channel:
        """Open a channel to the place whose turn it is."""
        target, own = self._places.now
        options = (*_OPTIONS, *own)
        if self._credentials is None:
            return aio.insecure_channel(target, options=options)
        return aio.secure_channel(target, self._credentials, options=options)

    def go_on(self) -> bool:
        """Turn to the next place; false if all were tried, so that it is time to wait."""
        return self._places.go_on()
