"""Every network under experiments/results is what its card says, on this machine too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from germline.cli.cards import of_file
from germline.cli.playing import fresh_seeds, kernels_here, play
from germline.cli.words import kernels_text
from germline.genome import Genome, format_id
from germline.weights import Layout, digest, rebuild
from worker.networks.policies.build import make_policy
from worker.playing.engine_builder import engine_settings, has_bfloat16
from worker.plugins import make_task

CARDS = sorted((Path(__file__).parents[2] / "experiments" / "results").glob("*.toml"))


def test_there_are_results_to_hold_to_their_promise() -> None:
    assert CARDS


@pytest.fixture(params=CARDS, ids=lambda path: path.stem)
def card(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_a_published_champion_is_rebuilt_from_its_seeds_bit_for_bit(card: Path) -> None:
    published = json.loads(card.with_suffix(".json").read_text())
    playable = of_file(card)
    settings = engine_settings(playable.spec)
    policy = make_policy(
        settings.policy,
        make_task(settings.task, settings.task_arguments),
        version=settings.policy_version,
    )
    assert isinstance(playable.policy, Genome)
    weights = torch.empty((layout := Layout.of(policy)).size)
    rebuild(playable.policy, layout, weights)
    assert format_id(playable.policy.id) == published["id"]
    assert digest(weights) == published["weights"]


def test_an_episode_of_a_published_champion_returns_what_was_published(card: Path) -> None:
    published = json.loads(card.with_suffix(".json").read_text())
    playable = of_file(card)
    if engine_settings(playable.spec).precision == "bfloat16" and not has_bfloat16(torch.device("cpu")):
        pytest.skip("this CPU has no bfloat16: the published episode cannot be played as it was")
    seeds = fresh_seeds(published["seed"], 1)
    played = list(play(playable.spec, playable.policy, seeds, "cpu"))
    here = kernels_here(playable.spec, "cpu")
    if played != [(0, published["returns"][0])] and here not in published["kernels"]:
        pytest.skip(kernels_text(published["kernels"], here))
    assert played == [(0, published["returns"][0])]
