"""What own workers and evochi's say is read, or refused with a sentence for all that cannot be."""

from collections.abc import Callable

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from germline.algorithms.own import OwnRun
from germline.algorithms.own_epoch import Part
from germline.limits import PART_BYTES
from germline.peers import evochi_pb2
from germline.v1 import own_pb2
from master.errors import InvalidFieldError, MasterError
from master.gateways.evochi import messages as evochi
from master.wire import own_messages as own


def reader_after(state: bytes) -> bytes | None:
    reader, whole = own.StateReader(), None
    for part in own.write_state(state, task=3):
        assert whole is None
        whole = reader.take(part)
    return whole


@pytest.mark.parametrize("size", [1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES + 5])
def test_a_state_of_any_size_comes_back_whole(size: int) -> None:
    state = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert reader_after(state) == state


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.binary(max_size=3)), max_size=8))
def test_parts_in_any_disorder_are_a_whole_state_or_an_error_with_a_sentence(
    parts: list[tuple[int, int, bytes]],
) -> None:
    reader = own.StateReader()
    for part, of, data in parts:
        whole, refusal = None, "allowed: "
        try:
            whole = reader.take(own_pb2.OwnStatePart(part=part, parts=of, data=data))
        except InvalidFieldError as error:
            refusal = str(error)
        else:
            assert (whole is not None) == (part + 1 == of)
        assert "allowed: " in refusal
        assert whole != b""


@given(st.binary(max_size=60))
def test_bytes_of_anybody_are_an_answer_or_an_error_that_changes_nothing(data: bytes) -> None:
    run = OwnRun(5)
    run.join("w", 3)
    run.initialise("w", run.take_orders()[-1].task)
    run.stored()
    before = run.snapshot()
    task = run.take_orders()[-1].task
    try:
        told = own_pb2.OwnTold.FromString(data)
        request = evochi_pb2.FinishEvaluationRequest.FromString(data)
    except DecodeError:
        return
    readers: tuple[Callable[[], list[Part]], ...] = (
        lambda: own.read_parts(told), lambda: evochi.read_parts(request.evaluations),
    )  # fmt: skip
    for read in readers:
        refusal = ""
        try:
            run.tell("w", task, read())
        except (MasterError, ValueError) as error:
            refusal = str(error)
        assert not refusal or ("allowed: " in refusal and run.snapshot() == before)


@given(st.text(max_size=40))
def test_a_task_of_any_name_is_a_number_or_an_error(name: str) -> None:
    worker = "12345678-1234-4123-8123-123456789abc"
    assert evochi.task_number(worker, evochi.task_id(worker, 2**40)) == 2**40
    with pytest.raises(MasterError):
        evochi.task_number(worker, name)
    assert evochi.task_number(worker, worker[:24] + "1234-56789abc") == 0x123456789ABC
