"""A spec on its way to builds that may be earlier than this one, as while an upgrade rolls.

A complete spec says every default, so that nobody else's defaults shape a run. But a build that is
earlier than a setting refuses it by its number, and is right: it would play something else. Not so where
a setting's default is the zero of its type (false, 0, nothing): every build reads that from a message
that does not say it. So those are not said, and a setting that is added has such a default, or may be
absent, or concerns masters alone.
"""

from __future__ import annotations

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from germline.spec.fields import default_of, is_table
from germline.v1 import spec_pb2


def for_any_build(spec: spec_pb2.ExperimentSpec) -> spec_pb2.ExperimentSpec:
    """A copy without what an absent setting means anyway, to whoever reads it."""
    said = spec_pb2.ExperimentSpec()
    said.CopyFrom(spec)
    _leave_out(said)
    return said


def for_workers(spec: spec_pb2.ExperimentSpec) -> spec_pb2.ExperimentSpec:
    """The same without what only masters read, which came after the first builds of workers."""
    said = for_any_build(spec)
    algorithm = said.algorithm
    if algorithm.HasField("map_elites"):
        algorithm.map_elites.ClearField("ties")
    if algorithm.HasField("eggroll"):
        algorithm.eggroll.ClearField("reported_episodes")
        if algorithm.eggroll.HasField("novelty"):
            algorithm.eggroll.novelty.ClearField("measured")
    return said


def _leave_out(message: Message) -> None:
    for field, value in message.ListFields():
        if is_table(field) and not field.is_repeated:
            _leave_out(value)
        elif not field.is_repeated and not value and is_zero_by_default(field):
            message.ClearField(field.name)


def is_zero_by_default(field: FieldDescriptor) -> bool:
    """Whether the absent setting means the zero of its type."""
    default = default_of(field)
    return default is not None and not default
