"""The measurement of a master's load works; for its figures run `python -m germline.bench.load`."""

from collections.abc import Callable

import pytest

from germline.bench.load import Load, measure_population, measure_slices


@pytest.mark.slow
@pytest.mark.parametrize("measure", [measure_population, measure_slices])
def test_a_short_measurement_sees_workers_wait_for_work(measure: Callable[[int, int, int], Load]) -> None:
    load = measure(20, 1_000, 4_000)
    assert (load.workers, load.size) == (20, 1_000)
    assert load.evaluations >= 4_000
    assert 0 < load.ask_to_lease_p50_s <= load.ask_to_lease_p99_s
    assert 0 < load.get_experiment_p50_s <= load.get_experiment_most_s
    assert load.longest_stall_s > 0
