"""``python -m germline.bench.chaos``: reads the command line, lets it happen, and prints a table."""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
from pathlib import Path

from germline.bench.chaos.run import Chaos, measure, say
from germline.bench.chaos.torment import Scale


def table(came: Chaos) -> str:
    """What came of it, for people."""
    rows = [("seed", f"{came.seed}"), ("minutes of faults", f"{came.minutes:g}"), ("network", came.network)]
    rows += [("faults", f"{came.faults.total():,}")]
    rows += [(f"- {kind}", f"{count:,}") for kind, count in sorted(came.faults.items())]
    rows += [("messages said twice, beside", f"{came.repeats:,}")]
    if came.takeovers_s:
        median, longest = statistics.median(came.takeovers_s), max(came.takeovers_s)
        rows += [
            (
                "takeovers from masters that were killed, stopped or cut off",
                f"{len(came.takeovers_s)}, median {median:.1f} s, longest {longest:.1f} s",
            )
        ]
    found = came.found
    rows += [
        ("evaluations that the masters have", f"{came.evaluations:,}"),
        ("acknowledged pieces of work", f"{found.acknowledged:,}"),
        ("- lost, doubled, altered", f"{found.lost}, {found.doubled}, {found.altered}"),
        ("- answered as told before", f"{found.repeated:,}"),
        ("- checks by other workers, that agree", f"{found.checks:,}"),
        ("set aside, discarded, gaps in the journal", f"{came.set_aside}, {came.discarded}, {came.gaps}"),
        ("the masters' books are the journal's", _yes(came.books_agree)),
        ("epochs; the centre is that of peace", f"{came.epochs:,}; {_yes(came.same_centre)}"),
        ("longest time without an acknowledgement", f"{came.longest_quiet_s:.1f} s"),
        ("masters that a supervisor had to start again", f"{len(came.fallen)}"),
        ("workers that did not come back", ", ".join(came.missing) or "none"),
    ]
    lines = [f"| {name} | {value} |" for name, value in rows]
    troubles = [f"TROUBLE: {text}" for text in (*came.troubles, *found.troubles)]
    troubles += [f"a master ended: {text}" for text in came.fallen]
    return "\n".join(["| what | came of it |", "|---|---|", *lines, *troubles])


def _yes(answer: bool) -> str:
    return "yes" if answer else "NO"


def main() -> None:
    """Ends with status 1 if something is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0, help="for which things go wrong")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--network-a-second", type=float, default=Scale(20.0).network_a_second)
    parser.add_argument("--longest-stop-s", type=float, default=60.0, help="of a stopped process")
    parser.add_argument("--folder", type=Path, default=None, help="keep all logs and journals there")
    given = parser.parse_args()
    say(f"seed {given.seed}")
    scale = Scale(
        minutes=given.minutes,
        workers=given.workers,
        network_a_second=given.network_a_second,
        longest_stop_s=given.longest_stop_s,
    )
    if given.folder is not None:
        given.folder.mkdir(parents=True)
    came = asyncio.run(measure(scale, given.seed, given.folder))
    print(table(came))  # noqa: T201 - the figures
    sys.exit(not came.is_good)


if __name__ == "__main__":
    main()
