"""Novelty moves an evolution strategy's centres: whole numbers, whatever the order, and over restarts."""

import json
import math
from typing import Any

import numpy as np
import pytest

from germline import noise
from germline.algorithms.base import Result
from germline.algorithms.centre_novelty import CentreNovelty, CentreNoveltySettings
from germline.algorithms.eggroll import Eggroll
from germline.algorithms.eggroll_settings import EggrollSettings
from germline.algorithms.slices import EpochClosed, SliceAsk
from germline.behaviour import quantise
from germline.shaping import WHOLE, shape, weighted_ranks
from tests.germline.algorithms.walkers import SIDE, valley

PAIRS = 16


def books(seed: int = 1, **novelty: Any) -> Eggroll:
    settings = CentreNoveltySettings(dimensions=2, **{"neighbours": 5, **novelty})
    return Eggroll(
        EggrollSettings(
            pairs=PAIRS, slice_pairs=4, validation_epochs=1, validation_episodes=1, reported_episodes=1,
            novelty=settings, close_share=0.5,
        ),
        seed,
    )  # fmt: skip


class Walk:
    """Centres in the plane that the books move, as workers would."""

    def __init__(self, centres: int) -> None:
        random = np.random.default_rng(5)
        self.centres = [random.normal(0, 0.5, 2) for _ in range(centres)]
        self.turn = 0
        self.best = -math.inf

    def result(self, ask: SliceAsk) -> Result:
        places = [self.centres[self.turn]]
        if ask.pairs:
            steps = self.steps(ask.epoch)[ask.first_pair : ask.first_pair + ask.pairs]
            places = [self.centres[self.turn] + sign * step for step in steps for sign in (1, -1)]
        places = [np.clip(place, -SIDE, SIDE) for place in places]
        scores = [valley(*place) for place in places for _ in range(1 if ask.pairs else 2)]
        self.best = max(self.best, *scores)
        behaviour = b"".join(quantise(place, -SIDE, SIDE) for place in places)
        return Result(ask.ticket, tuple(scores), 1, 1, behaviour=behaviour)

    def steps(self, epoch: int) -> np.ndarray:
        return np.array([0.7 * noise.draw(epoch, pair, 0, 2) for pair in range(PAIRS)])

    def move(self, closed: EpochClosed) -> None:
        shaped = shape(closed.fitness, "weighted_ranks")
        if shaped.members:
            moved = shaped.unit * shaped.weights @ self.steps(closed.epoch) / shaped.members
            self.centres[self.turn] = np.clip(self.centres[self.turn] + 1.5 * moved, -SIDE, SIDE)
        self.turn = closed.next_centre


def run(books: Eggroll, epochs: int, walk: Walk, shuffled: int | None = None) -> list[EpochClosed]:
    """Play so many epochs, asks told in order, or in another one."""
    closed: list[EpochClosed] = []
    while len(closed) < epochs:
        asks = books.ask(100)
        if shuffled is not None:
            asks = [asks[place] for place in np.random.default_rng(shuffled).permutation(len(asks))]
        for ask in asks:
            for event in books.tell(walk.result(ask)):
                if isinstance(event, EpochClosed):
                    walk.move(event)
                    closed.append(event)
    return closed


def test_novelty_carries_a_centre_over_the_valley_that_reward_does_not_cross() -> None:
    rewarded, novel = Walk(1), Walk(1)
    run(books(objective="mixed", weight=64, centres=1), 150, rewarded)
    run(books(objective="novelty", centres=1), 150, novel)
    assert rewarded.best <= 3
    assert novel.best > 10


def test_all_weight_on_reward_is_the_plain_strategy() -> None:
    scores = np.random.default_rng(1).normal(size=2 * PAIRS).round(1)  # some are equal
    summed = weighted_ranks((scores, np.zeros(2 * PAIRS)), (WHOLE, 0))
    plain, weighted = shape(scores), shape(summed, "weighted_ranks")
    assert (weighted.weights == WHOLE * plain.weights).all()
    assert weighted.unit * WHOLE == pytest.approx(plain.unit)


def test_a_pair_that_lacks_a_score_or_a_behaviour_does_not_count() -> None:
    scores, novelty = np.arange(6.0), np.array([3.0, 1.0, math.nan, 2.0, 5.0, 9.0])
    scores[4] = math.nan
    summed = weighted_ranks((scores, novelty), (32, 32))
    assert np.isnan(summed).tolist() == [False, False, True, True, True, True]
    assert shape(summed, "weighted_ranks").members == 2


@pytest.mark.parametrize("measured", ["after_update", "own_epoch"])
def test_the_order_in_which_results_come_changes_nothing(measured: str) -> None:
    one = run(books(objective="adaptive", measured=measured), 20, Walk(3))
    other = run(books(objective="adaptive", measured=measured), 20, Walk(3), shuffled=7)
    assert repr(one) == repr(other)
    scored = [value for closed in one for value in closed.fitness if not math.isnan(value)]
    assert scored
    assert all(value.is_integer() for value in scored)


def test_all_centres_are_measured_first_and_each_as_soon_as_it_has_moved() -> None:
    algorithm, walk = books(centres=3), Walk(3)
    assert algorithm._novelty is not None
    for centre in range(3):
        (ask,) = algorithm.ask(100)
        assert (ask.pairs, walk.turn) == (0, centre)
        (closed,) = (e for e in algorithm.tell(walk.result(ask)) if isinstance(e, EpochClosed))
        assert all(map(math.isnan, closed.fitness))
        walk.turn = closed.next_centre
    assert len(algorithm._novelty.archive) == 3
    for update in range(10):
        moving = walk.turn
        run(algorithm, 1, walk)
        assert walk.turn == moving
        (ask,) = algorithm.ask(100)
        assert ask.pairs == 0
        moved = walk.result(ask)
        (closed,) = (e for e in algorithm.tell(moved) if isinstance(e, EpochClosed))
        assert list(algorithm._novelty.archive)[-1] == (closed.epoch, moved.behaviour)
        assert len(algorithm._novelty.archive) == 4 + update
        walk.turn = closed.next_centre


def test_a_centre_that_cannot_be_measured_is_asked_again_before_anybody_moves() -> None:
    algorithm = books(centres=2)
    for _ in range(3):
        (ask,) = algorithm.ask(100)
        (closed,) = algorithm.set_aside(ask.ticket)
        assert isinstance(closed, EpochClosed)
        assert (ask.pairs, closed.next_centre) == (0, 0)


def test_the_members_of_the_last_update_are_shown_while_its_centre_is_measured() -> None:
    algorithm, walk = books(centres=1), Walk(1)
    run(algorithm, 2, walk)
    shown = algorithm.fitness_quantiles([0.0, 1.0])
    assert len(shown) == 2
    run(algorithm, 1, walk)
    assert algorithm.fitness_quantiles([0.0, 1.0]) == shown


def test_centres_measured_in_their_own_epochs_take_turns_first_each_once() -> None:
    closed = run(books(centres=3, measured="own_epoch"), 60, Walk(3))
    turns = [each.next_centre for each in closed]
    assert turns[:2] == [1, 2]
    assert {turns.count(centre) > 8 for centre in range(3)} == {True}


def test_the_likeliest_centre_is_the_most_novel() -> None:
    counts = [0, 0, 0]
    for seed in range(300):
        novelty = CentreNovelty(CentreNoveltySettings(dimensions=1, centres=3, neighbours=1), seed)
        for epoch, place in enumerate((0.0, 0.01, 1.0)):
            novelty.measured(epoch, quantise([place], 0, 1), 0.0)
            novelty.take_turns(epoch)
        counts[novelty.turn] += 1
    assert counts[2] > 270


def test_the_weight_of_reward_follows_success() -> None:
    novelty = CentreNovelty(CentreNoveltySettings(dimensions=1, objective="adaptive", patience=2), 1)
    weights = []
    for epoch, mean in enumerate([0.0, 0.0, 0.0, 0.0, 0.0, 5.0, 6.0]):
        novelty.measured(epoch, quantise([0.5], 0, 1), mean)
        weights.append(novelty.weight)
    assert weights == [64, 64, 61, 61, 58, 61, 64]


@pytest.mark.parametrize("objective", ["novelty", "mixed", "adaptive"])
@pytest.mark.parametrize("epochs", [2, 7, 8])
@pytest.mark.parametrize("measured", ["after_update", "own_epoch"])
def test_restored_books_go_on_as_the_others(objective: str, epochs: int, measured: str) -> None:
    first, second = (books(objective=objective, measured=measured) for _ in range(2))
    walk, other = Walk(3), Walk(3)
    run(first, epochs, walk)
    for ask in first.ask(3):
        first.tell(walk.result(ask))
    written = json.dumps(first.snapshot())
    second.restore(json.loads(written))
    assert json.dumps(second.snapshot()) == written
    for _ in range(20):
        for ask in first.ask(100):
            first.tell(walk.result(ask))
        for ask in second.ask(100):
            second.tell(walk.result(ask))
    assert first.snapshot() == second.snapshot()
    assert first.epoch > 10
    del other


def test_an_epoch_that_closes_early_comes_to_the_same_in_a_replay() -> None:
    first, second, walk = books(measured="own_epoch"), books(measured="own_epoch"), Walk(3)
    asks = first.ask(100)
    told = [walk.result(ask) for ask in asks[:4]]
    for result in told:
        first.tell(result)
    (closed,) = first.close_early()
    assert isinstance(closed, EpochClosed)
    for ask in asks:
        second.adopt(ask)
    for result in told:
        second.tell(result)
    assert second.adopt_epoch(closed)
    assert first.snapshot() == second.snapshot()


def test_what_is_untold_is_forgotten() -> None:
    algorithm, walk = books(measured="own_epoch"), Walk(3)
    before = json.dumps(algorithm.snapshot())
    centre, some = algorithm.ask(2)
    for ask in (centre, some):
        algorithm.tell(walk.result(ask))
    for ask in (centre, some):
        algorithm.untell(walk.result(ask))
    after = json.loads(json.dumps(algorithm.snapshot()))
    assert {k: after[k] for k in ("behaviours", "centre", "novelty")} == {
        k: json.loads(before)[k] for k in ("behaviours", "centre", "novelty")
    }


def test_a_result_without_behaviour_is_refused_and_changes_nothing() -> None:
    algorithm = books(measured="own_epoch")
    before = algorithm.snapshot()
    centre, some = algorithm.ask(2)
    for ask, size in ((centre, 4), (some, 32)):
        with pytest.raises(ValueError, match=f"behaviour has 0 bytes; allowed: {size}"):
            algorithm.tell(Result(ask.ticket, (1.0,) * ask.episodes, 1, 1))
    assert {**algorithm.snapshot(), "unasked": 0} == {**before, "unasked": 0}


def test_books_of_earlier_builds_are_written_as_they_were() -> None:
    written = books(measured="own_epoch").snapshot()
    assert "measured" not in written["shape"][-1]  # type: ignore[index, operator]
    assert "only_measures" not in written["novelty"]  # type: ignore[operator]


def test_plain_books_are_written_as_they_were() -> None:
    plain = Eggroll(EggrollSettings(pairs=4), 1)
    assert not {"novelty", "behaviours", "centre"} & set(plain.snapshot())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"objective": "best"}, "objective is 'best'; allowed: one of novelty, mixed, adaptive"),
        ({"measured": "never"}, "measured is 'never'; allowed: one of after_update, own_epoch"),
        ({"centres": 0}, "centres is 0; allowed: at least 1"),
        ({"weight": 65}, "weight is 65; allowed: 0 to 64"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        CentreNoveltySettings(dimensions=2, **changes)


def test_novelty_needs_every_centre_measured() -> None:
    novelty = CentreNoveltySettings(dimensions=2)
    with pytest.raises(ValueError, match="validation_epochs is 10; allowed with novelty: 1"):
        EggrollSettings(novelty=novelty)
