"""How a process reaches its master: encryption, token and proxy, said once for clients and workers."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import grpc

from germline.settings import SECRET

Options: TypeAlias = tuple[tuple[str, str | int], ...]

_PEM = b"-----BEGIN "


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
            if path is not None and _PEM not in path.read_bytes():
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


def check_token(token: str) -> None:
    """Raises ValueError, without the token in it, for one that cannot travel in a header."""
    if not (token.isascii() and token.isprintable()):
        raise ValueError("the token holds other than visible ASCII characters, which no call can carry")


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
