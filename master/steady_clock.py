"""Time in which this master was awake."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

LONGEST_GAP_S = 2.0  # the master looks at its clock every second; a longer gap is a pause


class SteadyClock:
    """Seconds on a monotonic clock, but for pauses of this process.

    A master that stood still (a stopped process, a paused machine, a slow disk) has heard nobody meanwhile,
    and what its workers said waits in the network's buffers. So a pause is no time in which a worker was
    silent, a lease ran or an experiment was running: it is left out.
    """

    def __init__(self, read: Callable[[], float] = monotonic) -> None:
        """Count from now on; `read` is the clock behind this one."""
        self._read = read
        self._last = read()
        self._paused_s = 0.0

    def __call__(self) -> float:
        """The time now; two readings that are further apart than a second or two have a pause in between."""
        now = self._read()
        if now - self._last > LONGEST_GAP_S:
            self._paused_s += now - self._last
        self._last = now
        return now - self._paused_s
