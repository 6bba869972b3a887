"""What people see of numbers, however large."""

import pytest

from germline.cli.live import sparkline
from germline.cli.output import number


@pytest.mark.parametrize("scale", [1.0, 1e200, 1.7e308])
def test_a_sparkline_rises_from_the_smallest_to_the_largest(scale: float) -> None:
    assert sparkline([-scale, 0.0, scale])[0] < sparkline([-scale, 0.0, scale])[2]
    assert len(sparkline([-scale, 0.0, scale])) == 3


def test_a_number_with_too_many_digits_is_written_with_a_power_of_ten() -> None:
    assert number(-1234.56) == "-1,234.6"
    assert number(-1e200) == "-1e+200"
