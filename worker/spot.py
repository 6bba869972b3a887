"""Notices that a rented machine is about to be taken away, and lets the worker leave in time.

Clouds announce it at an address inside the machine. Where an agent turns the notice into SIGTERM (ECS, most
Kubernetes installations) nothing needs to be set.
"""

from __future__ import annotations

import asyncio
import http.client
import logging
import urllib.error
import urllib.parse
import urllib.request
from http import HTTPStatus

logger = logging.getLogger(__name__)

ASK_EVERY_S = 5.0
ANSWER_S = 2.0
_MOST_BYTES = 1000
_INSIDE = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy knows this machine
_NOT_YET = ("", "false", "none")
_NO_ANSWER = (OSError, http.client.HTTPException)  # nobody there, too slow, or cut off anywhere in its answer


async def watch_notice(url: str, stop: asyncio.Event, every_s: float = ASK_EVERY_S) -> None:
    """Set `stop` once the address answers with a notice. Without an address there is nothing to do."""
    while url and not stop.is_set():
        if notice := await asyncio.to_thread(ask, url):
            logger.warning("this machine is to be taken away: %s", notice)
            stop.set()
        await asyncio.sleep(every_s)


def ask(url: str) -> str:
    """What the address says; empty while there is no notice (404, an empty answer or FALSE) or no answer."""
    headers = {"Metadata-Flavor": "Google"}
    try:
        text = _request(url, headers)
    except urllib.error.HTTPError as error:
        text = _ask_with_token(url) if error.code == HTTPStatus.UNAUTHORIZED else ""
    except _NO_ANSWER:
        text = ""
    return "" if text.lower() in _NOT_YET else text


def _ask_with_token(url: str) -> str:
    """Amazon's metadata service wants a token of its own making."""
    try:
        token_url = urllib.parse.urljoin(url, "/latest/api/token")
        token = _request(token_url, {"X-aws-ec2-metadata-token-ttl-seconds": "60"}, method="PUT")
        return _request(url, {"X-aws-ec2-metadata-token": token})
    except _NO_ANSWER:
        return ""


def _request(url: str, headers: dict[str, str], method: str = "GET") -> str:
    request = urllib.request.Request(url, headers=headers, method=method)  # noqa: S310 - http, by the settings
    with _INSIDE.open(request, timeout=ANSWER_S) as answer:
        data: bytes = answer.read(_MOST_BYTES)
        if answer.length and len(data) < _MOST_BYTES:  # half of FALSE is no notice
            raise http.client.IncompleteRead(data)
    return data.decode(errors="replace").strip()
