"""What all searches came to, as a table: for each task, who is ahead of whom, and by how much."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from germline.bench.learning.contest import Run
from germline.bench.learning.ours import OURS
from germline.statistics import Interval, bootstrap_interval


class Row(NamedTuple):
    """A contestant on a task, over seeds.

    Attributes:
        task: what was learnt.
        contestant: who learnt.
        seeds: how many searches.
        score: interquartile mean of their scores, with its bootstrap interval; no bounds (NaN) for one seed.
        cpu_s: median processor time of a search.
        wall_s: median time of a search.
    """

    task: str
    contestant: str
    seeds: int
    score: Interval
    cpu_s: float
    wall_s: float


def rows(runs: Sequence[Run]) -> list[Row]:
    """One for each task and contestant, the best of a task first."""
    names = sorted(runs, key=lambda run: (run.task, run.contestant))
    found = [_row(list(group)) for _, group in groupby(names, lambda run: (run.task, run.contestant))]
    return sorted(found, key=lambda row: (row.task, -row.score.estimate))


def _row(runs: Sequence[Run]) -> Row:
    score = bootstrap_interval([run.score for run in runs])
    return Row(
        runs[0].task,
        runs[0].contestant,
        len(runs),
        score if len(runs) > 1 else Interval(score.estimate, math.nan, math.nan),
        statistics.median(run.cpu_s for run in runs),
        statistics.median(run.wall_s for run in runs),
    )


def behind(found: Sequence[Row]) -> list[str]:
    """The tasks on which the best of ours is worse than the best peer by more than the intervals."""
    late = []
    for task, group in groupby(found, lambda row: row.task):
        both = list(group)
        ours = [row.score for row in both if row.contestant in OURS]
        peers = [row.score for row in both if row.contestant not in OURS]
        if ours and peers and max(ours).high < max(peers).low:
            late.append(task)
    return late


def table(found: Sequence[Row]) -> str:
    """All rows in Markdown."""
    lines = [
        "| task | contestant | seeds | IQM | 95 % interval | CPU s | wall s |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in found:
        name = f"**{row.contestant}**" if row.contestant in OURS else row.contestant
        iqm, low, high = row.score
        bounds = f"{low:.1f} to {high:.1f}" if row.seeds > 1 else "-"
        times = f"{row.cpu_s:.1f} | {row.wall_s:.1f}"
        lines.append(f"| {row.task} | {name} | {row.seeds} | {iqm:.1f} | {bounds} | {times} |")
    return "\n".join(lines)
