"""Whoever holds up the master's loop is seen: by how much everybody else had to wait."""

import asyncio
import time

from master import pulse
from master.metrics import Metrics


async def test_a_turn_that_takes_long_is_told_in_full() -> None:
    late: list[float] = []
    seen = asyncio.Event()

    def observe(seconds: float) -> None:
        late.append(seconds)
        seen.set()

    beating = asyncio.create_task(pulse.beat(observe))
    await seen.wait()
    seen.clear()
    time.sleep(0.3)
    await seen.wait()
    beating.cancel()
    assert max(late) >= 0.25


def test_the_longest_of_all_is_kept_beside_the_distribution() -> None:
    metrics = Metrics()
    for seconds in (0.01, 0.4, 0.02):
        metrics.observe_late(seconds)
    registry = metrics.registry
    assert registry.get_sample_value("germline_loop_late_most_seconds") == 0.4
    assert registry.get_sample_value("germline_loop_late_seconds_count") == 3
    assert registry.get_sample_value("germline_loop_late_seconds_bucket", {"le": "0.25"}) == 2
