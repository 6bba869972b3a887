"""Frames that say which models run where, `init` and `update`, and those by which a client gives one up."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

State = Literal["RUNNING", "STOPPED", "RECOVERING"]
Event = Literal["init", "update"]

FRAME_BYTES = 900 << 10
"""Of one frame: clients close the connection over one of more than a MiB."""
MAX_REPORTS = 1_000
"""Models that one frame may give up."""
_MAX_TEXT = 1_000
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.%]{2,60}\]")


class FrameError(ValueError):
    """A frame that says nothing sensible; the sentence says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Announced:
    """A model as it is announced.

    Attributes:
        model_id: who it is, for as long as it is served anywhere.
        deployment_id: this time that it is served; another one is set up anew.
        name: for people.
        host: where its node listens; an IPv6 address in brackets.
        port: of the node.
        state: whether it may be called.
        infos: what else there is to know.
    """

    model_id: str
    deployment_id: str
    name: str
    host: str
    port: int
    state: State = "RUNNING"
    infos: Mapping[str, str] = field(default_factory=dict)


class Report(NamedTuple):
    """That a client gave a model up.

    Attributes:
        model_id: which.
        code: BAD_IMPLEMENTATION, CONNECTION_FAILED, MULTIPLE_FAILED or MULTIPLE_TIMEOUT.
        reason: more of it; empty for the most part.
    """

    model_id: str
    code: str
    reason: str


def write_frames(event: Event, models: Sequence[Announced]) -> Iterator[str]:
    """Frames that announce these models, in their order; after a first `init` come `update`s."""
    part: list[str] = []
    size = 0
    for text in map(_write_model, models):
        if part and size + len(text) > FRAME_BYTES:
            yield _frame(event, part)
            part, size, event = [], 0, "update"
        part.append(text)
        size += len(text) + 1
    if part or event == "init":
        yield _frame(event, part)


def write_report(report: Report, host: str) -> str:
    """The frame by which a client gives a model up."""
    entry = {
        "model_id": report.model_id,
        "failure_code": report.code,
        "failure_reason": report.reason or None,
        "ip": host,
    }
    return json.dumps({"event": "report_failure", "data": [entry]})


def read_models(frame: str | bytes) -> tuple[Event, list[Announced]] | None:
    """What a frame announces; None for an event of another kind. Raises FrameError."""
    event, data = _read(frame)
    if event == "init":
        return "init", [_read_model(entry) for entry in data]
    if event == "update":
        return "update", [_read_model(entry) for entry in data]
    return None


def read_reports(frame: str | bytes) -> list[Report]:
    """The models that a frame gives up; none for an event of another kind. Raises FrameError."""
    event, data = _read(frame)
    if event != "report_failure":
        return []
    if len(data) > MAX_REPORTS:
        raise FrameError(f"data has {len(data)} entries; allowed: up to {MAX_REPORTS}")
    return [
        Report(_text(entry, "model_id"), _text(entry, "failure_code", ""), _text(entry, "failure_reason", ""))
        for entry in data
    ]


def _frame(event: Event, models: Sequence[str]) -> str:
    return f'{{"event": "{event}", "data": [{",".join(models)}]}}'


def _write_model(model: Announced) -> str:
    return json.dumps(
        {
            "deployment_id": model.deployment_id,
            "model_id": model.model_id,
            "infos": {"model_name": model.name, **model.infos},
            "state": model.state,
            "ip": model.host,
            "port": model.port,
        }
    )


def _read(frame: str | bytes) -> tuple[str, list[dict[str, object]]]:
    """The event of a frame, and the entries of its data."""
    if not isinstance(frame, str):
        raise FrameError("the frame is binary; allowed: text")
    try:
        found = json.loads(frame)
    except (ValueError, RecursionError) as error:
        raise FrameError(f"the frame is not JSON: {error}") from None
    if not isinstance(found, dict) or not isinstance(event := found.get("event"), str):
        raise FrameError("the frame has no event; allowed: an object with event and data")
    data = found.get("data", [])
    if not (isinstance(data, list) and all(isinstance(entry, dict) for entry in data)):
        raise FrameError(f"data of {event[:40]!r} is no list of objects")
    return event, data


def _read_model(entry: Mapping[str, object]) -> Announced:
    state = _text(entry, "state")
    infos = entry.get("infos")
    known = {str(key): str(value) for key, value in infos.items()} if isinstance(infos, dict) else {}
    running: State = "RUNNING" if state == "RUNNING" else "RECOVERING" if state == "RECOVERING" else "STOPPED"
    model_id = _text(entry, "model_id")
    name = known.pop("model_name", model_id)
    is_gone = running == "STOPPED"  # whose address says nothing any more
    host = "" if is_gone else _host(entry)
    port = 0 if is_gone else _port(entry.get("port"))
    return Announced(model_id, _text(entry, "deployment_id", ""), name, host, port, running, known)


def _host(entry: Mapping[str, object]) -> str:
    """A host, and no other place that a gRPC target could name."""
    host = _text(entry, "ip")
    if not _HOST.fullmatch(host):
        raise FrameError(f"ip is {host[:40]!r}; allowed: a name or an address, one of IPv6 in brackets")
    return host


def _port(value: object) -> int:
    """A port, which some write as a text."""
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) <= 65_535):
        raise FrameError(f"port is {str(value)[:40]!r}; allowed: 1 to 65535")
    return int(text)


def _text(entry: Mapping[str, object], name: str, default: str | None = None) -> str:
    value = entry.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str) or (not value and default is None) or len(value) > _MAX_TEXT:
        raise FrameError(f"{name} is {str(value)[:40]!r}; allowed: a text of up to {_MAX_TEXT:,} characters")
    return value
