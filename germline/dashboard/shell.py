"""What browsers load: the page that holds all pages, and the files that it needs, from memory."""

from __future__ import annotations

import gzip
import hashlib
import importlib.resources
import mimetypes
from dataclasses import dataclass
from http import HTTPStatus
from importlib.resources.abc import Traversable
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

_TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".txt": "text/plain"}
_FOREVER = "public, max-age=31536000, immutable"
_WORTH_PACKING = 1_024  # bytes


@dataclass(frozen=True, slots=True)
class _File:
    data: bytes
    packed: bytes
    kind: str


class Shell:
    """The page, and the files below /static/DIGEST/: other content has another address, so all are kept."""

    def __init__(self, *, allow_control: bool = False) -> None:
        """Read the files of this package."""
        root = importlib.resources.files("germline.dashboard") / "static"
        found = dict(_walk(root, ""))
        self._page = found.pop("index.html").decode()
        self.digest = hashlib.sha256(
            b"".join(name.encode() + found[name] for name in sorted(found))
        ).hexdigest()[:12]
        self._files = {
            name: _File(data, gzip.compress(data, mtime=0), _kind(name)) for name, data in found.items()
        }
        self._control = allow_control

    def page(
        self,
        request: Request,
        status: HTTPStatus = HTTPStatus.OK,
        *,
        signed_in: bool = True,
        wrong: bool = False,
    ) -> Response:
        """The page; it finds out by its address what to show."""
        facts = {
            "{static}": f"/static/{self.digest}",
            "{door}": "open" if signed_in else "wrong" if wrong else "closed",
            "{control}": "yes" if self._control else "no",
        }
        text = self._page
        for name, value in facts.items():
            text = text.replace(name, value)
        tag = f'"{hashlib.sha256(text.encode()).hexdigest()[:16]}"'
        headers = {"etag": tag, "cache-control": "no-cache"}
        if status == HTTPStatus.OK and request.headers.get("if-none-match") == tag:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return packed(request, text.encode(), "text/html; charset=utf-8", status, headers)

    def file(self, request: Request) -> Response:
        """A file, of this build and no other."""
        found = self._files.get(request.path_params["path"])
        if found is None or request.path_params["digest"] != self.digest:
            return JSONResponse({"error": "no such file in this build"}, HTTPStatus.NOT_FOUND)
        headers = {"cache-control": _FOREVER, "vary": "accept-encoding"}
        if not _takes_gzip(request):
            return Response(found.data, media_type=found.kind, headers=headers)
        headers["content-encoding"] = "gzip"
        return Response(found.packed, media_type=found.kind, headers=headers)


def packed(
    request: Request, data: bytes, kind: str, status: HTTPStatus, headers: dict[str, str] | None = None
) -> Response:
    """An answer that is packed where that is worth it."""
    headers = {"cache-control": "no-store", "vary": "accept-encoding"} | (headers or {})
    if len(data) >= _WORTH_PACKING and _takes_gzip(request):
        data, headers["content-encoding"] = gzip.compress(data, 5, mtime=0), "gzip"
    return Response(data, status, headers, media_type=kind)


def _takes_gzip(request: Request) -> bool:
    return "gzip" in request.headers.get("accept-encoding", "")


def _kind(name: str) -> str:
    return (
        _TYPES.get(f".{name.rpartition('.')[2]}")
        or mimetypes.guess_type(name)[0]
        or "application/octet-stream"
    )


def _walk(folder: Traversable, above: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for each in folder.iterdir():
        name = above + each.name
        found += _walk(each, name + "/") if each.is_dir() else [(name, each.read_bytes())]
    return found
