"""From an ExperimentSpec to TOML: the inverse of reading."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from germline.spec.fields import is_map, is_table, word_of
from germline.toml import read_value, write_value
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
        return write_value({key: read_value(value[key]) for key in sorted(value)})
    if field.is_repeated:
        return write_value(list(value))
    return write_value(value if field.enum_type is None else word_of(field.enum_type, value))
