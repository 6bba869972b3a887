"""When a run freezes what observations are normalised by, and who plays under it then."""

import json
from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest

from germline.algorithms.base import Ask, Purpose, Result
from germline.algorithms.eggroll import Eggroll
from germline.algorithms.eggroll_settings import EggrollSettings
from germline.algorithms.ga import GeneticAlgorithm
from germline.algorithms.ga_settings import GaSettings
from germline.algorithms.running_normalisation import RunningNormalisation
from germline.algorithms.slices import SliceAsk
from germline.normalisation import digest_in, is_mark
from germline.observed import Observed, is_observed

GA = GaSettings(
    window=10, parents=3, power=0.5, candidates=2, validation_episodes=4, normalise_observations=True
)
EGGROLL = EggrollSettings(pairs=8, slice_pairs=1, validation_epochs=0, normalise_observations=True)


def seen(ticket: int) -> bytes:
    if not is_observed(ticket):
        return b""
    shown = np.array([[ticket, 1.0], [0.0, -float(ticket)]])
    return Observed(2, shown.sum(axis=0), np.square(shown).sum(axis=0)).pack()


def result_of(ask: Ask | SliceAsk) -> Result:
    episodes = ask.episodes if isinstance(ask, SliceAsk) else len(ask.episode_seeds)
    returns = tuple(float((ask.ticket * 7 + place) % 11) for place in range(episodes))
    return Result(ask.ticket, returns, 4, 4, observed=seen(ask.ticket))


def live(search: GeneticAlgorithm, evaluations: int) -> list[Ask]:
    """Ask and tell one by one; what was asked."""
    asked = []
    while search.evaluations < evaluations:
        (ask,) = search.ask(1)
        asked.append(ask)
        search.tell(result_of(ask))
    return asked


def test_versions_come_when_the_founders_are_told_and_with_each_doubling() -> None:
    search = GeneticAlgorithm(GA, seed=1)
    found: list[int] = []
    for evaluations in range(1, 100):
        live(search, evaluations)
        if len(search.normalisations) > len(found):
            found.append(evaluations)
    assert found == [10, 20, 40, 80]


def test_children_play_under_the_newest_version() -> None:
    search = GeneticAlgorithm(GA, seed=1)
    live(search, 10)
    for evaluations in range(11, 200):
        newest = search.normalisations[-1].numbers.digest
        for ask in live(search, evaluations):
            if ask.purpose is Purpose.EXPLORE and ask.parent_id is not None:
                assert digest_in(ask.genome) == newest


def test_an_earlier_parent_plays_itself_under_the_newest_version_before_its_children_do() -> None:
    search = GeneticAlgorithm(GA, seed=1)
    asked = live(search, 200)
    known: set[int] = set()
    for ask in asked:
        assert ask.parent_id is None or ask.parent_id in known, "who has children has played"
        known.add(ask.genome.id)
    renewed = [ask.genome.id for ask in asked if is_mark(ask.genome.last) and ask.purpose is Purpose.EXPLORE]
    assert len(renewed) == len(set(renewed)), "and once"
    assert len({digest_in(ask.genome) for ask in asked}) == 1 + len(search.normalisations)


def test_a_litter_goes_on_under_a_new_version() -> None:
    search = GeneticAlgorithm(replace(GA, litter=4), seed=1)
    asked = live(search, 200)
    children = [ask for ask in asked if ask.purpose is Purpose.EXPLORE and len(ask.genome)]
    born = [ask.parent_id for ask in children if not is_mark(ask.genome.last)]
    litters = [len(list(group)) for _, group in groupby(born)]
    assert sum(size % 4 == 0 for size in litters) > len(litters) / 2


def test_a_mark_does_not_touch_a_self_adapted_power() -> None:
    settings = replace(GA, power_schedule="self_adapted", final_power=1e-6, power_learning_rate=0.01)
    asked = live(GeneticAlgorithm(settings, seed=1), 200)
    powers = [ask.genome.last.power for ask in asked if ask.genome.last and not is_mark(ask.genome.last)]
    assert min(powers) > 0.3


def test_a_run_goes_on_after_a_restart_as_if_there_was_none() -> None:
    search, restored = GeneticAlgorithm(GA, seed=1), GeneticAlgorithm(GA, seed=1)
    live(search, 21)
    restored.restore(json.loads(json.dumps(search.snapshot(), allow_nan=False)))
    assert restored.normalisations == search.normalisations
    assert live(restored, 90) == live(search, 90)
    assert restored.snapshot() == search.snapshot()


def test_a_snapshot_of_a_run_that_does_not_normalise_says_nothing_of_it() -> None:
    plain = GeneticAlgorithm(replace(GA, normalise_observations=False), seed=1).snapshot()
    assert "normalis" not in json.dumps(plain)


def test_random_search_has_nobody_to_renew() -> None:
    with pytest.raises(ValueError, match="parents is 0"):
        replace(GA, parents=0)


def close(search: Eggroll, *, backwards: bool = False) -> None:
    """Play the open epoch, in one order or the other."""
    asks = search.ask(100)
    for ask in reversed(asks) if backwards else asks:
        search.tell(result_of(ask))


def test_an_epoch_plays_under_what_was_frozen_at_its_beginning() -> None:
    search = Eggroll(EGGROLL, seed=1)
    for _ in range(9):
        close(search)
    assert [version.first_epoch for version in search.normalisations] == [1, 2, 4, 8]


def test_the_order_within_an_epoch_does_not_matter() -> None:
    one, other = Eggroll(EGGROLL, seed=1), Eggroll(EGGROLL, seed=1)
    for _ in range(4):
        close(one)
        close(other, backwards=True)
    assert one.normalisations == other.normalisations
    assert one.snapshot() == other.snapshot()


def test_what_a_wrong_worker_saw_in_the_open_epoch_is_taken_back() -> None:
    search, other = Eggroll(EGGROLL, seed=1), Eggroll(EGGROLL, seed=1)
    ask = next(ask for ask in search.ask(8) if is_observed(ask.ticket))
    wrong = result_of(ask)._replace(observed=Observed(9, np.ones(2), np.ones(2)).pack())
    search.tell(wrong)
    search.untell(wrong)
    for pending in search.pending():
        search.tell(result_of(pending))
    close(other)
    assert search.normalisations == other.normalisations != []


def test_an_open_epoch_survives_a_restart() -> None:
    search, restored = Eggroll(EGGROLL, seed=1), Eggroll(EGGROLL, seed=1)
    close(search)
    for ask in search.ask(5):
        search.tell(result_of(ask))
    restored.restore(json.loads(json.dumps(search.snapshot(), allow_nan=False)))
    for each in (search, restored):
        close(each)
    assert len(search.normalisations) == 2
    assert restored.snapshot() == search.snapshot()


def test_a_version_waits_until_something_was_seen() -> None:
    running = RunningNormalisation(first=5)
    assert running.freeze(5) is None
    running.tell(seen(4))
    assert running.freeze(6) is not None
    assert running.freeze(11) is None, "the next one is due after twice as many"
    running.tell(seen(8))
    assert running.freeze(12) is not None


def test_numbers_that_did_not_change_are_no_new_version() -> None:
    running = RunningNormalisation(first=1)
    running.tell(seen(4))
    assert running.freeze(1) is not None
    assert running.freeze(2) is None
    assert len(running.versions) == 1
