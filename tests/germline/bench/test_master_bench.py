"""The measurement of a master works; for its figures run `python -m germline.bench.master`."""

import pytest

from germline.bench.master import measure


@pytest.mark.slow
def test_a_short_measurement_counts_what_was_acknowledged() -> None:
    figures = measure(rounds=1, evaluations=40_000)
    assert (figures.streams, figures.batch, figures.rounds, figures.evaluations) == (200, 16, 1, 40_000)
    assert figures.evaluations_per_second > 0
    assert figures.echo_messages_per_second > 0
    assert figures.late_share_of_early == figures.late_per_second / figures.early_per_second
