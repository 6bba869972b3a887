"""What travels of a spec: all that an earlier build could misunderstand, and nothing else new to it."""

from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from germline.spec import complete, loads
from germline.spec.fields import default_of, is_map, is_table
from germline.spec.travelling import for_any_build, for_workers, is_zero_by_default
from germline.v1 import spec_pb2
from master.experiments.settings import ExperimentSettings

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


BEHAVING = """
name = "one"
[task.gym]
id = "CartPole-v1"
[policy]
name = "linear"
[behaviour]
descriptor = "observation"
indices = [0, 1]
low = [-1.0]
high = [1.0]
"""


def test_what_masters_alone_read_is_not_said_to_earlier_workers() -> None:
    novel = "[algorithm.eggroll]\nvalidation_epochs = 1\n[algorithm.eggroll.novelty]\n"
    centres, elites = loads(BEHAVING + novel), loads(BEHAVING + "[algorithm.map_elites]\ngrid = [2, 2]\n")
    assert centres.algorithm.eggroll.novelty.HasField("measured")
    assert elites.algorithm.map_elites.HasField("ties")
    assert not for_workers(centres).algorithm.eggroll.novelty.HasField("measured")
    assert not for_workers(elites).algorithm.map_elites.HasField("ties")


def test_a_stored_spec_that_says_nothing_means_what_it_meant_when_it_was_made() -> None:
    novel = "[algorithm.eggroll]\nvalidation_epochs = 1\n[algorithm.eggroll.novelty]\n"
    centres, elites = loads(BEHAVING + novel), loads(BEHAVING + "[algorithm.map_elites]\ngrid = [2, 2]\n")
    centres.algorithm.eggroll.novelty.ClearField("measured")
    elites.algorithm.map_elites.ClearField("ties")
    kept = [ExperimentSettings.stored(each.SerializeToString()).spec.algorithm for each in (centres, elites)]
    assert kept[0].eggroll.novelty.measured == spec_pb2.CENTRE_MEASURED_OWN_EPOCH
    assert kept[1].map_elites.ties == spec_pb2.TIES_FIRST
