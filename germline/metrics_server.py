"""Serves the metrics over HTTP: on this machine in the open, beyond it encrypted and for a token.

Beside them stands /ready, for probes, which have no token: 200 where this master serves, 503 where it waits.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from prometheus_client import CollectorRegistry, make_wsgi_app

IsKnown = Callable[[str], bool]
WhyShut = Callable[[], str]

_MOST_AT_ONCE = 32  # requests; more are closed, so that idle connections cost nothing
_PATIENCE_S = 10.0  # for a caller that says nothing


class MetricsServer(ThreadingMixIn, WSGIServer):
    """A thread for each request, and not more than a few."""

    daemon_threads = True
    tls: ssl.SSLContext | None = None

    def __init__(self, *arguments: object, **named: object) -> None:
        self._free = threading.BoundedSemaphore(_MOST_AT_ONCE)
        super().__init__(*arguments, **named)  # type: ignore[arg-type]  # whatever socketserver wants

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], address: object) -> None:
        """Answer in a thread, or hang up if too many ask already."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, address)

    def process_request_thread(
        self, request: socket.socket | tuple[bytes, socket.socket], address: object
    ) -> None:
        """Answer; the handshake is here, too, so that nobody else waits for it."""
        try:
            super().process_request_thread(request, address)
        finally:
            self._free.release()

    def finish_request(self, request: socket.socket | tuple[bytes, socket.socket], address: object) -> None:
        """Encrypt if asked to, then answer. Callers that break off are not worth a line in the log."""
        connection = request if isinstance(request, socket.socket) else request[1]
        connection.settimeout(_PATIENCE_S)
        try:
            if self.tls is not None:
                with self.tls.wrap_socket(connection, server_side=True) as encrypted:
                    super().finish_request(encrypted, address)
            else:
                super().finish_request(connection, address)
        except OSError:
            return


class _MetricsServer6(MetricsServer):
    address_family = socket.AF_INET6


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


def serve_metrics(
    registry: CollectorRegistry,
    host: str,
    port: int,
    *,
    tls: ssl.SSLContext | None,
    is_known: IsKnown | None,
    why_shut: WhyShut = lambda: "",
) -> MetricsServer:
    """Serve /metrics and /ready in a thread, until it is shut down.

    Args:
        registry: the metrics.
        host: where to listen, and
        port: at which port; 0 takes a free one.
        tls: encrypt with this.
        is_known: whether a bearer token is valid; without it everybody is answered.
        why_shut: why this master serves nobody now; empty if it does.

    Raises:
        OSError: the address is in use, or none of this machine's.
    """
    application: WSGIApplication = make_wsgi_app(registry)
    if is_known is not None:
        application = _for_those_known(application, is_known)
    application = _beside_readiness(application, why_shut)
    kind = _MetricsServer6 if ":" in host else MetricsServer
    server = make_server(host, port, application, kind, handler_class=_Silent)
    server.tls = tls
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server


def _beside_readiness(application: WSGIApplication, why_shut: WhyShut) -> WSGIApplication:
    def beside(environment: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if environment.get("PATH_INFO") != "/ready":
            return application(environment, start)
        why = why_shut()
        start("503 Service Unavailable" if why else "200 OK", [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{why or 'this master serves'}\n".encode()]

    return beside


def _for_those_known(application: WSGIApplication, is_known: IsKnown) -> WSGIApplication:
    def guarded(environment: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        scheme, _, token = str(environment.get("HTTP_AUTHORIZATION", "")).partition(" ")
        if scheme == "Bearer" and is_known(token):
            return application(environment, start)
        start("401 Unauthorized", [("WWW-Authenticate", "Bearer"), ("Content-Type", "text/plain")])
        return [b"these metrics want a token: authorization: Bearer TOKEN\n"]

    return guarded
