"""A port on this machine for a server that starts later, or again after it was killed."""

from __future__ import annotations

import random
import socket
from pathlib import Path

_OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST = 10_000  # what lies below belongs to well-known services
_TRIES = 100


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on, and that no outgoing connection is given, either.

    A port that `bind` to 0 names comes from the range in which the kernel puts the near end of every outgoing
    connection. Until its server listens (or listens again) any client of the machine may hold it, and the
    server finds its address in use. So the port is drawn from below that range.

    Args:
        host: The address on which the server is to listen.

    Raises:
        OSError: If no port is to be had.
    """
    last = _first_outgoing_port() - 1
    for _ in range(_TRIES if last > _FIRST else 0):
        port = random.SystemRandom().randint(_FIRST, last)
        if _is_free(host, port):
            return port
    with socket.create_server((host, 0)) as server:
        return int(server.getsockname()[1])


def _first_outgoing_port() -> int:
    try:
        return int(_OUTGOING.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 32_768  # Linux's own setting; BSD and macOS begin at 49,152


def _is_free(host: str, port: int) -> bool:
    try:
        with socket.create_server((host, port)):
            return True
    except OSError:
        return False
