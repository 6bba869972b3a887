"""Logging for both services: one line per event, for people or for programs.

Ids go in as arguments (``logger.info("experiment %d is %s", ...)``); values that programs want by name go
into ``extra`` and come out as fields of the JSON line. Tokens go nowhere.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal, TextIO

Format = Literal["text", "json"]

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(level: str = "info", style: Format = "text", stream: TextIO | None = None) -> None:
    """Send every logger's lines to a stream, standard error by default. The last call counts."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if style == "json" else TextLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


class TextLines(logging.Formatter):
    """``12:03:55 worker.connection.link  text``: the time in UTC; the level if it is not INFO."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record."""
        clock = _moment(record).strftime("%H:%M:%S")
        level = "" if record.levelno == logging.INFO else f"{record.levelname} "
        return f"{clock} {record.name:<24} {level}{_text(self, record)}"


class JsonLines(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, `error` if there is one, and extras."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record."""
        line: dict[str, object] = {
            "time": _moment(record).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        extras = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        return json.dumps(extras | line, default=str, ensure_ascii=False)


def _moment(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _text(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    text = record.getMessage()
    if record.exc_info:
        text += "\n" + formatter.formatException(record.exc_info)
    return text
