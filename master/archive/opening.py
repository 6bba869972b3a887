"""Where a master keeps its archive: what its settings mean."""

from __future__ import annotations

import logging

from germline import destinations
from germline.destinations import Destination, Folder
from master.archive.writer import ArchiveWriter
from master.config import MasterConfig
from master.journal.journal import Journal

logger = logging.getLogger(__name__)

NONE = "none"
FOLDER = "archive"
"""In the folder of the master's own store, where no setting says otherwise."""


NO_ARCHIVE = (
    "this master keeps no archive of evaluations; to keep one, start it with --archive FOLDER or --archive "
    "s3://BUCKET/PREFIX (GERMLINE_ARCHIVE)"
)


class ArchiveError(Exception):
    """An archive cannot be kept as the settings want it."""


def open_archive(config: MasterConfig, journal: Journal) -> ArchiveWriter | None:
    """What writes the archive behind a journal; None where the settings want none.

    Raises:
        ArchiveError: the settings name a place that cannot be one.
    """
    destination = _destination(config)
    if destination is None:
        return None
    ownership = journal.ownership
    archive = ArchiveWriter(
        destination,
        journal.when_durable,
        max_bytes=config.archive_bytes,
        may_write=lambda: ownership.is_held,
    )
    journal.snapshots.when_archived = archive.when_stored
    return archive


def _destination(config: MasterConfig) -> Destination | None:
    if config.archive == NONE:
        return None
    if config.archive:
        try:
            return destinations.destination(config.archive)
        except ValueError as error:
            raise ArchiveError(f"archive is {error}, or {NONE}") from None
        except ModuleNotFoundError as error:
            raise ArchiveError(
                f"archive is {config.archive!r}, which needs {error.name}: pip install 'germline[aws]'"
            ) from None
    if config.store:
        logger.warning("%s: the dashboard shows no lineage and no behaviour without", NO_ARCHIVE)
        return None
    return Folder(config.store_folder / FOLDER)
