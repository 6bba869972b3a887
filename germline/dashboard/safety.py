"""What holds for every request: whom we are called, who asks, from where, how much, and what browsers may do.

A page of somebody else may make a browser that can reach us ask us anything. A foreign `Host` is a name that
was made to lead here (DNS rebinding), a foreign `Origin` somebody else's page; both are refused, and our own
pages may load and ask nothing but us.
"""

from __future__ import annotations

import ipaddress
from http import HTTPStatus
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from germline.dashboard.settings import DashboardSettings
from germline.dashboard.shell import Shell
from germline.dashboard.visitors import Visitors

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
MOST_BYTES = 64 << 10
"""Of a request's body."""
_OPEN = ("/healthz", "/api/session")
_SAFE = ("GET", "HEAD")


class Safety:
    """Stands before the application, and lets through what may come. An ASGI application itself."""

    def __init__(self, app: ASGIApp, settings: DashboardSettings, visitors: Visitors, shell: Shell) -> None:
        self._app, self._visitors, self._shell = app, visitors, shell
        self._scheme = settings.scheme
        self._names = frozenset({"localhost", settings.host.lower(), *map(str.lower, settings.host_names)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what is refused; pass on the rest."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        refused = self._refusal(request)
        if refused is not None:
            await refused(scope, receive, _with_headers(send))
            return
        await self._app(scope, _bounded(receive), _with_headers(send))

    def _refusal(self, request: Request) -> Response | None:
        host = request.headers.get("host", "")
        if not self._is_ours(host):
            return _sentence(
                HTTPStatus.MISDIRECTED_REQUEST,
                f"this dashboard is not called {host[:200]!r}; start it with --host-name to add a name",
            )
        if request.method not in _SAFE and (why := self._why_not_changed(request, host)):
            return _sentence(HTTPStatus.FORBIDDEN, why)
        return self._at_the_door(request)

    def _is_ours(self, host: str) -> bool:
        """Whether we go by this name. An address is nobody's to point elsewhere, so any will do."""
        name = urlsplit(f"//{host}").hostname if _is_plain(host) else None
        return name is not None and (name in self._names or _is_address(name))

    def _why_not_changed(self, request: Request, host: str) -> str:
        """Why this may change nothing here; empty if it may."""
        if request.method != "POST":
            return f"{request.method} is not allowed; allowed: GET, HEAD and POST"
        if not request.headers.get("content-type", "").startswith("application/json"):
            return "what changes something is JSON, and says so in its content-type"
        origin = request.headers.get("origin", "")
        if origin != f"{self._scheme}://{host}" and not self._shows_token(request.headers):
            return f"the origin is {origin[:200]!r}, which is not this dashboard"
        if int(_number(request.headers.get("content-length", "0"))) > MOST_BYTES:
            return f"a request has at most {MOST_BYTES:,} bytes"
        return ""

    def _at_the_door(self, request: Request) -> Response | None:
        """Who has to show a token, or just did."""
        path = request.url.path
        if token := request.query_params.get("token"):
            return self._admitted(request, token)
        if path in _OPEN or path.startswith("/static/") or self._is_known(request):
            return None
        if path.startswith("/api/"):
            return _sentence(HTTPStatus.UNAUTHORIZED, "this needs a token: open the dashboard's link again")
        return self._shell.page(request, HTTPStatus.UNAUTHORIZED, signed_in=False)

    def _admitted(self, request: Request, token: str) -> Response:
        """On to the same place, without the token in the address."""
        session = self._visitors.admit(token)
        if session is None and not self._visitors.everybody:
            return self._shell.page(request, HTTPStatus.UNAUTHORIZED, signed_in=False, wrong=True)
        query = urlencode([(name, value) for name, value in parse_qsl(request.url.query) if name != "token"])
        place = "/" + request.url.path.lstrip("/")
        answer = RedirectResponse(f"{place}?{query}" if query else place, HTTPStatus.SEE_OTHER)
        if session is not None:
            remember(answer, request, session)
        return answer

    def _is_known(self, request: Request) -> bool:
        session = request.cookies.get(cookie_name(request), "")
        return self._visitors.knows(session) or self._shows_token(request.headers)

    def _shows_token(self, headers: Headers) -> bool:
        kind, _, token = headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and self._visitors.shows_token(token)


def cookie_name(request: Request) -> str:
    """Of this dashboard's cookie: cookies ignore ports, so the port is in the name."""
    return f"germline-{request.url.port or request.url.scheme}"


def remember(answer: Response, request: Request, session: str) -> None:
    """Give a session to a browser."""
    secure = request.url.scheme == "https"
    answer.set_cookie(cookie_name(request), session, httponly=True, samesite="strict", secure=secure)


def _sentence(status: HTTPStatus, sentence: str) -> Response:
    return JSONResponse({"error": sentence}, status)


def _is_plain(host: str) -> bool:
    return bool(host) and not set(host) & set("/\\@?# ")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _number(text: str) -> int:
    return int(text) if text.isdigit() else MOST_BYTES + 1


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
        await send(message)

    return sending


def _bounded(receive: Receive) -> Receive:
    """A body that ends where it grows too large: whoever sent it is gone, as far as we are concerned."""
    seen = 0

    async def receiving() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        return message if seen <= MOST_BYTES else {"type": "http.disconnect"}

    return receiving
