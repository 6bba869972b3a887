"""Draws the live display of a run as an .svg: what a terminal shows, once so many evaluations are done.

germline run experiments/cartpole.toml &
python tools/live_picture.py runs/cartpole docs/images/live.svg --evaluations 700
"""

from __future__ import annotations

import argparse
import io
import re
import sys
import time
from pathlib import Path

from rich.console import Console

from germline.cli.live import picture
from germline.cli.target import Target
from germline.connection import Security

_WIDTH = 92
_FETCHED = re.compile(r"@font-face \{.*?\}\s*", flags=re.DOTALL)  # a page of ours fetches nothing


def main() -> int:
    """Wait for the run, then draw it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--evaluations", type=int, default=500)
    given = parser.parse_args()
    console = Console(record=True, width=_WIDTH, file=io.StringIO(), force_terminal=True)
    with Target("", given.run, Security()).connect() as client:
        name = client.experiments()[0].name
        while (experiment := client.experiment(name)).evaluations < given.evaluations:
            time.sleep(0.2)
        console.print(picture(experiment, client.workers(), client.history(name)))
    drawn = console.export_svg(title=f"germline run {name}.toml")
    given.picture.write_text(_FETCHED.sub("", drawn), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
