"""What keeps workers from being faster, in one sentence."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

STAGES = ("fill", "infer", "emulate", "report", "update")
"""What a worker's time goes into, in the order in which shares of it stand."""

_IDLE = 0.7  # workers that play less wait for something
_WAITING = "workers play {busy:.0%} of the time and wait for work in the rest: {why}"
_TAKES = {
    "fill": "building networks takes {share:.0%} of the workers' time: more episodes to an evaluation, or a "
    "larger --cache-mib, spread it",
    "infer": "the networks take {share:.0%} of the workers' time: a lower precision, a smaller policy or an "
    "accelerator shortens it",
    "emulate": "playing the task takes {share:.0%} of the workers' time: more cores, or more workers, help",
    "report": "adding up scores takes {share:.0%} of the workers' time: the evaluations are very short",
    "update": "moving the centre takes {share:.0%} of the workers' time: more pairs to an epoch spread it",
}


def shares(seconds: Sequence[float]) -> tuple[float, ...]:
    """Seconds by stage as shares that add up to 1; none where nothing was played, or a number is none.

    Args:
        seconds: one for each of STAGES.
    """
    whole = sum(seconds)
    if len(seconds) != len(STAGES) or not 0 < whole < math.inf or min(seconds) < 0:
        return ()
    return tuple(each / whole for each in seconds)


def weighted(workers: Iterable[tuple[Sequence[float], float]]) -> tuple[float, ...]:
    """Shares of several workers together; of those that say nothing, nothing.

    Args:
        workers: (shares by stage, or none; weight, 0 or more) of each.
    """
    told = [(found, weight) for found, weight in workers if len(found) == len(STAGES) and weight > 0]
    whole = sum(weight for _, weight in told)
    if not whole:
        return ()
    return tuple(sum(found[at] * weight for found, weight in told) / whole for at in range(len(STAGES)))


def sentence(workers: Iterable[tuple[Sequence[float], float, int]], *, wanted: int | None = None) -> str:
    """What the bottleneck is; "" where nobody says anything of it.

    Args:
        workers: (shares by stage, busy share in 0..1, slots) of each.
        wanted: how many workers there is work for, if that is known.
    """
    known = list(workers)
    slots = sum(count for _, _, count in known)
    if not slots:
        return ""
    busy = sum(share * count for _, share, count in known) / slots
    found = weighted((stages, share * count) for stages, share, count in known)
    if busy < _IDLE and found:
        why = "there are more of them than work" if wanted is not None and wanted < len(known) else _SLOW
        return _WAITING.format(busy=busy, why=why)
    return in_words(found)


_SLOW = (
    "the master, its store or the network between lends it too slowly, or an epoch waits for its last pairs"
)


def in_words(found: Sequence[float]) -> str:
    """The stage that takes most, and what would make it shorter; "" without shares."""
    if len(found) != len(STAGES):
        return ""
    name = max(STAGES, key=lambda stage: found[STAGES.index(stage)])
    return _TAKES[name].format(share=found[STAGES.index(name)])
