"""Centres that take turns in one evolution: each goes on from where it was, also from a file."""

import pytest
import torch
from torch import nn

from germline.eggroll import Evolution, Settings, centre_file


def evolution() -> Evolution:
    torch.manual_seed(0)
    made = Evolution(
        nn.Linear(3, 2), Settings(pairs=4, seed=1, sigma=0.1, learning_rate=0.5), optimiser="adam"
    )
    made.add_centre(torch.arange(8.0))
    made.add_centre(-torch.arange(8.0))
    return made


def test_each_centre_goes_on_from_where_it_was_with_its_own_memory() -> None:
    both, alone = evolution(), evolution()
    both.turn_to(1)
    both.tell(range(8))
    both.turn_to(2)
    both.tell(range(8))
    both.turn_to(1)
    moved = both.centre.clone()
    alone.turn_to(1)
    alone.tell(range(8))
    assert torch.equal(moved, alone.centre)
    assert torch.equal(both.space.read(both.network), moved)
    assert (both.moments.steps, both.turn, sorted(both.others)) == (1, 1, [0, 2])


def test_a_centre_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="next_centre is 3; there are 3 centres, from 0"):
        evolution().turn_to(3)


def test_a_file_holds_all_centres_and_the_memory_of_each() -> None:
    first, second = evolution(), evolution()
    for turn in (1, 2, 0, 1):
        first.turn_to(turn)
        first.tell(range(8))
    first.turn_to(2)
    written = centre_file.write(first)
    centre_file.restore(second, written)
    assert (second.turn, second.epoch, sorted(second.others)) == (2, 4, [0, 1])
    assert sorted(centre_file.read(written).parameters) == ["bias", "weight"]
    for each in (first, second):
        each.tell(range(8, 0, -1))
        each.turn_to(1)
        each.tell(range(8))
    assert first.digest() == second.digest()
    assert first.epoch == second.epoch == 6


def test_a_file_of_another_number_of_centres_is_refused() -> None:
    one = Evolution(nn.Linear(3, 2), Settings(pairs=4, seed=1))
    with pytest.raises(ValueError, match="the file has 3 centres that take turns; this evolution 1"):
        centre_file.restore(one, centre_file.write(evolution()))
    with pytest.raises(ValueError, match="the file has 1 centres that take turns; this evolution 3"):
        centre_file.restore(evolution(), centre_file.write(one))
