"""What spec.proto says about a field: its kind, its default, its range, its words.

The facts come from the field's descriptor and its `setting` option, the text from the comment in the .proto.
"""

from __future__ import annotations

import importlib.resources
import json
import math
import re
import tomllib
from collections.abc import Callable
from functools import cache
from typing import TypeAlias, cast

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from germline.v1 import options_pb2

Scalar: TypeAlias = bool | int | float | str

_WHOLE_LIMITS = {
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
}
_REAL = (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)
_CHOICE_PATTERN = re.compile(r"[\w-]+(\|[\w-]+)+")


class NotAllowedError(ValueError):
    """A value that its field does not allow."""


def descriptor_of(message: Message) -> Descriptor:
    """The message's descriptor, whichever of protobuf's back ends made it."""
    return cast("Descriptor", message.DESCRIPTOR)


def setting_of(field: FieldDescriptor) -> options_pb2.Setting:
    """The field's `setting` option; an empty one if it has none."""
    return field.GetOptions().Extensions[options_pb2.setting]


@cache
def _comments() -> dict[str, str]:
    text = (importlib.resources.files("germline.v1") / "comments.json").read_text(encoding="utf-8")
    comments: dict[str, str] = json.loads(text)
    return comments


def comment_of(full_name: str) -> str:
    """The comment in the .proto on a message, field or enum value."""
    return _comments().get(full_name, "")


def is_map(field: FieldDescriptor) -> bool:
    """Whether the field is a table of texts."""
    return bool(field.message_type is not None and field.message_type.GetOptions().map_entry)


def is_table(field: FieldDescriptor) -> bool:
    """Whether the field is a message, which TOML writes as a table."""
    return field.message_type is not None and not is_map(field)


def kinds_of(message: Descriptor) -> list[str]:
    """Names of the fields of which exactly one must be given; empty where a message has no kinds."""
    return [field.name for oneof in message.oneofs for field in oneof.fields if is_table(field)]


def default_of(field: FieldDescriptor) -> Scalar | None:
    """The value of the absent field, as TOML gives it; None if there is none."""
    setting = setting_of(field)
    if not setting.HasField("default"):
        return None
    value: Scalar = tomllib.loads(f"value = {setting.default}")["value"]
    return value


def is_required(field: FieldDescriptor) -> bool:
    """Whether leaving the field out is an error."""
    setting = setting_of(field)
    return not setting.may_be_absent and not setting.HasField("default")


def enum_words(enum: EnumDescriptor) -> dict[str, int]:
    """The lower-case words of an enum's values; the unspecified zero has none."""
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return {value.name.removeprefix(prefix).lower(): value.number for value in enum.values if value.number}


def word_of(enum: EnumDescriptor, number: int) -> str:
    """The word of an enum's value; the number itself if it has none."""
    return next((word for word, known in enum_words(enum).items() if known == number), str(number))


def accept(field: FieldDescriptor, value: object) -> Scalar:
    """Turn one TOML value into what the message holds.

    Raises:
        NotAllowedError: if the field does not allow it; :func:`allowed_text` says what it does allow.
    """
    return _acceptor(field)(field, value)


def _acceptor(field: FieldDescriptor) -> Callable[[FieldDescriptor, object], Scalar]:
    if field.enum_type is not None:
        return _accept_word
    if field.cpp_type in _WHOLE_LIMITS:
        return _accept_whole
    if field.cpp_type in _REAL:
        return _accept_real
    return _accept_flag if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL else _accept_text


def _accept_word(field: FieldDescriptor, value: object) -> int:
    words = enum_words(field.enum_type) if field.enum_type is not None else {}
    if not isinstance(value, str) or value not in words:
        raise NotAllowedError
    return words[value]


def _accept_whole(field: FieldDescriptor, value: object) -> int:
    low, high = whole_range(field)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise NotAllowedError
    return value


def _accept_real(field: FieldDescriptor, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NotAllowedError
    setting = setting_of(field)
    too_low = setting.HasField("min") and (value <= setting.min if setting.above_min else value < setting.min)
    too_high = setting.HasField("max") and value > setting.max
    if not abs(value) < math.inf or too_low or too_high:
        raise NotAllowedError
    try:
        return float(value)
    except OverflowError:
        raise NotAllowedError from None


def _accept_flag(field: FieldDescriptor, value: object) -> bool:
    if not isinstance(value, bool):
        raise NotAllowedError
    return value


def _accept_text(field: FieldDescriptor, value: object) -> str:
    pattern = setting_of(field).pattern
    if not isinstance(value, str) or not value.isprintable():
        raise NotAllowedError
    if pattern and not re.fullmatch(pattern, value):
        raise NotAllowedError
    return value


def whole_range(field: FieldDescriptor) -> tuple[int, int]:
    """Smallest and largest allowed whole number, both inclusive."""
    low, high = _WHOLE_LIMITS[field.cpp_type]
    setting = setting_of(field)
    if setting.HasField("min"):
        low = max(low, math.ceil(setting.min))
    if setting.HasField("max"):
        high = min(high, math.floor(setting.max))
    return low, high


def allowed_text(field: FieldDescriptor) -> str:
    """What the field takes, in words: its kind, range and unit."""
    if is_map(field):
        return "a table of texts, numbers, true or false, dates and lists"
    one = _allowed_one(field)
    unit = setting_of(field).unit
    return (f"a list of values, each {one}" if field.is_repeated else one) + (f" ({unit})" if unit else "")


def _allowed_one(field: FieldDescriptor) -> str:
    if field.enum_type is not None:
        return "one of " + ", ".join(f'"{word}"' for word in enum_words(field.enum_type))
    if field.cpp_type in _WHOLE_LIMITS:
        low, high = whole_range(field)
        return f"a whole number in {low}..{'2^64-1' if high == 2**64 - 1 else high}"
    if field.cpp_type in _REAL:
        return _allowed_real(setting_of(field))
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return "true or false"
    return _allowed_pattern(setting_of(field).pattern)


def _allowed_real(setting: options_pb2.Setting) -> str:
    parts = []
    if setting.HasField("min"):
        parts.append(f"above {setting.min:g}" if setting.above_min else f"at least {setting.min:g}")
    if setting.HasField("max"):
        parts.append(f"at most {setting.max:g}")
    return " ".join(["a number", ", ".join(parts)]).strip()


def _allowed_pattern(pattern: str) -> str:
    if _CHOICE_PATTERN.fullmatch(pattern):
        return "one of " + ", ".join(f'"{word}"' for word in pattern.split("|"))
    return f"text that matches {pattern}" if pattern else "text"
