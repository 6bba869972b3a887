"""A port is free when it is named, and still free when its server begins."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from germline import ports
from germline.ports import free_port


def test_no_outgoing_connection_is_given_the_port() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        outgoing = client.getsockname()[1]
    first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert first_outgoing <= outgoing
    assert all(10_000 <= free_port() < first_outgoing for _ in range(50))


def test_a_port_on_which_somebody_listens_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        monkeypatch.setattr(ports, "_FIRST", port - 1)
        monkeypatch.setattr(ports, "_first_outgoing_port", lambda: port + 1)
        assert {free_port() for _ in range(20)} == {port - 1}


def test_where_all_ports_are_for_outgoing_connections_one_of_those_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ports, "_first_outgoing_port", lambda: 1_024)
    with socket.create_server(("127.0.0.1", free_port())):
        pass
