"""Between an own run and the messages of germline.v1.OwnService."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from germline.algorithms.own_epoch import Part
from germline.algorithms.own_orders import Kind, Order
from germline.limits import MAX_PARTS, MAX_SLOTS, PART_BYTES
from germline.v1 import own_pb2 as pb
from master.errors import InvalidFieldError, StreamOrderError

_WORKER_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class OwnHello(NamedTuple):
    """Who a worker is, for which experiment, and how many members it takes at a time."""

    experiment: str
    worker: str
    room: int


def read_hello(message: object) -> OwnHello:
    """A stream's first message.

    Raises:
        StreamOrderError: it is another one.
        InvalidFieldError: a field is not allowed.
    """
    if not isinstance(message, pb.OwnWorkerMessage) or message.WhichOneof("kind") != "hello":
        raise StreamOrderError("the first message of a stream must be hello")
    hello = message.hello
    if not _WORKER_ID.fullmatch(hello.worker_id):
        raise InvalidFieldError(
            f"hello.worker_id is {hello.worker_id[:80]!r}; allowed: 1 to 64 letters, digits, '.', '_' or '-'"
        )
    if not 1 <= hello.room <= MAX_SLOTS:
        raise InvalidFieldError(f"hello.room is {hello.room}; allowed: 1 to {MAX_SLOTS:,}")
    return OwnHello(hello.experiment, hello.worker_id, hello.room)


def read_parts(told: pb.OwnTold) -> list[Part]:
    """The returns of consecutive members."""
    return [Part(each.start, tuple(each.returns)) for each in told.parts]


class StateReader:
    """Puts the parts of a state together."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def take(self, part: pb.OwnStatePart) -> bytes | None:
        """The whole state, with its last part. Raises InvalidFieldError for parts that are none of one."""
        if part.part == 0:
            self._parts = []
        held = len(self._parts)
        if not part.part == held < part.parts <= MAX_PARTS or len(part.data) > PART_BYTES:
            raise InvalidFieldError(
                f"state.part is {part.part} of {part.parts} with {len(part.data):,} bytes, after {held}; "
                f"allowed: the parts in order, 1 to {MAX_PARTS:,} of {PART_BYTES:,} bytes at most"
            )
        self._parts.append(part.data)
        if part.part + 1 < part.parts:
            return None
        whole, self._parts = b"".join(self._parts), []
        if not whole:
            raise InvalidFieldError("state is empty; allowed: 1 byte or more")
        return whole


def write_state(state: bytes, task: int = 0) -> Iterator[pb.OwnStatePart]:
    """A state in parts."""
    parts = -(-len(state) // PART_BYTES)
    for part in range(parts):
        data = state[part * PART_BYTES : (part + 1) * PART_BYTES]
        yield pb.OwnStatePart(task=task, part=part, parts=parts, data=data)


def write_welcome(epoch: int, state: bytes | None, population: int) -> Iterator[pb.OwnMasterMessage]:
    """The state to begin with, if there is one, and that the worker is part of the experiment."""
    for part in write_state(state or b""):
        yield pb.OwnMasterMessage(state=part)
    welcome = pb.OwnWelcome(has_state=state is not None, epoch=max(epoch, 0), population=population)
    yield pb.OwnMasterMessage(welcome=welcome)


def write_order(order: Order, returns: Sequence[float], reason: str) -> pb.OwnMasterMessage:
    """What a worker is to do; `returns` are those of the epoch, to optimise, `reason` is of a stop."""
    task, epoch = order.task, order.epoch
    if order.kind is Kind.INITIALISE:
        return pb.OwnMasterMessage(initialise=pb.OwnInitialise(task=task))
    if order.kind is Kind.EVALUATE:
        slices = [pb.OwnSlice(start=start, end=end) for start, end in order.slices]
        return pb.OwnMasterMessage(evaluate=pb.OwnEvaluate(task=task, epoch=epoch, slices=slices))
    if order.kind is Kind.OPTIMISE:
        return pb.OwnMasterMessage(optimise=pb.OwnOptimise(task=task, epoch=epoch, returns=returns))
    if order.kind is Kind.SHARE:
        return pb.OwnMasterMessage(share=pb.OwnShare(task=task, epoch=epoch))
    return pb.OwnMasterMessage(stop=pb.OwnStop(reason=reason))
