"""The ports of a master: where it listens, and by which certificate it is known there."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import grpc
import grpc.aio
from prometheus_client import CollectorRegistry

from germline.metrics_server import serve_metrics
from master.access import Tokens
from master.config import MasterConfig, split_address


class AddressError(Exception):
    """An address cannot be served on."""


def bind(config: MasterConfig, setting: str, server: grpc.aio.Server, address: str) -> str:
    """Have a server listen on an address, which a setting names, with the master's certificate.

    Returns:
        host:port, with the port that was taken where the address leaves it open.

    Raises:
        AddressError: naming the setting, the address and the reason.
    """
    host = split_address(address)[0]
    try:
        if config.tls_cert is None or config.tls_key is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, _credentials(config))
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise AddressError(f"{setting} is {address}, which cannot be served on: {reason}") from None
    if port == 0:
        raise AddressError(f"{setting} is {address}, which cannot be served on")
    return f"{host}:{port}"


def serve_metrics_of(
    registry: CollectorRegistry, config: MasterConfig, tokens: Tokens | None, why_shut: Callable[[], str]
) -> tuple[str, Callable[[], None]]:
    """Serve metrics by HTTP: to all where the config says so, else encrypted and to those with a token.

    Returns:
        host:port, and what ends it.

    Raises:
        AddressError: the port is not to be had, or the certificate cannot be used.
    """
    host, port = config.metrics_host, config.metrics_port
    is_open = config.metrics_are_open
    tls = None if is_open else _tls(config)
    is_known = None if is_open or tokens is None else lambda token: tokens.role_of(token) is not None
    try:
        server = serve_metrics(registry, host, port, tls=tls, is_known=is_known, why_shut=why_shut)
    except OSError as error:
        raise AddressError(f"metrics_port is {port}, which cannot be served on: {error.strerror}") from None

    def close() -> None:
        server.shutdown()
        server.server_close()

    return f"{host}:{server.server_port}", close


def _credentials(config: MasterConfig) -> grpc.ServerCredentials:
    cert, key = _read(config.tls_cert), _read(config.tls_key)
    authorities = _read(config.tls_client_ca) if config.tls_client_ca else None
    return grpc.ssl_server_credentials(
        [(key, cert)], root_certificates=authorities, require_client_auth=authorities is not None
    )


def _tls(config: MasterConfig) -> ssl.SSLContext | None:
    """What HTTP is encrypted with: the certificate that gRPC has."""
    if config.tls_cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(config.tls_cert, config.tls_key)
    except OSError as error:  # ssl.SSLError is one
        raise AddressError(f"{config.tls_cert} cannot be used: {error.strerror}") from None
    return context


def _read(path: Path | None) -> bytes:
    try:
        return path.read_bytes() if path else b""
    except OSError as error:
        raise AddressError(f"{path} cannot be read: {error.strerror}") from None
