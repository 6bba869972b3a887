"""Where a master may be: one address, several, or a name that stands for several machines."""

import socket

import pytest

from germline.connection import Place, Places, check_addresses

Found = list[tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int]]]


def found(*machines: str) -> Found:
    families = [socket.AF_INET6 if ":" in machine else socket.AF_INET for machine in machines]
    return [(f, socket.SOCK_STREAM, 6, "", (m, 0)) for f, m in zip(families, machines, strict=True)]


def round_of(places: Places) -> list[str]:
    targets = [places.now.target]
    while places.go_on():
        targets.append(places.now.target)
    return targets


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, Found]:
    """What the names of this test stand for; nobody is asked."""
    known: dict[str, Found] = {}

    def look_up(host: str, *_: object, **__: object) -> Found:
        if host not in known:
            raise socket.gaierror("unknown")
        return known[host]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known


def test_a_single_address_is_dialled_as_it_is(names: dict[str, Found]) -> None:
    names["one"] = found("10.0.0.1")
    for address in ("one:7700", "unknown:7700", "localhost:7700", "10.0.0.9:7700"):
        places = Places(address)
        assert (round_of(places), places.are_several) == ([address], False)


def test_several_addresses_have_their_turns_again_and_again() -> None:
    places = Places("localhost:7700, localhost:7701")
    assert places.are_several
    assert [round_of(places), round_of(places)] == [["localhost:7700", "localhost:7701"]] * 2


def test_a_name_that_stands_for_several_machines_is_as_many_places(names: dict[str, Found]) -> None:
    names["masters"] = found("10.0.0.2", "fd00::1", "10.0.0.1", "10.0.0.2")
    places = Places("masters:7700")
    assert round_of(places) == ["ipv4:10.0.0.1:7700", "ipv4:10.0.0.2:7700"]
    assert ("grpc.ssl_target_name_override", "masters") in places.now.options
    names["masters"] = found("fd00::1", "fd00::2", "10.0.0.1")
    assert round_of(Places("masters:7700")) == ["ipv6:[fd00::1]:7700", "ipv6:[fd00::2]:7700"]


def test_a_name_is_looked_up_again_in_every_round(names: dict[str, Found]) -> None:
    names["masters"] = found("10.0.0.1", "10.0.0.2")
    places = Places("masters:7700")
    names["masters"] = found("10.0.0.1", "10.0.0.3")
    assert round_of(places) == ["ipv4:10.0.0.1:7700", "ipv4:10.0.0.2:7700"]
    assert round_of(places) == ["ipv4:10.0.0.1:7700", "ipv4:10.0.0.3:7700"]


def test_this_machine_is_never_asked_for_through_a_proxy() -> None:
    assert Places("127.0.0.1:1").now == Place("127.0.0.1:1", (("grpc.enable_http_proxy", 0),))


@pytest.mark.parametrize("addresses", ["", "nowhere", "a:1,", "a:1,b", "a:1;b:2x"])
def test_what_is_no_address_is_refused_by_name(addresses: str) -> None:
    with pytest.raises(ValueError, match="allowed: host:port, several with commas between"):
        check_addresses(addresses)
