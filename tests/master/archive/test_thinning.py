"""An archive that may not grow keeps who has children, who was best, and every other one of the rest."""

from pathlib import Path

import numpy as np
import pytest

from germline.archive import part as layout
from germline.archive.files import ArchiveFiles
from germline.archive.part import read_records
from germline.archive.record import FOUNDER, RECORD, Records
from germline.destinations import Folder
from master.archive.thinning import MOST_LEVELS, chosen, thin


def family(n: int) -> Records:
    """Everybody descends from one of the last 50; a tenth breeds."""
    random = np.random.default_rng(3)
    records = np.zeros(n, RECORD)
    records["individual"] = random.permutation(n) + 1
    back = random.integers(1, 50, n)
    parent_rows = np.maximum(np.arange(n) - back, 0) // 10 * 10
    records["parent"][1:] = records["individual"][parent_rows[1:]]
    records["flags"][0] = FOUNDER
    records["fitness"] = random.normal(size=n)
    return records


def archive(folder: Path, rows: int, monkeypatch: pytest.MonkeyPatch) -> ArchiveFiles:
    monkeypatch.setattr(layout, "ROWS", 4_096)
    files, records = ArchiveFiles(Folder(folder), "one"), family(rows)
    for first in range(0, rows, 4_096):
        end = min(first + 4_096, rows)
        files.write(first, end, np.arange(first, end), records[first:end])
    return files


def test_whoever_has_children_or_was_best_stays_and_half_of_the_others_goes() -> None:
    records = family(4_096)
    parents = np.unique(records["parent"])
    kept = chosen(np.arange(4_096), records, parents)
    must = np.isin(records["individual"], parents)
    assert kept[must].all()
    for first in range(0, 4_096, 1_024):
        assert kept[first + records["fitness"][first : first + 1_024].argmax()]
    others = 4_096 - np.count_nonzero(must)
    assert abs(np.count_nonzero(kept[~must]) - others / 2) <= 4


def test_the_oldest_are_thinned_first_and_every_line_can_still_be_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = archive(tmp_path, 10 * 4_096 + 100, monkeypatch)
    size = sum(part.size for part in files.parts)
    thin(files, int(size * 0.8))
    assert sum(part.size for part in files.parts) <= size * 0.8
    levels = [part.level for part in files.parts]
    assert levels == sorted(levels, reverse=True)
    assert levels[-2:] == [0, 0]
    again = ArchiveFiles(Folder(tmp_path), "one")
    again.open()
    assert again.parts == files.parts
    records = np.concatenate([read_records(again.read(part))[1] for part in again.parts])
    assert set(records["parent"].tolist()) - {0} <= set(records["individual"].tolist())


def test_an_archive_that_cannot_be_thinned_any_more_loses_its_oldest_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = archive(tmp_path, 6 * 4_096, monkeypatch)
    newest = files.parts[-1]
    thin(files, newest.size + 1)
    assert files.parts[-1] == newest
    assert sum(part.size for part in files.parts) <= newest.size + 1
    assert all(part.level <= MOST_LEVELS for part in files.parts)


def test_what_is_small_enough_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = archive(tmp_path, 3 * 4_096, monkeypatch)
    before = files.parts
    thin(files, sum(part.size for part in files.parts))
    assert files.parts == before
