"""A short form of `make takeovers`: nothing acknowledged is lost or doubled, whichever way a master goes."""

import asyncio

from germline.bench.takeovers import measure


def test_no_acknowledged_result_is_lost_or_doubled_over_takeovers_by_kill_stop_and_cut() -> None:
    came = asyncio.run(measure(3, ownership_s=2.0, seed=1))
    assert (came.kills, came.stops, came.cuts) == (1, 1, 1)
    assert (came.lost, came.doubled, came.altered) == (0, 0, False)
    assert came.same_centre
    assert came.acknowledged > 0
    assert came.epochs > 0
