"""A process that runs some of a worker's lanes: ``python -m worker.tasks.lane_process SETTINGS``.

It knows no torch. Its parent writes an order into the shared memory, sends a command over the socket, and
reads the results when an answer comes back: one byte, and a text where the task raised something. When the
parent's end closes, the process ends.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import tomllib
from typing import NamedTuple

from worker.plugins import described, make_task
from worker.tasks.base import RAISED, EpisodicTask, Lanes, expect_behaving
from worker.tasks.lane_memory import LaneMemory

COMMAND = struct.Struct("<cI")
BEGIN, STEP = b"B", b"S"
ANSWER = struct.Struct("<cI")  # what became of the command, and the size of the text behind it
DONE, RAISED_SOME, FAILED = b".", b"?", b"!"  # the text: none, a JSON object (place: reason), a reason


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
        dimensions: how many numbers say what a lane's episode did; 0: nobody asks.
    """

    task: str
    arguments: dict[str, object]
    socket: int
    memory: int
    total: int
    first: int
    mine: int
    dimensions: int = 0


def main(settings: LaneSettings) -> None:
    """Serve commands until the parent is gone."""
    with socket.socket(fileno=settings.socket) as parent:
        try:
            _serve(parent, settings)
        except RAISED as error:
            _answer(parent, FAILED, described(error))
            raise


def _serve(parent: socket.socket, settings: LaneSettings) -> None:
    task = make_task(settings.task, settings.arguments)
    if not isinstance(task, EpisodicTask):
        raise TypeError(f"task {settings.task!r} has no lanes")
    memory = LaneMemory(settings.memory, settings.total, task.spaces, settings.dimensions)
    lanes = task.make_lanes(settings.mine)
    _answer(parent, DONE)
    while command := parent.recv(COMMAND.size, socket.MSG_WAITALL):
        verb, count = COMMAND.unpack(command)
        order = slice(settings.first, settings.first + count)
        try:
            failures = _obey(verb, order, settings.first, memory, lanes)
            if verb == STEP and settings.dimensions:
                failures = _behaviour(order, settings.first, memory, lanes) | failures
        except RAISED as error:
            _answer(parent, FAILED, described(error))
        else:
            _answer(parent, RAISED_SOME if failures else DONE, json.dumps(failures) if failures else "")


def _answer(parent: socket.socket, code: bytes, text: str = "") -> None:
    encoded = text.encode()
    parent.sendall(ANSWER.pack(code, len(encoded)) + encoded)


def _obey(verb: bytes, order: slice, first: int, memory: LaneMemory, lanes: Lanes) -> dict[int, str]:
    """Begin episodes, or take a step; `order` are the rows that say with which lanes. What lanes raised."""
    mine = memory.lanes[order] - first
    failures: dict[int, str] = {}
    if verb == BEGIN:
        lanes.begin(mine, memory.seeds[order].tolist())
    else:
        lanes.send(mine, memory.actions[order])
        stepped = lanes.receive()
        memory.rewards[order], memory.ended[order], memory.frames[order] = stepped[:3]
        failures = dict(stepped.failures)
    memory.observations[memory.lanes[order]] = lanes.observations[mine]
    return failures


def _behaviour(order: slice, first: int, memory: LaneMemory, lanes: Lanes) -> dict[int, str]:
    """Write down what the episodes of the lanes that took a step did so far. What lanes raised."""
    failures: dict[int, str] = {}
    for place, lane in enumerate(memory.lanes[order].tolist()):
        try:
            memory.behaviour[lane] = expect_behaving(lanes).behaviour(lane - first)
        except RAISED as error:
            failures[place] = described(error)
    return failures


if __name__ == "__main__":
    main(LaneSettings(**tomllib.loads(sys.argv[1])))
