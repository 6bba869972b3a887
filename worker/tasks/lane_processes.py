"""Lanes on all cores: emulators hold the interpreter's lock, so each core gets a process of its own.

For a worker that feeds one GPU. (Without a GPU, one worker process to a core is simpler and as fast.)
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from germline.toml import write_entries
from worker.tasks.base import Actions, LaneIndices, Spaces, Stepped
from worker.tasks.lane_memory import LaneMemory
from worker.tasks.lane_process import BEGIN, COMMAND, FAILED, STEP, LaneSettings


class LaneProcesses:
    """The lanes of a task, shared out to processes. See :class:`worker.tasks.base.Lanes`."""

    def __init__(
        self, task: str, arguments: Mapping[str, object], spaces: Spaces, count: int, processes: int
    ) -> None:
        """Start the processes, and wait until each has built its lanes.

        Args:
            task: the task's name; the processes build it themselves.
            arguments: its arguments.
            spaces: what it shows and wants.
            count: lanes of all processes together.
            processes: how many.
        """
        self.count = count
        self._bounds = np.linspace(0, count, min(processes, count) + 1).astype(np.int64)
        with tempfile.TemporaryFile() as file:
            self._memory = LaneMemory(file.fileno(), count, spaces)
            self._members = [
                _Member(LaneSettings(task, dict(arguments), 0, file.fileno(), count, first, last - first))
                for first, last in zip(self._bounds[:-1].tolist(), self._bounds[1:].tolist(), strict=True)
            ]
        self.observations = self._memory.observations
        self._stepping: list[tuple[_Member, slice]] = []
        for member in self._members:
            member.wait()

    def begin(self, lanes: LaneIndices, seeds: list[int]) -> None:
        """Start an episode on each of the lanes."""
        waited = []
        for member, mine in self._shared_out(lanes):
            order = self._order(member, lanes[mine])
            self._memory.seeds[order] = np.array(seeds, np.uint64)[mine]
            member.command(BEGIN, order)
            waited.append(member)
        for member in waited:
            member.wait()

    def send(self, lanes: LaneIndices, actions: Actions) -> None:
        """Let the processes step these lanes, each its own; `lanes` ascend."""
        for member, mine in self._shared_out(lanes):
            order = self._order(member, lanes[mine])
            self._memory.actions[order] = actions[mine]
            member.command(STEP, order)
            self._stepping.append((member, order))

    def receive(self) -> Stepped:
        """Wait for all of them."""
        orders = []
        for member, order in self._stepping:
            member.wait()
            orders.append(order)
        self._stepping = []
        memory = self._memory
        columns = (memory.rewards, memory.ended, memory.frames)
        return Stepped(*(np.concatenate([column[order] for order in orders]) for column in columns))

    def close(self) -> None:
        """End the processes."""
        for member in self._members:
            member.close()
        self._members = []

    def _shared_out(self, lanes: LaneIndices) -> list[tuple[_Member, slice]]:
        """Which stretch of ascending lanes each process has; those without any are left out."""
        cuts = np.searchsorted(lanes, self._bounds).tolist()
        stretches = [slice(a, b) for a, b in pairwise(cuts)]
        return [(m, s) for m, s in zip(self._members, stretches, strict=True) if s.start < s.stop]

    def _order(self, member: _Member, lanes: LaneIndices) -> slice:
        order = slice(member.first, member.first + len(lanes))
        self._memory.lanes[order] = lanes
        return order


class _Member:
    """One process and the socket to it."""

    def __init__(self, settings: LaneSettings) -> None:
        """Start it. It gets its end of the socket, and nothing else that is open here but the shared file."""
        self.first = settings.first
        self._socket, theirs = socket.socketpair()
        settings = settings._replace(socket=theirs.fileno())
        self._process = subprocess.Popen(  # noqa: S603 - our own module, our own settings
            [sys.executable, "-m", "worker.tasks.lane_process", "\n".join(write_entries(settings._asdict()))],
            pass_fds=(theirs.fileno(), settings.memory),
            start_new_session=True,  # Ctrl-C is for the worker, which ends its lanes in its own time
        )
        theirs.close()

    def command(self, verb: bytes, order: slice) -> None:
        """Send a command about as many lanes as the order has."""
        self._socket.sendall(COMMAND.pack(verb, order.stop - order.start))

    def wait(self) -> None:
        """Wait for the command's end. Raises RuntimeError if the process failed."""
        answer = self._socket.recv(1)
        if not answer:
            raise RuntimeError(f"a lane process ended by itself, with status {self._process.wait()}")
        if answer == FAILED:
            raise RuntimeError(f"a lane process failed: {self._socket.recv(4096).decode()}")

    def close(self) -> None:
        """Let it end."""
        self._socket.close()
        self._process.wait()
