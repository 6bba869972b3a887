"""The archive that a run left in its folder, for commands that look while no master is up."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from germline.archive import bands as archive_bands
from germline.archive import family as archive_family
from germline.archive.family import BrokenLineError, Family
from germline.archive.files import ArchiveFiles, MovedError, archives_in
from germline.archive.part import PartError
from germline.archive.record import MEMBER
from germline.archive.view import ColumnCache, View
from germline.cli.errors import CommandError, Exit
from germline.client import Bands, Evaluations, Life
from germline.client.archive import Axis
from germline.destinations import DestinationError, Folder
from germline.genome import Genome, format_id

FOLDER = "archive"
"""In the folder of a master's own store."""


def files_of(store: Path, experiment: str) -> ArchiveFiles:
    """The archive of an experiment; the newest, where there was an earlier one of this name.

    Raises:
        CommandError: there is none, or it cannot be read.
    """
    folder = store / FOLDER
    try:
        found = [
            (about.created, name) for about, name in archives_in(folder) if about.experiment == experiment
        ]
        if not found:
            raise CommandError(f"{folder} holds no archive of {experiment!r}", Exit.REFUSED)
        files = ArchiveFiles(Folder(folder), max(found)[1])
        files.open()
    except DestinationError as error:
        raise CommandError(str(error)) from None
    return files


_KEPT = ColumnCache()


def bands_of(
    files: ArchiveFiles, axis: Axis, low: float | None, high: float | None, points: int | None
) -> Bands:
    """Quantile bands of what is in these files by now. Raises CommandError."""
    try:
        files.open()
        found = archive_bands.bands(
            View.of_files(files, _KEPT),
            "running" if axis == "seconds" else axis,
            0.0 if low is None else low,
            math.inf if high is None else high,
            points or archive_bands.MOST_POINTS,
        )
    except (DestinationError, MovedError, PartError) as error:
        raise CommandError(f"the archive cannot be read: {error}") from None
    return Bands.of_arrays(found)


def parts_of(store: Path, experiment: str) -> Iterator[bytes]:
    """All records of an experiment, as parts of an archive. Raises CommandError."""
    files = files_of(store, experiment)
    try:
        for part in files.parts:
            yield files.read(part)
    except DestinationError as error:
        raise CommandError(str(error)) from None


def life_of(store: Path, experiment: str, individual: int) -> Life:
    """An individual of any time. Raises CommandError if the archive does not hold it."""
    family = Family(View.of_files(files_of(store, experiment), ColumnCache()))
    try:
        found = family.life(individual)
        genome, no_genome = _genome_of(family, individual, found)
    except (DestinationError, PartError) as error:
        raise CommandError(f"the archive cannot be read: {error}") from None
    if found is None:
        raise CommandError(f"{format_id(individual)}: the archive has no evaluation of it", Exit.REFUSED)
    return Life(
        genome, no_genome, Evaluations.of_records(found.numbers, found.scores), found.evaluations,
        Evaluations.of_records(found.child_numbers, found.children), found.children_in_all, found.best_child,
    )  # fmt: skip


def _genome_of(
    family: Family, individual: int, found: archive_family.Life | None
) -> tuple[Genome | None, str]:
    """An individual's genome, or why there is none."""
    if found is not None and int(found.scores["flags"][0]) & MEMBER:
        return None, "it is a member of an epoch, which has no genome"
    try:
        return family.genome(individual), ""
    except BrokenLineError as error:
        return None, str(error)
