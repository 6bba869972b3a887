"""Between an own run and the messages of evochi."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from germline.algorithms.own_epoch import Part
from germline.algorithms.own_orders import Kind, Order
from germline.peers import evochi_pb2 as pb
from master.errors import InvalidFieldError, UnknownNameError

MOST_BYTES_OF_CLIENT = 4 << 20
"""What a client of gRPC takes in one message unless its channel has the option for more."""


def task_id(worker: str, task: int) -> str:
    """A task's number as its worker sees it: a UUID that belongs to this worker alone."""
    return f"{worker[:24]}{task:012x}"


def task_number(worker: str, given: str) -> int:
    """The number in a task's name.

    Raises:
        InvalidFieldError: it is no UUID.
        UnknownNameError: it is none of this worker's.
    """
    try:
        name = str(uuid.UUID(given))
    except ValueError:
        raise InvalidFieldError(f"task_id is {given[:64]!r}; allowed: the UUID of a task") from None
    if not name.startswith(worker[:24]):
        raise UnknownNameError(f"task {name} not found among those of worker {worker}")
    return int(name[24:], 16)


def write_hello(
    worker: str, token: str, state: bytes | None, population: int, heartbeat_s: int, epochs: int
) -> pb.SubscribeResponse:
    """What a worker starts with."""
    hello = pb.HelloEvent(
        id=worker,
        token=token,
        population_size=population,
        heartbeat_interval=heartbeat_s,
        max_epochs=epochs,
        state=state,
    )
    return pb.SubscribeResponse(type=pb.EVENT_TYPE_HELLO, hello=hello)


def write_order(order: Order, returns: Sequence[float]) -> pb.SubscribeResponse:
    """What a worker is to do; epochs count from 1 here. To optimise, it gets the returns of the epoch."""
    name, epoch = task_id(order.worker, order.task), order.epoch + 1
    if order.kind is Kind.INITIALISE:
        event = pb.InitializeEvent(task_id=name)
        return pb.SubscribeResponse(type=pb.EVENT_TYPE_INITIALIZE, initialize=event)
    if order.kind is Kind.EVALUATE:
        slices = [pb.Slice(start=start, end=end) for start, end in order.slices]
        evaluate = pb.EvaluateEvent(task_id=name, epoch=epoch, slices=slices)
        return pb.SubscribeResponse(type=pb.EVENT_TYPE_EVALUATE, evaluate=evaluate)
    if order.kind is Kind.OPTIMISE:
        optimize = pb.OptimizeEvent(task_id=name, epoch=epoch, rewards=returns)
        return pb.SubscribeResponse(type=pb.EVENT_TYPE_OPTIMIZE, optimize=optimize)
    if order.kind is Kind.SHARE:
        share = pb.ShareStateEvent(task_id=name, epoch=epoch)
        return pb.SubscribeResponse(type=pb.EVENT_TYPE_SHARE_STATE, share_state=share)
    return pb.SubscribeResponse(type=pb.EVENT_TYPE_STOP, stop=pb.StopEvent(task_id=name))


def read_parts(evaluations: Sequence[pb.Evaluation]) -> list[Part]:
    """The rewards of slices. Raises InvalidFieldError unless each has members, and a reward for each."""
    parts = []
    for place, each in enumerate(evaluations):
        members = each.slice.end - each.slice.start
        if not each.rewards or members != len(each.rewards):
            raise InvalidFieldError(
                f"evaluations[{place}] has {len(each.rewards)} rewards for the slice [{each.slice.start}, "
                f"{each.slice.end}); allowed: one for each of its members"
            )
        parts.append(Part(each.slice.start, tuple(each.rewards)))
    return parts


def check_state(state: bytes) -> bytes:
    """A state that can be handed on; clients take an empty one for none. Raises InvalidFieldError."""
    if not state:
        raise InvalidFieldError("state is empty; allowed: the state as bytes")
    return state
