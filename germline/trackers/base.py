"""What a tracker is: told rows, each under its number of evaluations, and shown champions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


class TrackerError(Exception):
    """A tracker cannot be used as it was asked to; the text is a sentence for people."""


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """The one run that a tracker keeps of an experiment.

    Attributes:
        id: 1 to 64 letters, digits and '-'; the same for the same experiment wherever it is read.
        name: of the experiment.
        config: its settings, flat, with dots: `{"algorithm.ga.window": 1000, ...}`.
        tags: what plays it, in words.
        folder: where the tracker may keep files of its own; it exists.
    """

    id: str
    name: str
    config: Mapping[str, str | int | float | bool]
    tags: Mapping[str, str]
    folder: Path


@dataclass(frozen=True, slots=True)
class Row:
    """One step of a run.

    Attributes:
        evaluations: the step; no two rows of a run have the same.
        time_s: when it was, in seconds since 1970: the experiment's creation and the time that it has run
            since, so that whoever reads a row twice finds it at the same moment.
        values: finite numbers by name.
    """

    evaluations: int
    time_s: float
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Champion:
    """An experiment's best, to look at.

    Attributes:
        id: 16 hexadecimal digits; the digest of a genome, or of an evolution strategy's centre.
        evaluations: about when it was found.
        about: its policy card, or a sentence where there is none.
        files: its card and its film, as far as they could be had.
    """

    id: str
    evaluations: int
    about: str
    files: Sequence[Path] = field(default=())

    @property
    def film(self) -> Path | None:
        """An .mp4 of an episode, if there is one."""
        return next((file for file in self.files if file.suffix == ".mp4"), None)


class Tracker(Protocol):
    """Keeps one run. Whatever it raises is taken for an outage: it is asked again later, with the same rows.

    Made by `Class(run)` with a :class:`TrackedRun`.
    """

    def resume(self, after: int) -> int:
        """Begin, or go on behind so many evaluations.

        Args:
            after: the last row that :meth:`log` has taken; 0 for none. Of those behind it, some may have been
                taken, too, by a process that died meanwhile.

        Returns:
            Behind which evaluations rows are wanted: `after`, or fewer if some were lost, or more if it
            holds more and cannot take the same row twice.
        """
        ...

    def show(self, champion: Champion) -> None:
        """Keep a champion's files; before the rows that were read with it. May be called again."""
        ...

    def log(self, rows: Sequence[Row]) -> None:
        """Keep rows, in their order. None is told twice after a :meth:`resume`."""
        ...

    def close(self, *, is_over: bool) -> None:
        """End, when the experiment is over or the process leaves."""
        ...
