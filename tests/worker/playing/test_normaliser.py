"""What networks see of normalised observations, beside whom they may play, and what is told of it."""

from collections.abc import Hashable, Iterable
from dataclasses import replace

import numpy as np
import pytest
import torch

from germline.genome import Genome, Mutation
from germline.normalisation import CLIP, Normalisation, Version, marked
from germline.observed import LARGEST, Observed
from germline.pairs import Member, Slice
from worker.centres.epoch_engine import EpochEngine
from worker.centres.first_centre import CentreSettings, build_evolving
from worker.playing.engine import Engine, Evaluation, Played
from worker.playing.engines import build_engine
from worker.playing.normaliser import Normaliser, NormaliserSettings, Versions
from worker.playing.playable import EngineSettings
from worker.tasks.base import DiscreteActions, SetupError, Spaces

CPU = torch.device("cpu")
SPACES = Spaces((3,), np.dtype(np.float32), DiscreteActions(2))
ONE = Normalisation((-0.9, 0.1, -3.0), (0.05, 0.02, 7.0))
OTHER = Normalisation((0.9, -0.1, 3.0), (5.0, 2.0, 0.7))
LINE = Genome.founder(7).child(Mutation(11, 0.5))
UNDER_ONE, UNDER_OTHER = marked(LINE, ONE), marked(LINE, OTHER).child(Mutation(12, 0.5))
PENDULUM = EngineSettings("gym", "mlp", {"id": "Pendulum-v1", "max_steps": 30}, hidden=(8,), episodes=3)


def versions() -> Versions:
    known = Versions()
    known.learn([Version(ONE), Version(OTHER, 2)])
    return known


LEARNS = NormaliserSettings(learns=True, versions=versions())


def play(
    engine: Engine[Hashable], evaluations: Iterable[Evaluation[Hashable]]
) -> dict[Hashable, Played[Hashable]]:
    for evaluation in evaluations:
        engine.submit(evaluation)
    done: dict[Hashable, Played[Hashable]] = {}
    while engine.busy():
        done |= {played.key: played for played in engine.tick()}
    engine.close()
    return done


def test_each_slot_sees_by_the_numbers_of_who_plays_in_it() -> None:
    normaliser = Normaliser(versions().numbers_of, SPACES, slots=3, rows=2)
    for slot, genome in enumerate((LINE, UNDER_ONE, UNDER_OTHER)):
        normaliser.begin(slot, genome)
    shown = np.random.default_rng(0).normal(0, 2, (3, 2, 3)).astype(np.float32)
    seen = normaliser.see(shown, np.ones((3, 2), np.bool_))
    assert seen.dtype == np.float32
    np.testing.assert_array_equal(seen[0], shown[0])
    for slot, numbers in ((1, ONE), (2, OTHER)):
        mean, deviation = (np.array(each, np.float32) for each in numbers)
        np.testing.assert_array_equal(seen[slot], np.clip((shown[slot] - mean) / deviation, -CLIP, CLIP))
    assert np.abs(seen[1]).max() == CLIP


def test_members_of_an_epoch_see_by_what_was_frozen_at_its_beginning() -> None:
    known = versions()
    assert known.numbers_of(Member(1, 0, 1)) == ONE
    assert known.numbers_of(Member(2, 0, 1)) == OTHER


def test_a_run_that_learns_plays_as_a_policy_with_its_own_numbers_does() -> None:
    seeds = (3, 1, 4, 1, 5)
    work = [Evaluation[Hashable](genome, genome, seeds) for genome in (LINE, UNDER_ONE, UNDER_OTHER)]
    run = play(build_engine(replace(PENDULUM, normalisation=LEARNS), device=CPU, slots=3), work)
    returns = {}
    for evaluation, numbers in zip(work, (None, ONE, OTHER), strict=True):
        alone = replace(PENDULUM, normalisation=NormaliserSettings(numbers))
        played = play(build_engine(alone, device=CPU, slots=1), [evaluation])[evaluation.key]
        assert played.returns == run[evaluation.key].returns
        returns[evaluation.key] = played.returns
    assert len(set(returns.values())) == 3, "numbers make a difference"


def test_what_was_seen_is_told_where_it_is_asked_for_and_is_what_the_task_showed() -> None:
    asked = Evaluation[Hashable]("asked", UNDER_ONE, (1, 2, 3, 4), is_observed=True)
    silent = Evaluation[Hashable]("silent", UNDER_ONE, (1, 2, 3, 4))
    played = play(build_engine(replace(PENDULUM, normalisation=LEARNS), device=CPU, slots=2), [asked, silent])
    assert played["silent"].observed == b""
    seen = Observed.unpack(played["asked"].observed)
    assert seen.seen == played["asked"].steps == 4 * 30
    cosines_and_sines = seen.squares[:2].sum()
    assert cosines_and_sines == pytest.approx(seen.seen), "not normalised ones, whose squares are any"


def test_what_is_told_does_not_depend_on_who_plays_beside() -> None:
    work = [Evaluation[Hashable](seed, UNDER_ONE, (seed, seed + 9), is_observed=True) for seed in range(5)]
    settings = replace(PENDULUM, normalisation=LEARNS)
    crowd = play(build_engine(settings, device=CPU, slots=4), work)
    alone = play(build_engine(settings, device=CPU, slots=1), work)
    assert {key: played.observed for key, played in crowd.items()} == {
        key: played.observed for key, played in alone.items()
    }


def test_what_is_no_number_counts_as_0_and_what_is_too_large_as_the_largest() -> None:
    normaliser = Normaliser(versions().numbers_of, SPACES, slots=1, rows=1, tells=True)
    normaliser.begin(0, LINE, is_observed=True)
    normaliser.see(np.array([[[np.nan, np.inf, -1e30]]], np.float32), np.ones((1, 1), np.bool_))
    assert Observed.unpack(normaliser.told(0)).sums.tolist() == [0.0, LARGEST, -LARGEST]


def test_a_genome_whose_version_nobody_knows_costs_itself() -> None:
    unknown = marked(LINE, Normalisation((0.0,) * 3, (1.0,) * 3))
    work = [Evaluation[Hashable]("unknown", unknown, (1,)), Evaluation[Hashable]("known", UNDER_ONE, (1,))]
    played = play(build_engine(replace(PENDULUM, normalisation=LEARNS), device=CPU), work)
    assert "not known here" in played["unknown"].failure
    assert not played["known"].failure


def test_numbers_for_other_observations_are_refused() -> None:
    other = Normalisation((0.0,), (1.0,))
    with pytest.raises(SetupError, match="has 1 numbers; the task shows 3"):
        build_engine(replace(PENDULUM, normalisation=NormaliserSettings(other)), device=CPU)
    known = Versions()
    known.learn([Version(other)])
    learns = replace(PENDULUM, normalisation=NormaliserSettings(learns=True, versions=known))
    played = play(build_engine(learns, device=CPU), [Evaluation[Hashable]("key", marked(LINE, other), (1,))])
    assert "1 numbers, but an observation has 3" in played["key"].failure


def test_pictures_are_not_normalised() -> None:
    settings = EngineSettings("atari", "dqn2015", {"game": "pong"}, normalisation=LEARNS)
    with pytest.raises(SetupError, match="vectors of up to"):
        build_engine(settings, device=CPU)


def test_a_policy_by_itself_needs_its_numbers() -> None:
    learns = replace(PENDULUM, normalisation=NormaliserSettings(learns=True))
    with pytest.raises(SetupError, match=r"\[policy.normalisation\]"):
        build_engine(learns, device=CPU)


def test_a_slice_tells_what_all_of_its_members_saw() -> None:
    centre = CentreSettings(
        seed=3, pairs=4, rank=1, sigma=0.1, sigma_decay=1.0, optimiser="sgd", learning_rate=0.05,
        learning_rate_decay=1.0, momentum=0.9, weight_decay=0.0, shaping="centred_rank", noise_reuse=1,
        measured_every=0,
    )  # fmt: skip
    settings = replace(PENDULUM, episodes=2, normalisation=LEARNS)
    engine: EpochEngine[Hashable] = build_evolving(settings, centre, device=CPU)
    work = Evaluation[Hashable]("slice", Slice(0, 0, 2), (1, 2, 3, 4), is_observed=True)
    played = play(engine, [work])["slice"]
    assert Observed.unpack(played.observed).seen == played.steps == 8 * 30
