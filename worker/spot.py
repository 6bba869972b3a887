"""Notices that a rented machine is about to be taken away, and lets the worker leave in time.

Clouds announce it at an address inside the machine. Where an agent turns the notice into SIGTERM (ECS, Batch,
most Kubernetes installations) nothing needs to be set.

Addresses: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html,
https://cloud.google.com/compute/docs/instances/spot, and
https://learn.microsoft.com/azure/virtual-machines/linux/scheduled-events.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import urllib.error
import urllib.parse
import urllib.request
from http import HTTPStatus
from pathlib import Path

logger = logging.getLogger(__name__)

ASK_EVERY_S = 5.0
ANSWER_S = 2.0
_MOST_BYTES = 10_000
_INSIDE = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy knows this machine
_NOT_YET = ("", "false", "none")
_NO_ANSWER = (OSError, http.client.HTTPException)  # nobody there, too slow, or cut off anywhere in its answer


_LINK_LOCAL = "http://169.254.169.254"  # where Amazon's and Azure's machines find their metadata
SERVICES = {
    "ec2": f"{_LINK_LOCAL}/latest/meta-data/spot/instance-action",
    "gcp": "http://metadata.google.internal/computeMetadata/v1/instance/preempted",
    "azure": f"{_LINK_LOCAL}/metadata/scheduledevents?api-version=2020-07-01",
}
_LEAVING = {"Preempt", "Terminate"}
_HEADERS = {"Metadata-Flavor": "Google", "Metadata": "true"}  # what Google's and Azure's services insist on


async def watch_notice(source: str, stop: asyncio.Event, every_s: float = ASK_EVERY_S) -> None:
    """Set `stop` once the source has a notice; see `spot_notice` in the settings. Without one do nothing."""
    while source and not stop.is_set():
        if notice := await asyncio.to_thread(ask, source):
            logger.warning("this machine is to be taken away: %s", notice)
            stop.set()
        await asyncio.sleep(every_s)


def ask(source: str) -> str:
    """What a source says; empty while there is no notice (404, nothing, FALSE, no event) or no answer."""
    if source.startswith("file://"):
        path = Path(source.removeprefix("file://"))
        return f"{path} exists" if path.exists() else ""
    url = SERVICES.get(source, source)
    try:
        text = _request(url, _HEADERS)
    except urllib.error.HTTPError as error:
        text = _ask_with_token(url) if error.code == HTTPStatus.UNAUTHORIZED else ""
    except _NO_ANSWER:
        text = ""
    return "" if text.lower() in _NOT_YET else _of_events(text)


def _of_events(text: str) -> str:
    """Azure answers with a list of what is to come to machines around; only some of that takes one away."""
    try:
        events = json.loads(text).get("Events")
    except (ValueError, AttributeError):
        return text
    if not isinstance(events, list):
        return text
    kinds = {str(event.get("EventType")) for event in events if isinstance(event, dict)}
    return ", ".join(sorted(kinds & _LEAVING))


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
