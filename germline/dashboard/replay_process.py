"""`python -m germline.dashboard.replay_process`: plays one episode in a process of its own.

A job comes on standard input, one JSON object; lines of JSON go out: how far it is, and what came of it. What
is played may be anybody's code: it has no token of ours, and whatever it does ends with this process.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path
from typing import Any, TextIO

from germline.cli.errors import CommandError
from germline.cli.replay import replay
from germline.genome import Genome
from germline.spec import SpecError, loads


def main() -> None:
    """Play the job, and say what came of it."""
    told = _own_output()
    job: dict[str, Any] = json.load(sys.stdin)

    def say(**fields: object) -> None:
        told.write(json.dumps(fields) + "\n")
        told.flush()

    try:
        played = replay(
            loads(job["spec"]),
            _policy(job),
            int(job["seed"]),
            Path(job["film"]),
            allow_code=job["allow_code"],
            progress=lambda pictures: say(pictures=pictures),
        )
    except (CommandError, SpecError, ValueError) as error:
        say(failed=str(error))
    else:
        Path(job["steps"]).write_text(json.dumps(played), encoding="utf-8")
        say(done={name: played[name] for name in ("return", "pictures", "shows_input")})


def _policy(job: dict[str, Any]) -> Genome | bytes:
    if job["genome"]:
        return Genome.decode(base64.b64decode(job["genome"]))
    return Path(job["centre"]).read_bytes()


def _own_output() -> TextIO:
    """Standard output for us alone: what games and environments print goes where errors go."""
    ours = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return ours


if __name__ == "__main__":
    main()
