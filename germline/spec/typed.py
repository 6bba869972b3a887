"""A spec as typed objects, which an editor completes and mypy checks; it prints as TOML.

Example::

    from germline.spec import GeneticAlgorithm, GymTask, Policy, Spec, Stop

    spec = Spec(
        name="cartpole",
        task=GymTask(id="CartPole-v1"),
        policy=Policy(name="mlp", hidden=[16]),
        algorithm=GeneticAlgorithm(window=200, power=0.05),
        stop=Stop(evaluations=5_000),
    )
    print(spec)

The classes are generated from the .proto, as all else that is known of a spec; see `germline spec --explain`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Self

from germline.spec.load import load
from germline.spec.read import from_table
from germline.spec.settle import with_settings
from germline.spec.write import to_toml
from germline.v1 import spec_objects, spec_pb2

_SOURCE = "the spec"
_CHOICES = ("task", "algorithm")  # of several kinds each, as tables of their own
_PARTS: dict[str, type[Any]] = {
    field.name: getattr(spec_objects, field.message_type.name)
    for field in spec_pb2.ExperimentSpec.DESCRIPTOR.fields
    if field.message_type is not None and field.name not in _CHOICES
}
_KINDS: dict[tuple[str, str], type[Any]] = {
    ("task" if name.endswith("Task") else "algorithm", kind.kind): kind
    for name, kind in vars(spec_objects).items()
    if isinstance(getattr(kind, "kind", None), str)
}


@dataclass(frozen=True, kw_only=True)
class Spec(spec_objects.ExperimentSpec):
    """What an experiment is; checked when it is made, and never changed."""

    def __post_init__(self) -> None:
        """Raises SpecError, with everything that is wrong."""
        _ = self.message

    @classmethod
    def load(cls, source: str | Path) -> Self:
        """From a file, or from TOML text; every default is filled in. Raises SpecError."""
        return cls.of(load(source))

    @classmethod
    def of(cls, message: spec_pb2.ExperimentSpec) -> Self:
        """From a message, such as `client.experiment(name).spec`."""
        table = tomllib.loads(to_toml(message))
        parts: dict[str, Any] = {name: _part(name, value) for name, value in table.items()}
        return cls(**parts)

    @property
    def message(self) -> spec_pb2.ExperimentSpec:
        """The complete spec as clients and masters take it."""
        return from_table(_table(self), _SOURCE)

    def with_(self, **settings: object) -> Self:
        """Another spec with some settings changed.

        Args:
            settings: by path, with two underscores for each dot: `algorithm__ga__power=0.01`.

        Raises:
            SpecError: if the other one is wrong.
        """
        changes = {path.replace("__", "."): value for path, value in settings.items()}
        return self.of(with_settings(_table(self), changes, _SOURCE))

    def __str__(self) -> str:
        return to_toml(self.message)


def message_of(spec: Spec | spec_pb2.ExperimentSpec | Path | str) -> spec_pb2.ExperimentSpec:
    """The message of a spec that is an object, a message already, a file's path, or a text.

    Raises:
        SpecError: with everything that is wrong with a file or a text.
    """
    if isinstance(spec, Spec):
        return spec.message
    return spec if isinstance(spec, spec_pb2.ExperimentSpec) else load(spec)


def _part(name: str, value: object) -> object:
    """A field's value from what TOML says of it."""
    if name in _CHOICES and isinstance(value, Mapping):
        ((kind, inner),) = value.items()
        return _KINDS[name, kind](**inner)
    return _PARTS[name](**value) if name in _PARTS and isinstance(value, Mapping) else value


def _table(part: object) -> dict[str, object]:
    """What TOML would say; what is absent is left out."""
    table: dict[str, object] = {}
    for field in fields(part):  # type: ignore[arg-type]
        value = getattr(part, field.name)
        if field.name in _CHOICES:
            table[field.name] = {value.kind: _table(value)}
        elif is_dataclass(value):
            table[field.name] = _table(value)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            table |= {field.name: list(value)} if value else {}
        elif value is not None:
            table[field.name] = value
    return table
