"""TOML values as text: what Python's reader gives, written so that it reads the same."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from typing import TypeAlias

TomlValue: TypeAlias = (
    str | int | float | bool | date | time | datetime | list["TomlValue"] | dict[str, "TomlValue"]
)
Table: TypeAlias = dict[str, TomlValue]

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")


def write_value(value: object) -> str:
    """A value as TOML, on one line.

    Raises:
        TypeError: if TOML has no such values.
    """
    match value:
        case str():
            return write_text(value)
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case date() | time():  # a datetime is a date
            return value.isoformat()
        case list():
            return "[" + ", ".join(write_value(item) for item in value) + "]"
        case dict():
            return "{" + ", ".join(write_entries(value)) + "}"
    raise TypeError(f"{value!r} is a {type(value).__name__}, which TOML does not have")


def write_entries(table: Mapping[str, object]) -> Iterator[str]:
    """Keys with their values."""
    for key, value in table.items():
        yield f"{write_key(key)} = {write_value(value)}"


def write_key(key: str) -> str:
    """A key, in quotes where it needs them."""
    return key if _PLAIN_KEY.fullmatch(key) else write_text(key)


def write_text(text: str) -> str:
    """A TOML basic string: JSON's escapes are TOML's, once the delete character is escaped, too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def read_table(text: str) -> Table:
    """What a whole TOML file says.

    Raises:
        ValueError: if it is no valid TOML, or nested or written beyond what Python reads.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("its tables and lists are nested too deeply") from None


def read_value(text: str) -> TomlValue:
    """What a text is as a TOML value; one that is none is itself."""
    try:
        table: Table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return table["value"] if len(table) == 1 else text


def spell_value(value: object) -> str:
    """A value as the shortest text that :func:`read_value` makes it of: texts that can do without quotes do.

    Raises:
        TypeError: if TOML has no such values.
    """
    return value if isinstance(value, str) and read_value(value) is value else write_value(value)
