"""The `germline` command: one small file for each group of commands."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # a master that goes away is ours to tell, in one line
    from germline.cli.app import run

    for number in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C: what is drawn is put away, the cursor is back
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    sys.exit(run(arguments))
