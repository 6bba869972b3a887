"""Every field of a spec, with its unit, default, range and words: the reference that cannot go stale."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from germline.spec.fields import allowed_text, comment_of, enum_words, is_required, is_table, setting_of
from germline.v1 import spec_pb2


@dataclass(frozen=True, slots=True)
class Row:
    """One field.

    Attributes:
        path: dotted from the top of the spec.
        default: the absent field's value as TOML; None if it has none.
        required: whether leaving it out is an error; a field that is neither required nor has a default
            may be absent, and `text` says what that means.
        unit: what its number counts; "" for none.
        allowed: its kind and range.
        text: what it is.
        words: what each word of an enum means; empty for other fields.
    """

    path: str
    default: str | None
    required: bool
    unit: str
    allowed: str
    text: str
    words: dict[str, str]


@dataclass(frozen=True, slots=True)
class Section:
    """One table of the TOML file.

    Attributes:
        path: its header; "" for the top of the file.
        text: what it is.
        rows: its fields.
    """

    path: str
    text: str
    rows: tuple[Row, ...]


def explain() -> list[Section]:
    """All tables of a spec, in the order of the .proto."""
    return list(_sections(spec_pb2.ExperimentSpec.DESCRIPTOR, ""))


def _sections(message: Descriptor, path: str) -> Iterator[Section]:
    rows = tuple(_row(field, path) for field in message.fields if not is_table(field))
    yield Section(path, comment_of(message.full_name), rows)
    for field in message.fields:
        if is_table(field) and field.message_type is not None:
            yield from _sections(field.message_type, f"{path}.{field.name}" if path else field.name)


def _row(field: FieldDescriptor, path: str) -> Row:
    setting = setting_of(field)
    return Row(
        path=f"{path}.{field.name}" if path else field.name,
        default=setting.default if setting.HasField("default") else None,
        required=is_required(field),
        unit=setting.unit,
        allowed=allowed_text(field),
        text=comment_of(field.full_name),
        words=_words(field),
    )


def _words(field: FieldDescriptor) -> dict[str, str]:
    enum = field.enum_type
    if enum is None:
        return {}
    return {
        word: comment_of(f"{enum.full_name}.{enum.values_by_number[number].name}")
        for word, number in enum_words(enum).items()
    }
