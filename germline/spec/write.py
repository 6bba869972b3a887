"""From an ExperimentSpec to TOML: the inverse of reading."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from germline.spec.fields import Scalar, is_map, is_table, word_of
from germline.v1 import spec_pb2


def to_toml(spec: spec_pb2.ExperimentSpec) -> str:
    """Write a spec so that reading it gives the same message."""
    return "\n".join(_table(spec, "")).lstrip("\n") + "\n"


def _table(message: Message, path: str) -> Iterator[str]:
    """A message's keys, then its tables."""
    present = message.ListFields()
    keys = [(field, value) for field, value in present if not is_table(field)]
    if path and (keys or not present):
        yield f"\n[{path}]"
    for field, value in keys:
        yield f"{field.name} = {_value(field, value)}"
    for field, value in present:
        if is_table(field):
            yield from _table(value, f"{path}.{field.name}" if path else field.name)


def _value(field: FieldDescriptor, value: Any) -> str:
    """A field's value as TOML; protobuf types it no further than the descriptor does."""
    if is_map(field):
        return _inline_table(dict(value))
    if field.is_repeated:
        return f"[{', '.join(_scalar(item) for item in value)}]"
    return _text(word_of(field.enum_type, value)) if field.enum_type is not None else _scalar(value)


def _scalar(value: Scalar) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return _text(value) if isinstance(value, str) else repr(value)


def _text(text: str) -> str:
    """A TOML basic string: JSON's escapes, and one that JSON does not make."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _inline_table(table: Mapping[str, str]) -> str:
    return "{ " + ", ".join(f"{_text(key)} = {_text(table[key])}" for key in sorted(table)) + " }"
