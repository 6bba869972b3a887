"""Writing a spec as TOML and reading it again gives the same message, whatever the spec."""

import math
from collections.abc import Callable

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from germline.spec import Problem, SpecError, complete, loads, to_toml
from germline.spec.fields import (
    descriptor_of,
    enum_words,
    is_map,
    is_required,
    is_table,
    kinds_of,
    setting_of,
    whole_range,
)
from germline.v1 import spec_pb2


def values(field: FieldDescriptor) -> st.SearchStrategy[object]:
    """Any value that the field's own setting allows."""
    if field.enum_type is not None:
        return st.sampled_from(sorted(enum_words(field.enum_type).values()))
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return st.from_regex(setting_of(field).pattern, fullmatch=True).filter(str.isprintable)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    if field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE:
        setting = setting_of(field)
        low = setting.min if setting.HasField("min") else -1e300
        high = setting.max if setting.HasField("max") else 1e300
        return st.floats(low, high, exclude_min=setting.above_min)
    low_whole, high_whole = whole_range(field)
    return st.integers(low_whole, high_whole)


@st.composite
def filled(draw: st.DrawFn, message: Message) -> Message:
    """The message with every field of it, and some of those that may be absent, drawn at random."""
    kinds = kinds_of(descriptor_of(message))
    chosen = draw(st.sampled_from(kinds)) if kinds else None
    for field in descriptor_of(message).fields:
        if field.name in kinds and field.name != chosen:
            continue
        if is_table(field):
            child = getattr(message, field.name)
            child.SetInParent()
            draw(filled(child))
        elif is_map(field):
            texts = st.text(st.characters(exclude_categories=["Cs"]))
            getattr(message, field.name).update(draw(st.dictionaries(texts, texts, max_size=3)))
        elif field.is_repeated:
            getattr(message, field.name).extend(draw(st.lists(values(field), max_size=3)))
        elif is_required(field) or draw(st.booleans()):
            setattr(message, field.name, draw(values(field)))
    return message


@st.composite
def specs(draw: st.DrawFn) -> spec_pb2.ExperimentSpec:
    spec = spec_pb2.ExperimentSpec()
    draw(filled(spec))
    return spec


def outcome(read: Callable[[], spec_pb2.ExperimentSpec]) -> spec_pb2.ExperimentSpec | set[Problem]:
    """The spec that was read, or what was wrong with it."""
    try:
        return read()
    except SpecError as error:
        return set(error.problems)


@settings(max_examples=60, deadline=None)
@given(specs())
def test_any_message_comes_back_from_toml(spec: spec_pb2.ExperimentSpec) -> None:
    """Also one whose fields contradict each other: the file is refused with the same words as the message."""
    completed = outcome(lambda: complete(spec))
    assert outcome(lambda: loads(to_toml(spec))) == completed
    if isinstance(completed, spec_pb2.ExperimentSpec):
        assert loads(to_toml(completed)) == completed


@given(st.floats(min_value=5e-324, max_value=1000, allow_subnormal=True))
def test_a_number_comes_back_to_the_last_bit(value: float) -> None:
    spec = spec_pb2.ExperimentSpec(name="a", stop=spec_pb2.Stop(fitness=value))
    spec.task.gym.id = "CartPole-v1"
    spec.policy.name = "mlp"
    spec.algorithm.ga.SetInParent()
    again = loads(to_toml(spec)).stop.fitness
    assert math.copysign(1, again) == math.copysign(1, value)
    assert again == value
