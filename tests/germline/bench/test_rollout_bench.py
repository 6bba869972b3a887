"""The rollout measurement itself: it measures what it says, in the shape that it promises."""

import pytest

from germline.bench.rollout import Row, measure, table


@pytest.mark.slow
def test_a_measurement_has_a_row_for_each_contestant_relative_to_both_references() -> None:
    rows = measure("pong", seconds=0.3, rounds=1, processes=1, only={"dense_4_episodes"}, clock="cpu")

    assert list(rows) == ["naive", "env", "dense_4_episodes"]
    assert rows["naive"].ratio_to_naive == rows["env"].ratio_to_env == 1.0
    dense = rows["dense_4_episodes"]
    assert dense.ratio_to_naive == pytest.approx(dense.frames_per_second / rows["naive"].frames_per_second)
    assert dense.ratio_to_env == pytest.approx(dense.frames_per_second / rows["env"].frames_per_second)
    assert rows["env"].frames_per_second > rows["naive"].frames_per_second > 0


def test_the_table_shows_every_row() -> None:
    text = table({"naive": Row(7500.0, 1.0, 0.3, "float32"), "env": Row(25000.0, 3.33, 1.0, "")})

    assert "7,500" in text
    assert "3.33" in text
    assert len(text.splitlines()) == 3
