"""A process that runs some of a worker's lanes: ``python -m worker.tasks.lane_process SETTINGS``.

It knows no torch. Its parent writes an order into the shared memory, sends a command over the socket, and
reads the results when one byte comes back. When the parent's end closes, the process ends.
"""

from __future__ import annotations

import socket
import struct
import sys
import tomllib
from typing import NamedTuple

from worker.plugins import make_task
from worker.tasks.base import EpisodicTask, Lanes
from worker.tasks.lane_memory import LaneMemory

COMMAND = struct.Struct("<cI")
BEGIN, STEP = b"B", b"S"
DONE, FAILED = b".", b"!"


class LaneSettings(NamedTuple):
    """What a lane process is told at its start.

    Attributes:
        task: the task's name.
        arguments: its arguments.
        socket: descriptor of its end of the socket.
        memory: descriptor of the shared file.
        total: lanes of all processes together.
        first: its own first lane.
        mine: how many lanes it runs.
    """

    task: str
    arguments: dict[str, object]
    socket: int
    memory: int
    total: int
    first: int
    mine: int


def main(settings: LaneSettings) -> None:
    """Serve commands until the parent is gone."""
    with socket.socket(fileno=settings.socket) as parent:
        try:
            _serve(parent, settings)
        except Exception as error:
            parent.sendall(FAILED + f"{type(error).__name__}: {error}".encode())
            raise


def _serve(parent: socket.socket, settings: LaneSettings) -> None:
    task = make_task(settings.task, settings.arguments)
    if not isinstance(task, EpisodicTask):
        raise TypeError(f"task {settings.task!r} has no lanes")
    memory = LaneMemory(settings.memory, settings.total, task.spaces)
    lanes = task.make_lanes(settings.mine)
    parent.sendall(DONE)
    while command := parent.recv(COMMAND.size, socket.MSG_WAITALL):
        verb, count = COMMAND.unpack(command)
        _obey(verb, slice(settings.first, settings.first + count), settings.first, memory, lanes)
        parent.sendall(DONE)


def _obey(verb: bytes, order: slice, first: int, memory: LaneMemory, lanes: Lanes) -> None:
    """Begin episodes, or take a step; `order` are the rows that say with which lanes."""
    mine = memory.lanes[order] - first
    if verb == BEGIN:
        lanes.begin(mine, memory.seeds[order].tolist())
    else:
        lanes.send(mine, memory.actions[order])
        memory.rewards[order], memory.ended[order], memory.frames[order] = lanes.receive()
    memory.observations[memory.lanes[order]] = lanes.observations[mine]


if __name__ == "__main__":
    main(LaneSettings(**tomllib.loads(sys.argv[1])))
