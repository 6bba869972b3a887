"""`python -m germline.dashboard.replay_process`: plays one episode, or looks at a step of one, by itself.

A job comes on standard input, one JSON object; lines of JSON go out: how far it is, and what came of it. What
is played may be anybody's code: it has no token of ours, and whatever it does ends with this process.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from germline.cli.errors import CommandError
from germline.cli.output import Json
from germline.cli.replay import replay
from germline.cli.saliency import saliency
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
        say(done=_looked(job) if "step" in job else _played(job, lambda pictures: say(pictures=pictures)))
    except (CommandError, SpecError, ValueError) as error:
        say(failed=str(error))


def _played(job: dict[str, Any], progress: Callable[[int], None]) -> dict[str, Json]:
    played = replay(
        loads(job["spec"]),
        _policy(job),
        int(job["seed"]),
        Path(job["film"]),
        observations=Path(job["observations"]),
        allow_code=job["allow_code"],
        progress=progress,
    )
    Path(job["steps"]).write_text(json.dumps(played), encoding="utf-8")
    return {name: played[name] for name in ("return", "pictures", "shows_input")}


def _looked(job: dict[str, Any]) -> dict[str, Json]:
    """The saliency of one step; what was chosen then stands in what was written down of the episode."""
    played = json.loads(Path(job["steps"]).read_text(encoding="utf-8"))
    step, actions = job["step"], played["action"]
    if step >= len(actions):
        raise ValueError(f"step is {step + 1}; the episode has {len(actions)}")
    if not isinstance(actions[step], int):
        raise CommandError("there is no saliency: the network does not choose one of finitely many actions")
    spec, seen, allowed = loads(job["spec"]), Path(job["observations"]), job["allow_code"]
    return saliency(spec, _policy(job), seen, step, actions[step], allow_code=allowed)


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
