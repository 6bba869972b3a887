"""How a process reaches its master: addresses, encryption, token and proxy, for clients and workers alike."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeAlias

import grpc

from germline.settings import SECRET

Options: TypeAlias = tuple[tuple[str, str | int], ...]

PEM = b"-----BEGIN "

# What gRPC says of a connection that did not come about, and what is most likely wrong.
_HINTS = {
    "WRONG_VERSION_NUMBER": "it does not speak TLS: leave out --tls and --ca (GERMLINE_TLS, GERMLINE_CA)",
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not signed by the authority of --ca (GERMLINE_CA)",
    "Hostname Verification Check failed": "its certificate is for other names: call it by one of those that "
    "`germline certificates --host` was given",
    "Socket closed": "if it speaks TLS, --ca (GERMLINE_CA) names its authority's file, ca.pem",
    "Connection refused": "`germline master` starts one; where one is up that speaks TLS, --ca (GERMLINE_CA) "
    "names its authority's file, ca.pem",
}


@dataclass(frozen=True, kw_only=True)
class Security:
    """What a caller asks for; what it asks for is done, or refused, and never left out.

    Attributes:
        token: shown with every call; empty for none.
        tls: encrypt, and trust the system's certificates.
        ca: encrypt, and trust this PEM file instead.
        tls_cert: encrypt, and show this certificate chain, a PEM file; needs `tls_key`.
        tls_key: private key of the certificate, a PEM file.
    """

    token: str = field(default="", metadata=SECRET, repr=False)
    tls: bool = False
    ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot work; raises ValueError."""
        check_token(self.token)
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key belong together; only one of them is given")
        for name, path in (("ca", self.ca), ("tls_cert", self.tls_cert), ("tls_key", self.tls_key)):
            if path is not None and not path.is_file():
                raise ValueError(f"{name} is {str(path)!r}; allowed: an existing PEM file")
            if path is not None and PEM not in path.read_bytes():
                raise ValueError(f"{name} is {str(path)!r}, which is not a PEM file")

    def credentials(self) -> grpc.ChannelCredentials | None:
        """What to encrypt with; None where nobody asked for it."""
        if not (self.tls or self.ca or self.tls_cert):
            return None
        trusted, chain, key = (
            path.read_bytes() if path else None for path in (self.ca, self.tls_cert, self.tls_key)
        )
        return grpc.ssl_channel_credentials(trusted, key, chain)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with every call."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()


def hint(details: str) -> str:
    """What may help when a connection failed for this reason, with "; " before it; empty if nobody knows."""
    return next((f"; {help}" for found, help in _HINTS.items() if found in details), "")


def check_token(token: str) -> None:
    """Raises ValueError, without the token in it, for one that cannot travel in a header."""
    if not (token.isascii() and token.isprintable()):
        raise ValueError("the token holds other than visible ASCII characters, which no call can carry")


class Place(NamedTuple):
    """Where a master may be: what to dial, and the channel options that this needs."""

    target: str
    options: Options


class Places:
    """Where a master may be, in turn: of several masters on one store, one serves and the others wait.

    A name that stands for several machines is as many places; it is looked up again in every round.
    """

    def __init__(self, addresses: str) -> None:
        """Go round these, "host:port" each, with commas between. Raises ValueError."""
        self._addresses = check_addresses(addresses)
        self._places = _places(self._addresses)
        self._turn = 0

    @property
    def are_several(self) -> bool:
        """Whether there is more than one."""
        return len(self._places) > 1

    @property
    def now(self) -> Place:
        """The one whose turn it is."""
        return self._places[self._turn]

    def go_on(self) -> bool:
        """Turn to the next one; false if that begins a new round."""
        self._turn += 1
        if self._turn < len(self._places):
            return True
        self._turn, self._places = 0, _places(self._addresses)
        return False


def check_addresses(addresses: str) -> list[str]:
    """The addresses in a text. Raises ValueError where there is something else."""
    found = [address.strip() for address in addresses.split(",")]
    if not all(re.fullmatch(r".+:\d{1,5}", address) for address in found):
        raise ValueError(f"master is {addresses!r}; allowed: host:port, several with commas between")
    return found


def _places(addresses: list[str]) -> list[Place]:
    return [place for address in addresses for place in _places_of(address)]


def _places_of(address: str) -> list[Place]:
    """Where one address leads: to each machine that its name stands for, if these are several."""
    host, _, port = address.rpartition(":")
    machines = [] if is_loopback(host.strip("[]")) else _machines(host.strip("[]"))
    if len(machines) < 2:
        return [Place(address, options_for(address))]
    named: Options = (("grpc.ssl_target_name_override", host), *options_for(address))
    return [Place(f"{kind}:{machine}:{port}", named) for kind, machine in machines]


def _machines(host: str) -> list[tuple[str, str]]:
    """The addresses of a name, of the family that has more of them; none if nobody knows any."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    four = sorted({str(at[0]) for family, _, _, _, at in found if family is socket.AF_INET})
    six = sorted({str(at[0]) for family, _, _, _, at in found if family is socket.AF_INET6})
    if len(six) > len(four):
        return [("ipv6", f"[{machine}]") for machine in six]
    return [("ipv4", machine) for machine in four]


def options_for(address: str) -> Options:
    """Channel options that depend on the address: nothing goes through a proxy to this very machine."""
    host = address.rpartition(":")[0].strip("[]")
    return (("grpc.enable_http_proxy", 0),) if is_loopback(host) else ()


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host; a name other than localhost counts as a network's."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
