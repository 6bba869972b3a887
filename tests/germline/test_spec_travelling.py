"""What travels of a spec: all that an earlier build could misunderstand, and nothing else new to it."""

from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from germline.spec import complete, loads
from germline.spec.fields import default_of, is_map, is_table
from germline.spec.travelling import for_any_build, is_zero_by_default
from germline.v1 import spec_pb2

PONG = """
name = "one"
[task.atari]
game = "pong"
[policy]
name = "linear"
[evaluation]
lowest_return = 0.0
[algorithm.ga]
"""
FIRST = {
    "share", "task.atari.protocol", "evaluation.episodes", "evaluation.precision", "evaluation.lease_s",
    "evaluation.max_attempts", "evaluation.max_episode_s", "evaluation.starts", "evaluation.cap_schedule",
    "evaluation.verify_share",
}  # fmt: skip
"""Settings of the first builds; tables of algorithms and of tasks are known or not as a whole."""


def settings(table: Descriptor | None, path: str = "") -> Iterator[tuple[str, FieldDescriptor]]:
    assert table is not None
    for field in table.fields:
        if is_table(field):
            yield from settings(field.message_type, f"{path}{field.name}.")
        elif not is_map(field):
            yield path + field.name, field


def test_what_travels_is_complete_again_where_it_arrives() -> None:
    spec = loads(PONG)
    assert complete(for_any_build(spec)) == spec


def test_a_setting_that_means_nothing_new_is_not_said() -> None:
    said = for_any_build(loads(PONG))
    assert not said.task.atari.HasField("stick")
    assert not said.evaluation.HasField("frame_bonus")
    assert said.evaluation.HasField("lowest_return"), "an absent one would mean another thing"
    assert said.evaluation.max_attempts == 3
    assert for_any_build(loads(PONG.replace("[policy]", "stick = true\n[policy]"))).task.atari.stick


def test_every_setting_that_was_added_is_absent_or_zero_by_default() -> None:
    later = {
        name
        for name, field in settings(spec_pb2.ExperimentSpec.DESCRIPTOR)
        if default_of(field) is not None and not is_zero_by_default(field)
    }
    shared = {name for name in later if not name.startswith(("algorithm.", "task.function", "task.gym"))}
    assert shared == FIRST
