"""Runs that learn what observations are normalised by: what their files hold plays again, to the last bit."""

from __future__ import annotations

from pathlib import Path

import pytest

import germline
from germline.algorithms.draws import Dice
from germline.cli.app import run
from germline.cli.archive import Archive
from germline.cli.cards import card_of, of_experiment, save
from germline.cli.folder import RunFolder
from germline.cli.playing import play
from germline.normalisation import digest_in

SPEC = """
name = "pendulum"
seed = 3
[task.gym]
id = "Pendulum-v1"
max_steps = 15
[policy]
name = "mlp"
hidden = [8]
normalise_observations = true
{algorithm}
"""
GA = """
[algorithm.ga]
window = 12
parents = 3
power = 0.2
mutation = "{mutation}"
candidates = 2
validation_episodes = 4
[stop]
evaluations = 600
"""
EGGROLL = """
[algorithm.eggroll]
pairs = 8
slice_pairs = 2
validation_epochs = 2
validation_episodes = 3
reported_episodes = 5
[stop]
evaluations = 160
"""


@pytest.mark.parametrize("mutation", ["dense", "low_rank"])
def test_what_a_population_was_told_plays_again(mutation: str, tmp_path: Path) -> None:
    spec = SPEC.format(algorithm=GA.format(mutation=mutation))
    germline.run(spec, workers=2, folder=tmp_path / "run", progress=False, verdict=3)
    archive = Archive(RunFolder(tmp_path / "run"))
    marked = [each for each in archive.individuals(12) if each.genome and digest_in(each.genome)]
    assert marked, "somebody plays under a version"
    assert run(["verify", "--run", str(tmp_path / "run"), "--share", "1", "--device", "cpu"]) == 0
    _check_card(archive, marked[0], tmp_path)


def _check_card(archive: Archive, individual: germline.client.Individual, folder: Path) -> None:
    """A card alone plays as the individual of the run does."""
    look = archive.experiment()
    of_run, seeds = of_experiment(look, individual), (5, 6, 7)
    save(folder / "card.toml", card_of(look, individual))
    of_card = germline.load(folder / "card.toml", device="cpu")
    assert f"mean = {list(look.normalisations[0].numbers.mean)}"[:8] in (folder / "card.toml").read_text()
    exported = folder / "weights.safetensors"
    of_card.save(exported)
    there = dict(play(of_run.spec, of_run.policy, seeds, "cpu"))
    for policy in (of_card, germline.load(exported, device="cpu")):
        assert dict(play(policy._playable.spec, policy._playable.policy, seeds, "cpu")) == there


def test_a_measured_centre_plays_again(tmp_path: Path) -> None:
    result = germline.run(
        SPEC.format(algorithm=EGGROLL), workers=2, folder=tmp_path / "run", progress=False, verdict=0
    )
    look = Archive(RunFolder(tmp_path / "run")).experiment()
    assert [version.first_epoch for version in look.normalisations] == [1, 3, 7]
    best = look.champion
    assert best is not None
    epoch, tickets_per_epoch = best.mutations, 5
    seeds = Dice(3, epoch * tickets_per_epoch).episode_seeds(8)[3:]
    policy = result.policy
    assert policy is not None
    played = dict(play(policy._playable.spec, policy._playable.policy, seeds, "cpu"))
    assert sum(played[place] for place in range(5)) / 5 == pytest.approx(best.validated_mean, rel=1e-12)
