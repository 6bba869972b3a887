"""Lanes on all cores: emulators hold the interpreter's lock, so each core gets a process of its own.

For a worker that feeds one GPU. (Without a GPU, one worker process to a core is simpler and as fast.)
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from germline.toml import write_entries
from worker.tasks.base import Actions, LaneIndices, LanesBrokenError, Spaces, Stepped
from worker.tasks.lane_memory import LaneMemory
from worker.tasks.lane_process import ANSWER, BEGIN, COMMAND, FAILED, STEP, LaneSettings

_LAST_STEP_S = 5.0  # longest wait for a process that is to end


class LaneProcesses:
    """The lanes of a task, shared out to processes. See :class:`worker.tasks.base.Lanes`."""

    def __init__(
        self,
        task: str,
        arguments: Mapping[str, object],
        spaces: Spaces,
        count: int,
        processes: int,
        *,
        dimensions: int = 0,
    ) -> None:
        """Start the processes, and wait until each has built its lanes.

        Args:
            task: the task's name; the processes build it themselves.
            arguments: its arguments.
            spaces: what it shows and wants.
            count: lanes of all processes together.
            processes: how many.
            dimensions: how many numbers say what a lane's episode did; 0: nobody asks.
        """
        self.count = count
        self._bounds = np.linspace(0, count, min(processes, count) + 1).astype(np.int64)
        with tempfile.TemporaryFile() as file:
            self._memory = LaneMemory(file.fileno(), count, spaces, dimensions)
            self._members = [
                _Member(
                    LaneSettings(
                        task, dict(arguments), 0, file.fileno(), count, first, last - first, dimensions
                    )
                )
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
        orders: list[slice] = []
        failures: dict[int, str] = {}
        place = 0
        for member, order in self._stepping:
            failures |= {place + mine: reason for mine, reason in member.wait().items()}
            place += order.stop - order.start
            orders.append(order)
        self._stepping = []
        memory = self._memory
        rewards, ended, frames = (
            np.concatenate([column[order] for order in orders])
            for column in (memory.rewards, memory.ended, memory.frames)
        )
        return Stepped(rewards, ended, frames, failures)

    def behaviour(self, lane: int) -> npt.NDArray[np.float64]:
        """What the lane's episode did by its last step, as its process wrote it down."""
        written: npt.NDArray[np.float64] = self._memory.behaviour[lane].copy()
        return written

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
        """Send a command about as many lanes as the order has. Raises LanesBrokenError if it cannot hear."""
        try:
            self._socket.sendall(COMMAND.pack(verb, order.stop - order.start))
        except OSError as error:
            raise LanesBrokenError(f"a lane process hears no more: {error}") from error

    def wait(self) -> dict[int, str]:
        """Wait for the command's end; what single lanes raised, by their place in it.

        Raises:
            RuntimeError: if the task raised something, and it is not known for which lane.
            LanesBrokenError: if the process is gone.
        """
        answer = self._socket.recv(ANSWER.size, socket.MSG_WAITALL)
        if not answer:
            raise LanesBrokenError(f"a lane process ended by itself, with status {self._process.wait()}")
        code, size = ANSWER.unpack(answer)
        text = self._socket.recv(size, socket.MSG_WAITALL).decode() if size else ""
        if code == FAILED:
            raise RuntimeError(f"a lane process failed: {text}")
        return {int(place): reason for place, reason in json.loads(text).items()} if text else {}

    def close(self) -> None:
        """Let it end, or end it if it hangs."""
        self._socket.close()
        try:
            self._process.wait(_LAST_STEP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
