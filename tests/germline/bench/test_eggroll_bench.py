"""How the EGGROLL bench counts."""

from __future__ import annotations

import pytest

from germline.bench.eggroll import WORKLOADS, rows_of

STEPS = {
    "germline": [[0.5, 0.9, 270.0], [0.4, 0.8, 272.0], [0.6, 1.0, 271.0]],
    "germline.compat.torcheggroll": [[0.5, 0.9, 280.0]],
    "germline.compat.eggroll_trainer": [[1.0, 2.0, 320.0]],
    "eggroll-trainer": [[1.0, 2.0, 313.0]],
    "torcheggroll": [[2.0, 3.6, 1891.0]],
}


def test_ours_by_a_packages_interface_is_compared_with_that_package() -> None:
    rows = {row.contender: row for row in rows_of(WORKLOADS[0], STEPS, "wall")}
    assert rows["germline.compat.torcheggroll"].ratio == pytest.approx(4.0)
    assert rows["germline.compat.eggroll_trainer"].ratio == pytest.approx(1.0)
    assert rows["torcheggroll"].ratio == pytest.approx(4.0)
    assert rows["germline"].median_s == 0.5
    assert all(row.reached for row in rows.values())


@pytest.mark.parametrize(("seconds", "mib"), [(0.7, 280.0), (0.5, 301.0)])
def test_an_interface_that_is_slow_or_large_does_not_reach_what_is_asked(seconds: float, mib: float) -> None:
    steps = {**STEPS, "germline.compat.torcheggroll": [[seconds, 0.9, mib]]}
    (row,) = [
        r for r in rows_of(WORKLOADS[0], steps, "wall") if r.contender == "germline.compat.torcheggroll"
    ]
    assert (row.asked, row.reached) == (3.0, False)
