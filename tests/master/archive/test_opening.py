"""Where an archive is kept follows from a master's settings; without one, its log says what to set."""

import logging
from pathlib import Path
from typing import cast

import pytest

from master.archive.opening import ArchiveError, open_archive
from master.config import MasterConfig
from master.journal.journal import Journal

NEVER_ASKED = cast(Journal, None)


def test_a_master_with_a_store_at_a_url_and_no_archive_says_which_setting_is_missing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        assert open_archive(MasterConfig(store="redis://somewhere:6379/0"), NEVER_ASKED) is None
    (said,) = caplog.messages
    assert "--archive FOLDER or --archive s3://BUCKET/PREFIX (GERMLINE_ARCHIVE)" in said
    assert "the dashboard shows no lineage" in said


def test_who_wants_no_archive_is_told_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert open_archive(MasterConfig(archive="none"), NEVER_ASKED) is None
    assert caplog.messages == []


@pytest.mark.parametrize("place", ["s3://BUCKET/PREFIX", "gs://bucket"])
def test_a_place_that_cannot_be_one_is_refused_with_what_is_allowed(place: str, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"allowed: a folder, or s3://BUCKET/PREFIX, or none"):
        open_archive(MasterConfig(archive=place, store_folder=tmp_path), NEVER_ASKED)
