"""From TOML to a complete ExperimentSpec, or to one error with everything that is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from germline.policy_versions import VERSIONS
from germline.spec import rules
from germline.spec.fields import (
    NotAllowedError,
    accept,
    allowed_text,
    default_of,
    descriptor_of,
    is_map,
    is_required,
    is_table,
    kinds_of,
    setting_of,
    word_of,
)
from germline.spec.problems import Problem, SpecError, missing, unknown, wrong_value
from germline.toml import read_table, read_value, spell_value
from germline.v1 import spec_pb2

SPEC_FORMAT = 3
"""Of specs that are stored as TOML. In the first one, numbers among arguments were written as texts; before
the third, policies had no versions."""


def loads(text: str, source: str = "the spec", *, spec_format: int = SPEC_FORMAT) -> spec_pb2.ExperimentSpec:
    """Read a spec from TOML text; the answer is complete.

    Raises:
        SpecError: if the text is no TOML, or with everything that is wrong with the spec.
    """
    return from_table(parsed(text, source), source, spec_format=spec_format)


def parsed(text: str, source: str) -> dict[str, object]:
    """What a TOML text says; raises SpecError if it is none."""
    try:
        return {**read_table(text)}
    except ValueError as error:
        raise SpecError([Problem("", f"is no valid TOML: {error}")], source) from None


def from_table(
    table: Mapping[str, object], source: str = "the spec", *, spec_format: int = SPEC_FORMAT
) -> spec_pb2.ExperimentSpec:
    """Read a spec from what its TOML says; the answer is complete.

    Args:
        table: the TOML.
        source: what it is called in problems.
        spec_format: of a stored table, as it was stored with it.

    Raises:
        SpecError: with everything that is wrong with the spec.
    """
    spec = spec_pb2.ExperimentSpec()
    problems: list[Problem] = []
    _read_table(spec, table if spec_format > 1 else _of_format_1(table), "", problems)
    if spec_format < 3:
        keep_first_version(spec)
    return _checked(spec, problems, source)


def complete(spec: spec_pb2.ExperimentSpec, source: str = "the spec") -> spec_pb2.ExperimentSpec:
    """A copy with every default filled in; only fields that may be absent still are.

    Raises:
        SpecError: with everything that is wrong with the spec.
    """
    filled = spec_pb2.ExperimentSpec()
    filled.CopyFrom(spec)
    return _checked(filled, list(unknown_settings(spec)), source)


def keep_first_version(spec: spec_pb2.ExperimentSpec) -> None:
    """Let a spec that was stored before policies had versions mean the first one."""
    if spec.policy.name in VERSIONS and not spec.policy.HasField("version"):
        spec.policy.version = 1


def unknown_settings(message: Message, path: str = "") -> Iterator[Problem]:
    """Settings in a message that only later builds know: whoever passes them over plays something else."""
    unknown_fields = UnknownFieldSet(message)
    for place in range(len(unknown_fields)):
        number = unknown_fields[place].field_number
        yield Problem(path, f"has field {number}, which this build does not know: a later one wrote it")
    for descriptor, value in message.ListFields():
        if is_table(descriptor):
            yield from unknown_settings(value, f"{path}.{descriptor.name}" if path else descriptor.name)


def _checked(spec: spec_pb2.ExperimentSpec, problems: list[Problem], source: str) -> spec_pb2.ExperimentSpec:
    """Fill `spec` in and hold it against the fields' ranges and the rules between fields."""
    refused = {problem.path for problem in problems}
    _fill(spec, "", refused, problems)
    if spec.policy.name in VERSIONS and not spec.policy.HasField("version"):
        spec.policy.version = VERSIONS[spec.policy.name]
    problems += rules.broken(spec, {problem.path for problem in problems})
    if problems:
        raise SpecError(problems, source)
    return spec


def _read_table(message: Message, table: Mapping[str, object], path: str, problems: list[Problem]) -> None:
    """Write a TOML table into a message, field by field."""
    fields = descriptor_of(message).fields_by_name
    _refuse_several_kinds(message, table, path, problems)
    for key, value in table.items():
        if key in fields:
            _read_field(message, fields[key], value, path + key, problems)
        else:
            problems.append(unknown(path + key, key, list(fields)))


def _refuse_several_kinds(
    message: Message, table: Mapping[str, object], path: str, problems: list[Problem]
) -> None:
    kinds = kinds_of(descriptor_of(message))
    given = [key for key in table if key in kinds]
    if len(given) > 1:
        text = f"has {len(given)} kinds, {' and '.join(given)}; allowed: exactly one of {', '.join(kinds)}"
        problems.append(Problem(path.rstrip("."), text))


def _read_field(
    message: Message, field: FieldDescriptor, value: object, path: str, problems: list[Problem]
) -> None:
    try:
        if is_table(field):
            _read_message(message, field, value, path, problems)
        elif is_map(field):
            getattr(message, field.name).update(_texts(value))
        elif field.is_repeated:
            getattr(message, field.name).extend(_items(field, value))
        else:
            setattr(message, field.name, accept(field, value))
    except NotAllowedError:
        problems.append(wrong_value(path, value, allowed_text(field)))


def _read_message(
    message: Message, field: FieldDescriptor, value: object, path: str, problems: list[Problem]
) -> None:
    if not isinstance(value, Mapping):
        problems.append(wrong_value(path, value, f"a table, [{path}]"))
        return
    child: Message = getattr(message, field.name)
    child.SetInParent()
    _read_table(child, value, path + ".", problems)


def _items(field: FieldDescriptor, value: object) -> list[object]:
    if not isinstance(value, list):
        raise NotAllowedError
    return [accept(field, item) for item in value]


def _of_format_1(table: Mapping[str, object]) -> dict[str, object]:
    """A table whose texts among arguments are what TOML makes of them."""
    read: dict[str, object] = {}
    for key, value in table.items():
        if key == "arguments" and isinstance(value, Mapping):
            read[key] = {n: read_value(v) if isinstance(v, str) else v for n, v in value.items()}
        else:
            read[key] = _of_format_1(value) if isinstance(value, Mapping) else value
    return read


def _texts(value: object) -> dict[str, str]:
    """Keyword arguments: each a TOML value, spelled so that it comes back as it was written."""
    if not isinstance(value, Mapping):
        raise NotAllowedError
    return {str(key): spell_value(item) for key, item in value.items()}


def _fill(message: Message, path: str, refused: set[str], problems: list[Problem]) -> None:
    """Fill defaults in below `message`; note what is missing or out of range, except below refused paths."""
    kinds = kinds_of(descriptor_of(message))
    if kinds and path.rstrip(".") not in refused and not any(message.HasField(kind) for kind in kinds):
        tables = ", ".join(f"[{path}{kind}]" for kind in kinds)
        problems.append(missing(path.rstrip("."), f"exactly one of {tables}"))
    for field in descriptor_of(message).fields:
        if field.name in kinds and not message.HasField(field.name):
            continue
        if path + field.name not in refused:
            _fill_field(message, field, path + field.name, refused, problems)


def _fill_field(
    message: Message, field: FieldDescriptor, path: str, refused: set[str], problems: list[Problem]
) -> None:
    if is_table(field):
        if setting_of(field).may_be_absent and not message.HasField(field.name):
            return
        child: Message = getattr(message, field.name)
        child.SetInParent()
        _fill(child, path + ".", refused, problems)
    elif is_map(field):
        texts = getattr(message, field.name)
        texts.update({key: spell_value(read_value(text)) for key, text in texts.items()})
    elif field.is_repeated:
        problems.extend(_wrong_items(message, field, path))
    elif _is_absent(message, field):
        _fill_absent(message, field, path, problems)
    else:
        _check_present(message, field, path, problems)


def _is_absent(message: Message, field: FieldDescriptor) -> bool:
    return not message.HasField(field.name) if field.has_presence else not getattr(message, field.name)


def _fill_absent(message: Message, field: FieldDescriptor, path: str, problems: list[Problem]) -> None:
    default = default_of(field)
    if default is not None:
        setattr(message, field.name, accept(field, default))
    elif is_required(field):
        problems.append(missing(path, allowed_text(field)))


def _check_present(message: Message, field: FieldDescriptor, path: str, problems: list[Problem]) -> None:
    value = getattr(message, field.name)
    shown = word_of(field.enum_type, value) if field.enum_type is not None else value
    try:
        accept(field, shown)
    except NotAllowedError:
        problems.append(wrong_value(path, shown, allowed_text(field)))


def _wrong_items(message: Message, field: FieldDescriptor, path: str) -> list[Problem]:
    values = list(getattr(message, field.name))
    try:
        _items(field, values)
    except NotAllowedError:
        return [wrong_value(path, values, allowed_text(field))]
    return []
