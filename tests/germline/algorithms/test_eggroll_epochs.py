"""EGGROLL's epochs: each pair counts once, and an epoch closes exactly once."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from germline.algorithms.base import AlreadyToldError, Result, UnknownTicketError
from germline.algorithms.centres import MeasuredCentre, NewBestCentre, centre_seed
from germline.algorithms.draws import Dice
from germline.algorithms.eggroll import Eggroll
from germline.algorithms.eggroll_settings import EggrollSettings
from germline.algorithms.slices import EpochClosed, SliceAsk

SETTINGS = EggrollSettings(
    pairs=10, slice_pairs=4, episodes=2, validation_epochs=2, validation_episodes=3, reported_episodes=2
)


def result_of(ask: SliceAsk, value: float | None = None) -> Result:
    """A result that only its work determines."""
    dice = random.Random(ask.ticket)  # noqa: S311 - a toy score
    returns = tuple(dice.random() if value is None else value for _ in range(ask.episodes))
    return Result(ask.ticket, returns, frames=400, steps=100)


def through_text(algorithm: Eggroll) -> dict[str, Any]:
    """A snapshot as it comes back from strict JSON, which knows no NaN."""
    return dict(json.loads(json.dumps(algorithm.snapshot(), allow_nan=False)))


def play_epoch(algorithm: Eggroll, order: random.Random | None = None) -> EpochClosed:
    asks = algorithm.ask(100)
    if order:
        order.shuffle(asks)
    events = [event for ask in asks for event in algorithm.tell(result_of(ask))]
    (closed,) = [event for event in events if isinstance(event, EpochClosed)]
    return closed


def test_an_epoch_asks_each_pair_once_and_the_centre_first() -> None:
    asks = Eggroll(SETTINGS, 1).ask(100)
    assert [(ask.first_pair, ask.pairs, len(ask.episode_seeds)) for ask in asks] == [
        (0, 0, 5),
        (0, 4, 8),
        (4, 4, 8),
        (8, 2, 4),
    ]


def test_the_centre_is_measured_only_in_its_epochs() -> None:
    algorithm = Eggroll(SETTINGS, 1)
    measured = []
    for _ in range(5):
        asks = algorithm.ask(100)
        measured.append(any(ask.pairs == 0 for ask in asks))
        for ask in asks:
            algorithm.tell(result_of(ask))
    assert measured == [True, False, True, False, True]


def test_a_whole_epoch_out_asks_nothing_more_until_it_closes() -> None:
    algorithm = Eggroll(SETTINGS, 1)
    asks = algorithm.ask(100)
    assert algorithm.ask(1) == []
    for ask in asks[:-1]:
        algorithm.tell(result_of(ask))
    assert algorithm.ask(1) == []
    algorithm.tell(result_of(asks[-1]))
    assert algorithm.ask(1)[0].epoch == 1


def test_fitness_is_the_mean_of_a_members_episodes_in_the_order_of_pairs_and_signs() -> None:
    settings = EggrollSettings(pairs=2, slice_pairs=1, episodes=2, validation_epochs=0)
    algorithm = Eggroll(settings, 1)
    first, second = algorithm.ask(2)
    algorithm.tell(Result(second.ticket, (5.0, 7.0, 9.0, 9.0), 1, 1))
    (closed,) = algorithm.tell(Result(first.ticket, (1.0, 2.0, 3.0, 4.0), 1, 1))
    assert closed == EpochClosed(0, (1.5, 3.5, 6.0, 9.0))


@given(st.randoms(use_true_random=False))
def test_an_epoch_closes_with_the_same_fitness_in_any_order_of_tells(order: random.Random) -> None:
    plain, shuffled = Eggroll(SETTINGS, 7), Eggroll(SETTINGS, 7)
    for _ in range(3):
        assert play_epoch(plain) == play_epoch(shuffled, order)


def test_tell_twice_counts_once() -> None:
    algorithm = Eggroll(SETTINGS, 1)
    asks = algorithm.ask(100)[:2]
    for ask in asks:
        algorithm.tell(result_of(ask))
        with pytest.raises(AlreadyToldError, match=f"ticket {ask.ticket}"):
            algorithm.tell(result_of(ask))
    assert (algorithm.evaluations, algorithm.episodes) == (1 + 8, 5 + 16)
    assert (algorithm.frames, algorithm.steps) == (2 * 400, 2 * 100)


def test_a_ticket_that_was_never_asked_is_unknown() -> None:
    algorithm = Eggroll(SETTINGS, 1)
    for ticket in (-1, 2, 10_000):
        with pytest.raises(UnknownTicketError, match=f"ticket {ticket} was never asked; epoch 0 is open"):
            algorithm.tell(Result(ticket, (0.0,), 1, 1))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_return_that_is_not_finite_is_refused_and_changes_nothing(bad: float) -> None:
    algorithm = Eggroll(SETTINGS, 1)
    ask = algorithm.ask(2)[1]
    with pytest.raises(ValueError, match="finite"):
        algorithm.tell(result_of(ask, bad))
    assert algorithm.pending()[1] == ask
    algorithm.tell(result_of(ask))


def test_a_better_centre_is_told_and_a_worse_one_is_not() -> None:
    algorithm = Eggroll(SETTINGS, 1)
    (best,) = algorithm.tell(result_of(algorithm.ask(1)[0], 5.0))
    assert isinstance(best, NewBestCentre)
    assert (best.centre.epoch, best.centre.mean, best.centre.episodes) == (0, 5.0, 2)
    for ask in [*algorithm.ask(100)]:
        algorithm.tell(result_of(ask))
    play_epoch(algorithm)
    for ask in algorithm.ask(1):
        assert algorithm.tell(result_of(ask, 5.0)) == []  # as good is not better
    assert algorithm.best == best.centre
    for _ in range(2):
        play_epoch(algorithm)
    assert algorithm.tell(result_of(algorithm.ask(1)[0], 4.0)) == []
    assert algorithm.best == best.centre


def test_what_is_taken_back_is_pending_again_and_leaves_no_trace() -> None:
    algorithm, never = Eggroll(SETTINGS, 1), Eggroll(SETTINGS, 1)
    for each in (algorithm, never):
        for _ in range(2):
            play_epoch(each)
    asks, _ = algorithm.ask(100), never.ask(100)
    algorithm.tell(result_of(asks[1], 7.0))
    never.tell(result_of(asks[1], 7.0))
    liars = (asks[0], asks[2])
    for liar in liars:
        algorithm.tell(result_of(liar, 1e6))
    assert algorithm.best is not None
    assert algorithm.best.mean == 1e6
    for liar in liars:
        assert algorithm.untell(result_of(liar, 1e6)) == liar
    assert algorithm.snapshot() == never.snapshot()
    assert algorithm.pending() == never.pending()


def test_only_what_is_told_in_the_open_epoch_can_be_taken_back() -> None:
    algorithm = Eggroll(SETTINGS, 1)
    closed = algorithm.ask(100)
    for ask in closed:
        algorithm.tell(result_of(ask))
    (lent,) = algorithm.ask(1)
    unasked = lent._replace(ticket=lent.ticket + 1)
    for ask in (closed[1], lent, unasked):
        with pytest.raises(UnknownTicketError, match=f"ticket {ask.ticket} is not told in epoch 1"):
            algorithm.untell(result_of(ask))


def test_a_restored_algorithm_can_take_back_a_best_centre() -> None:
    algorithm, restored = Eggroll(SETTINGS, 1), Eggroll(SETTINGS, 1)
    for _ in range(2):
        play_epoch(algorithm)
    former = algorithm.best
    centre = algorithm.ask(1)[0]
    algorithm.tell(result_of(centre, 1e6))
    restored.restore(through_text(algorithm))
    restored.untell(result_of(centre, 1e6))
    assert restored.best == former


def test_closing_early_waits_for_its_share_and_drops_pairs_whole() -> None:
    settings = EggrollSettings(pairs=4, slice_pairs=1, close_share=0.5, validation_epochs=0)
    algorithm = Eggroll(settings, 1)
    asks = algorithm.ask(4)
    algorithm.tell(result_of(asks[0]))
    assert algorithm.close_early() == []
    algorithm.tell(result_of(asks[2]))
    (closed,) = algorithm.close_early()
    assert isinstance(closed, EpochClosed)
    assert [math.isnan(score) for score in closed.fitness] == [False, False, True, True] * 2
    with pytest.raises(AlreadyToldError, match="epoch 0 closed without it"):
        algorithm.tell(result_of(asks[1]))


def test_an_epoch_that_closes_early_waits_for_the_measurement_of_its_centre() -> None:
    algorithm = Eggroll(EggrollSettings(pairs=4, slice_pairs=1, close_share=0.5), 1)
    centre, *slices = algorithm.ask(5)
    for ask in slices[:2]:
        algorithm.tell(result_of(ask))
    assert algorithm.close_early() == []
    algorithm.tell(result_of(centre))
    assert algorithm.best is not None
    assert len(algorithm.close_early()) == 1


def test_an_epoch_closed_without_the_slices_whose_scores_it_misses() -> None:
    algorithm = Eggroll(EggrollSettings(pairs=4, slice_pairs=2, close_share=0.5, validation_epochs=0), 1)
    told, missing = algorithm.ask(2)
    algorithm.tell(result_of(told))
    (closed,) = algorithm.close_early()
    assert isinstance(closed, EpochClosed)
    (later, _) = algorithm.ask(2)
    asks = (told, missing, later)
    assert [algorithm.closed_without(ask.ticket, closed) for ask in asks] == [False, True, False]


@given(told=st.integers(0, 9), asked=st.integers(0, 4))
def test_a_restored_algorithm_goes_on_like_one_that_never_stopped(told: int, asked: int) -> None:
    algorithm = Eggroll(SETTINGS, 3)
    for _ in range(told):
        algorithm.tell(result_of(algorithm.ask(1)[0]))
    algorithm.ask(asked)
    restored = Eggroll(SETTINGS, 3)
    restored.restore(through_text(algorithm))
    assert restored.pending() == algorithm.pending()
    for twin in (algorithm, restored):
        for ask in twin.pending() + twin.ask(100):
            twin.tell(result_of(ask))
    assert restored.snapshot() == algorithm.snapshot()
    assert play_epoch(restored) == play_epoch(algorithm)


def test_asks_adopted_after_a_restart_are_pending_again() -> None:
    before, after = Eggroll(SETTINGS, 3), Eggroll(SETTINGS, 3)
    asks = before.ask(3)
    for ask in asks:
        after.adopt(ask)
    assert after.pending() == asks
    assert after.ask(100) == before.ask(100)


def test_a_snapshot_of_other_settings_is_refused_by_field() -> None:
    snapshot = Eggroll(SETTINGS, 3).snapshot()
    with pytest.raises(ValueError, match="seed is 3 in the snapshot, 4 here"):
        Eggroll(SETTINGS, 4).restore(snapshot)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        *(
            ({field: 0}, f"{field} is 0; allowed: at least 1")
            for field in ("pairs", "slice_pairs", "episodes")
        ),
        ({"validation_episodes": 0}, "validation_episodes is 0; allowed: at least 1"),
        ({"validation_epochs": -1}, "validation_epochs is -1; allowed: at least 0"),
        ({"reported_episodes": -1}, "reported_episodes is -1; allowed: at least 0"),
        ({"close_share": 0.0}, "close_share is 0.0; allowed: above 0 and at most 1"),
        ({"close_share": 1.5}, "close_share is 1.5; allowed: above 0 and at most 1"),
    ],
)
def test_senseless_settings_are_refused_by_name(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        EggrollSettings(**settings)


def test_the_first_centre_is_a_founder_whose_seed_no_work_shares() -> None:
    assert centre_seed(1) == Dice(1, 2**64 - 1).seed  # for ever: journals hold no first centre
    assert centre_seed(1) != centre_seed(2)
    assert centre_seed(1) not in [Dice(1, ticket).seed for ticket in range(100)]


def test_the_defaults_are_these() -> None:
    assert EggrollSettings() == EggrollSettings(
        pairs=64,
        slice_pairs=4,
        episodes=1,
        close_share=1.0,
        validation_epochs=10,
        validation_episodes=10,
        reported_episodes=10,
        starts=(),
    )
    assert Eggroll(EggrollSettings(), 1).snapshot()["format"] == 2


def test_a_single_episode_tells_nothing_of_a_centres_error() -> None:
    settings = EggrollSettings(pairs=1, validation_epochs=1, validation_episodes=1, reported_episodes=1)
    (event,) = (algorithm := Eggroll(settings, 1)).tell(Result(algorithm.ask(1)[0].ticket, (9.0, 2.0), 4, 1))
    assert event == NewBestCentre(MeasuredCentre(0, 2.0, 1, math.inf, 9.0, 1))


def test_what_is_reported_of_a_centre_are_the_episodes_that_did_not_decide() -> None:
    settings = replace(SETTINGS, reported_episodes=3)
    (event,) = (algorithm := Eggroll(settings, 1)).tell(
        Result(algorithm.ask(1)[0].ticket, (7.0, 7.0, 7.0, 1.0, 3.0, 8.0), 4, 1)
    )
    assert event == NewBestCentre(MeasuredCentre(0, 4.0, 3, math.sqrt(26 / 2 / 3), 7.0, 3))


@pytest.mark.parametrize(("deciding", "leads"), [(4.9, False), (5.1, True)])
def test_the_episodes_that_are_reported_decide_nothing(deciding: float, leads: bool) -> None:
    algorithm = Eggroll(replace(SETTINGS, validation_epochs=1), 1)
    first, *slices = algorithm.ask(100)
    algorithm.tell(Result(first.ticket, (5.0, 5.0, 5.0, 0.0, 0.0), 4, 1))
    for ask in slices:
        algorithm.tell(result_of(ask))
    reported = -1e6 if leads else 1e6
    algorithm.tell(Result(algorithm.ask(1)[0].ticket, (deciding,) * 3 + (reported,) * 2, 4, 1))
    assert algorithm.best is not None
    assert (algorithm.best.epoch == 1) is leads


@pytest.mark.parametrize(("deciding", "reported", "proven"), [(9.0, 4.0, 4.0), (4.0, 9.0, 4.0)])
def test_a_centre_is_proven_as_far_as_both_parts_of_its_measurement_say(
    deciding: float, reported: float, proven: float
) -> None:
    algorithm = Eggroll(SETTINGS, 1)
    algorithm.tell(Result(algorithm.ask(1)[0].ticket, (deciding,) * 3 + (reported,) * 2, 4, 1))
    assert algorithm.best is not None
    assert algorithm.best.proven == proven


def test_where_starts_are_finite_a_measurement_plays_each_once_and_is_exact() -> None:
    algorithm = Eggroll(replace(SETTINGS, starts=(11, 12, 13, 14)), 1)
    (ask,) = algorithm.ask(1)
    assert ask.episode_seeds == (11, 12, 13, 14)
    (event,) = algorithm.tell(Result(ask.ticket, (1.0, 2.0, 3.0, 8.0), 4, 1))
    exact = MeasuredCentre(0, 3.5, 4, 0.0, 3.5, returns=(1.0, 2.0, 3.0, 8.0))
    assert event == NewBestCentre(exact)
    restored = Eggroll(algorithm.settings, 1)
    restored.restore(through_text(algorithm))
    assert restored.best == exact


def test_a_snapshot_of_the_first_format_knows_one_part_and_loads() -> None:
    settings = replace(SETTINGS, reported_episodes=0)
    algorithm, restored = Eggroll(settings, 3), Eggroll(settings, 3)
    algorithm.tell(Result(algorithm.ask(1)[0].ticket, (1.0, 3.0, 8.0), 4, 1))
    first = through_text(algorithm) | {"format": 1, "best": [0, 4.0, 3, math.sqrt(26 / 2 / 3)]}
    first["shape"] = first["shape"][:5]
    restored.restore(first)
    assert restored.snapshot() == algorithm.snapshot()
    with pytest.raises(ValueError, match="shape is "):
        Eggroll(SETTINGS, 3).restore(first)


def test_a_snapshot_of_an_unknown_format_is_refused_by_number() -> None:
    snapshot = Eggroll(SETTINGS, 3).snapshot() | {"format": 3}
    with pytest.raises(ValueError, match="format is 3 in the snapshot; 1 and 2 are known here"):
        Eggroll(SETTINGS, 3).restore(snapshot)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_beyond_uint64_is_refused_by_name(seed: int) -> None:
    with pytest.raises(ValueError, match=rf"^seed is {seed}"):
        Eggroll(SETTINGS, seed)


def test_quantiles_are_of_the_last_closed_epoch_and_survive_a_restart() -> None:
    settings = EggrollSettings(pairs=2, slice_pairs=2, validation_epochs=0)
    algorithm, restored = Eggroll(settings, 1), Eggroll(settings, 1)
    assert algorithm.fitness_quantiles((0, 0.5, 1)) == []
    algorithm.tell(Result(algorithm.ask(1)[0].ticket, (3.0, 9.0, 1.0, 5.0), 1, 1))
    restored.restore(through_text(algorithm))
    for each in (algorithm, restored):
        assert each.fitness_quantiles((0, 0.4, 1)) == [1.0, 3.0, 9.0]


def test_an_epoch_that_closed_before_a_restart_is_taken_as_closed_and_only_once() -> None:
    algorithm = Eggroll(SETTINGS, 1)
    for _ in range(2):
        algorithm.adopt_epoch(EpochClosed(0, (2.0, *[math.nan] * 19)))
        assert algorithm.epoch == 1
    assert algorithm.fitness_quantiles((0, 1)) == [2.0, 2.0]


def test_an_ask_of_a_closed_epoch_needs_nothing_after_a_restart() -> None:
    before, after = Eggroll(SETTINGS, 3), Eggroll(SETTINGS, 3)
    old = before.ask(100)[1]
    play_epoch(after)
    after.adopt(old)
    assert after.pending() == []
    assert len(after.ask(100)) == 3


@pytest.mark.parametrize("size", [1e170, 1e200, 1e307])
def test_huge_scores_count_and_the_centre_has_a_mean_with_an_error(size: float) -> None:
    algorithm = Eggroll(SETTINGS, seed=3)
    dice = random.Random(0)  # noqa: S311 - a toy score
    events = [
        event
        for ask in algorithm.ask(100)
        for event in algorithm.tell(
            Result(ask.ticket, tuple(-size * dice.random() for _ in range(ask.episodes)), 4, 1)
        )
    ]
    closed = next(event for event in events if isinstance(event, EpochClosed))
    assert all(map(math.isfinite, closed.fitness))
    assert algorithm.best is not None
    assert 0 < algorithm.best.standard_error < size
    through_text(algorithm)


def test_a_score_whose_sum_is_no_float_beside_others_counts_all_the_same() -> None:
    algorithm = Eggroll(EggrollSettings(pairs=1, slice_pairs=1, episodes=2, validation_epochs=0), seed=3)
    (ask,) = algorithm.ask(1)
    (closed,) = algorithm.tell(Result(ask.ticket, (0.0, -1.5e308, 1.5e308, 1.5e308), 4, 1))
    assert closed == EpochClosed(0, (-7.5e307, 1.5e308))


@pytest.mark.parametrize("returns", [(math.nan,) * 5, (1.0, 2.0), (1e308,) * 5])
def test_a_result_that_is_refused_changes_nothing(returns: tuple[float, ...]) -> None:
    algorithm = Eggroll(SETTINGS, seed=3)
    centre, *_ = algorithm.ask(3)
    before = algorithm.snapshot()
    with pytest.raises(ValueError, match="returns"):
        algorithm.tell(Result(centre.ticket, returns, 4, 1))
    assert repr(algorithm.snapshot()) == repr(before)
    assert centre in algorithm.pending()


def test_a_frozen_epoch_is_written_as_it_was_whatever_happened_since() -> None:
    algorithm = Eggroll(SETTINGS, seed=3)
    first, *others = algorithm.ask(4)
    algorithm.tell(result_of(first))
    before, frozen = algorithm.snapshot(), algorithm.freeze()
    for ask in others:
        algorithm.tell(result_of(ask))
    assert frozen() == before != algorithm.snapshot()


def test_an_epoch_of_many_slices_is_asked_written_and_restored_in_a_moment() -> None:
    settings = EggrollSettings(pairs=40_000, slice_pairs=1, validation_epochs=0)
    algorithm = Eggroll(settings, seed=3)
    before_s = process_time()
    while len(algorithm.pending()) < 1:
        algorithm.ask(8)
    restored = Eggroll(settings, seed=3)
    restored.restore(through_text(algorithm))
    for ask in restored.ask(10_000):
        algorithm.adopt(ask)
    assert restored.snapshot() == algorithm.snapshot()
    assert process_time() - before_s < 5.0  # a walk over all for each of them takes half a minute
