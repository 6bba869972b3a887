"""`germline.connect`: a client of a master that somebody started."""

from __future__ import annotations

import os
from pathlib import Path

from germline import settings
from germline.client import Client
from germline.client.client import DEFAULT_ADDRESS
from germline.connection import Security, check_addresses

_MASTER = settings.PREFIX + "MASTER"


def connect(
    address: str | None = None,
    *,
    token: str | None = None,
    tls: bool | None = None,
    ca: str | Path | None = None,
    tls_cert: str | Path | None = None,
    tls_key: str | Path | None = None,
) -> Client:
    """A client of a master; use it in a `with` statement, or close it.

    What is not given comes from the environment, as for every command: GERMLINE_MASTER, GERMLINE_TOKEN,
    GERMLINE_TOKEN_FILE, GERMLINE_TLS, GERMLINE_CA, GERMLINE_TLS_CERT, GERMLINE_TLS_KEY.

    Args:
        address: "host:port"; of several masters on one store, those of all, with commas between.
        token: the token itself.
        tls: encrypt, and trust the system's certificates.
        ca: encrypt, and trust this PEM file instead.
        tls_cert: encrypt, and show this certificate chain, a PEM file; needs `tls_key`.
        tls_key: private key of the certificate, a PEM file.

    Raises:
        ValueError: for an address that is none, or a file that is not what it should be.
    """
    address = address or os.environ.get(_MASTER) or DEFAULT_ADDRESS
    check_addresses(address)
    given = {"token": None, "tls": tls, "ca": ca, "tls_cert": tls_cert, "tls_key": tls_key}
    chosen = settings.read(Security, given, os.environ)
    return Client(
        address,
        token=chosen.token if token is None else token,
        tls=chosen.tls,
        ca=chosen.ca,
        tls_cert=chosen.tls_cert,
        tls_key=chosen.tls_key,
    )
