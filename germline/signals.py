"""The signals that end a service: told to leave, or left alone by whoever started it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable


def heed(told: Callable[[signal.Signals], None], left_alone: Callable[[], None]) -> None:
    """Call back from the running loop.

    Args:
        told: for SIGTERM and Ctrl-C; a second one may mean that somebody is impatient.
        left_alone: for SIGHUP, which comes when a terminal or a `germline run` is gone and may come again:
            nobody is impatient then. What `nohup` started stays.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told, number)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        loop.add_signal_handler(signal.SIGHUP, left_alone)
