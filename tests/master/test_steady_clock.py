"""The clock of a master that may be made to stand still."""

from master.steady_clock import LONGEST_GAP_S, SteadyClock


class Wall:
    now = 50.0

    def __call__(self) -> float:
        return self.now


def test_time_in_which_the_master_stood_still_is_no_time() -> None:
    wall = Wall()
    clock = SteadyClock(wall)
    readings = [clock()]
    for seconds in (1.0, LONGEST_GAP_S, 3_600.0, 0.5):
        wall.now += seconds
        readings.append(clock())
    assert readings == [50.0, 51.0, 51.0 + LONGEST_GAP_S, 51.0 + LONGEST_GAP_S, 51.5 + LONGEST_GAP_S]
