"""How the workers of `germline run` are told what they are to do."""

import pytest

from germline.cli.crew import Crew


@pytest.mark.parametrize(("size", "parallelism", "slots"), [(2, 4, "2"), (2, 5, "3"), (4, 1, "1")])
def test_workers_share_the_parallelism_that_a_spec_states(size: int, parallelism: int, slots: str) -> None:
    arguments = Crew(size, "cpu", parallelism).arguments("worker-1")
    assert arguments[arguments.index("--slots") + 1] == slots


def test_workers_choose_their_slots_where_a_spec_states_none() -> None:
    assert Crew(2, "cpu").arguments("worker-1") == ("--device", "cpu", "--worker-id", "worker-1")
