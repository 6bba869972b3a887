"""How people and machines end a sitting of `germline run`: with signals."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from types import FrameType

_STANDARD_ERROR = 2
DRAINING = "draining; once more to kill"


class Ending:
    """Whether somebody wants the end. A second Ctrl-C or SIGTERM does not ask: it raises KeyboardInterrupt.

    A terminal that is gone (SIGHUP) asks too, but not twice; `nohup` keeps it from asking.

    Attributes:
        asked: whether somebody does.
    """

    def __init__(self, *, says_so: bool) -> None:
        """Heed nothing yet; `says_so` writes a line on standard error as soon as the end is asked for."""
        self.asked = False
        self._says_so = says_so
        self._raises = False

    def heed_signals(self) -> None:
        """From now on."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._on_hang_up)

    def ask(self) -> None:
        """Ask for the end without a signal."""
        self.asked = True

    def wait(self, seconds: float) -> bool:
        """Sleep for so long; whether the end is asked for then."""
        time.sleep(seconds)
        return self.asked

    @contextlib.contextmanager
    def raising(self) -> Iterator[None]:
        """Around what may be left out: here whoever wants the end gets it at once, by KeyboardInterrupt."""
        self._raises = True
        try:
            yield
        finally:
            self._raises = False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.asked or self._raises:
            self.asked = True
            raise KeyboardInterrupt
        self.asked = True
        if self._says_so:  # not through a stream, which the signal may have found in the middle of a write
            with contextlib.suppress(OSError):
                os.write(_STANDARD_ERROR, f"germline: {DRAINING}\n".encode())

    def _on_hang_up(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        if self._raises:
            raise KeyboardInterrupt
