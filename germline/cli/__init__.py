"""The `germline` command: one small file for each group of commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    from germline.cli.app import run

    sys.exit(run(arguments))
