"""What tests of the command line share: a card, and a folder as a run leaves it."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from germline.card import PolicyCard, write_card
from germline.genome import Genome, Mutation, float32, format_id

GENOME = Genome.founder(1).child(Mutation(2, float32(0.02))).child(Mutation(3, float32(0.02)))
PONG: dict[str, Any] = {"atari": {"game": "pong", "max_frames": 400}}


def _card() -> str:
    return write_card(PolicyCard(PONG, {"name": "motion"}, "float32", GENOME))


@pytest.fixture
def card(tmp_path: Path) -> str:
    """A policy card of Pong, in a file."""
    path = tmp_path / "card.toml"
    path.write_text(_card())
    return str(path)


@pytest.fixture
def archived(tmp_path: Path) -> str:
    """A folder as a run leaves it: two children of the genome, and its parent as champion."""
    folder = tmp_path / "run"
    folder.mkdir()
    parent = GENOME.parent()
    assert parent is not None
    kin = [GENOME.child(Mutation(seed, float32(0.02))) for seed in (8, 9)]
    individuals = [individual(genome) for genome in kin]
    spec = 'name = "pong"\n[task.atari]\ngame = "pong"\n[policy]\nname = "motion"\n[algorithm.ga]\n'
    experiment = {
        **dict.fromkeys(("number", "evaluations", "episodes", "frames", "steps", "population"), 3),
        **dict.fromkeys(("lineage_depth", "leased", "workers", "leases_lost", "epochs"), 0),
        **dict.fromkeys(("running_s", "frames_per_second", "evaluations_per_second", "best_fitness"), 1.0),
        "name": "pong",
        "state": "complete",
        "centre_digest": "",
        "fitness_quantiles": [1.0, 2.0, 3.0, 4.0, 5.0],
        "created": "2026-11-20T10:00:00+00:00",
        "champion": None,
        "spec": spec,
    }
    (folder / "experiment.json").write_text(json.dumps(experiment))
    kept = {"best": individual(parent), "population": individuals}
    (folder / "individuals.json").write_text(json.dumps(kept))
    points = [
        {"evaluations": n, "frames": n, "running_s": n, "fitness_quantiles": [n] * 5, "champion_mean": None}
        for n in (1, 2)
    ]
    (folder / "history.json").write_text(json.dumps(points))
    (folder / "champion.toml").write_text(_card())
    return str(folder)


def individual(genome: Genome) -> dict[str, Any]:
    return {
        "id": format_id(genome.id),
        "fitness": 1.0,
        "mutations": len(genome),
        "validated_mean": 1.5,
        "validation_episodes": 4,
        "validated_half_width": 0.5,
        "genome": base64.b64encode(genome.encode()).decode(),
    }
