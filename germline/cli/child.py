"""Runs a service as a child of `germline run`: if that ends, however it ends, the child drains and leaves."""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading


def main() -> None:
    """Become the module named by the first argument, with the rest as its arguments."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # of our parent, not of a terminal: `nohup` is not meant
    parent = os.dup(sys.stdin.fileno())  # not handed on to processes of the service
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), sys.stdin.fileno())
    threading.Thread(target=_hang_up_with, args=(parent,), name="parent", daemon=True).start()
    module = sys.argv.pop(1)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _hang_up_with(parent: int) -> None:
    """The parent holds the other end of this pipe, and says nothing on it for as long as it lives."""
    while os.read(parent, 1):
        pass
    os.kill(os.getpid(), signal.SIGHUP)


if __name__ == "__main__":
    main()
