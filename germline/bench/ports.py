"""A port for a master of one's own."""

from __future__ import annotations

import socket


def free_port() -> int:
    """A port on this machine that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port
