"""What docs/eggroll.md shows and says, is so."""

from __future__ import annotations

import re
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from germline import eggroll
from germline.eggroll import update
from germline.eggroll.update import check_budget
from germline.shaping import ShapingName, shape
from tests.pages import page

PAGE = page("docs/eggroll.md")
INPUTS = torch.randn(8, 784, generator=torch.Generator().manual_seed(0))
TARGETS = torch.arange(8)

# The public names and arguments of the packages, as released.
PEERS = {
    "torcheggroll 0.2.0": """
        TorchEggrollES model pop_size sigma lr rank device param_filter normalize_fitness antithetic
        step inputs loss_fn targets prepare_population get_stacked_params apply_fitness_scores state_dict
        load_state_dict epoch base_params param_names param_shapes param_dtypes generate_lora_noise
        generate_standard_noise generate_noise_for_shapes compute_es_gradient generate_lora_noise_batched
        generate_standard_noise_batched""",
    "eggroll-trainer 0.1.0": """
        EGGROLLTrainer params model fitness_fn population_size learning_rate sigma rank noise_reuse
        group_size freeze_nonlora device seed step closure train num_generations verbose get_best_model
        zero_grad generation fitness_history best_fitness best_state_dict param_names param_shapes is_matrix
        rng ESTrainer sample_perturbations compute_update evaluate_fitness reset _get/_set_flat_params
        VanillaESTrainer state_dict param_groups""",
}


def rows(title: str) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    lines = [line for line in PAGE.section(title).text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def fitness(network: nn.Module) -> float:
    return -functional.cross_entropy(network(INPUTS), TARGETS).item()


def test_the_example_runs_and_every_face_moves_the_network() -> None:
    (example,) = PAGE.blocks("python")
    scope: dict[str, Any] = {
        "inputs": INPUTS,
        "targets": TARGETS,
        "fitness_fn": fitness,
        "play": lambda weights: float(weights[0]),
    }
    exec(example.replace("epochs=100", "epochs=1").replace("pairs=256", "pairs=4"), scope)  # noqa: S102
    assert scope["told"].members == 8
    assert scope["trainer"].evolution.moments.steps == scope["evolution"].moments.steps == 1
    assert fitness(scope["model"]) == pytest.approx(scope["trainer"].best.fitness)


@pytest.mark.parametrize("peer", PEERS)
def test_every_public_name_and_argument_of_a_peer_has_its_row(peer: str) -> None:
    there = " ".join(cells[0] for cells in rows(f"From {peer}"))
    known = {*re.findall(r"[A-Za-z_/]+", there), "inputs", "loss_fn", "targets"}
    assert set(PEERS[peer].split()) - known == set()


@pytest.mark.parametrize("peer", PEERS)
def test_every_name_of_ours_in_the_tables_exists(peer: str) -> None:
    network = nn.Linear(784, 10)
    settings = eggroll.Settings(pairs=2, seed=1)
    trainer = eggroll.EggrollTrainer(network, fitness, settings)
    trainer.step()
    told = eggroll.Evolution(network, settings).tell([1, 2, 3, 4])
    ours: list[object] = [
        eggroll,
        told,
        trainer,
        trainer.best,
        settings,
        eggroll.EggrollOptimiser(network, settings),
        eggroll.Drawn(eggroll.NoiseKey(1), 1, torch.device("cpu")),
        eggroll.GaussianTrainer(network, fitness),
    ]
    code = [text for cells in rows(f"From {peer}") for text in re.findall(r"`([^`]+)`", cells[1])]
    members = [name for text in code for name in re.findall(r"(?<![\w)])\.([a-z_]+)", text)]
    types = [name for text in code for name in re.findall(r"\b([A-Z][a-zA-Z]+)\(", text)]
    assert members
    assert types
    missing = [name for name in members + types if not any(hasattr(each, name) for each in ours)]
    assert missing == []


@pytest.mark.parametrize("row", rows("Why it is exact"), ids=lambda row: row[0])
def test_the_most_pairs_of_the_table_fit_and_more_do_not(row: list[str]) -> None:
    for rank, cell in ((1, row[2]), (16, row[3])):
        number, _, million = cell.replace(",", "").partition(" ")
        most, step = (int(number) * 10**6, 10**6) if million else (int(number), 1)
        for name in re.findall(r"`(\w+)`", row[0]):
            check_budget(rank, most, cast(ShapingName, name))
            with pytest.raises(ValueError, match="53"):
                check_budget(rank, most + step, cast(ShapingName, name))


def test_the_peers_estimate_is_ours_from_the_named_function() -> None:
    """`compute_es_gradient(noise, rewards)`: the mean of z times noise, times the population's root."""
    network = nn.Linear(3, 2)
    space, key, sigma = eggroll.Space.of(network), eggroll.NoiseKey(4), 0.1
    rewards = [1.0, 3.0, 2.0, -1.0]
    centre, noise = torch.zeros(space.size), torch.empty(4, space.size)
    for row, (pair, sign) in enumerate([(0, 1), (0, -1), (1, 1), (1, -1)]):
        eggroll.materialise(noise[row], centre, space, key._replace(pair=pair), sign * sigma)
    z: Tensor = torch.tensor(rewards) - sum(rewards) / 4
    z /= z.square().mean().sqrt()
    expected = (z[:, None] * noise).mean(0) * 4**0.5
    found = update.estimate(space, key, shape(rewards, "z_score"), sigma)
    assert torch.allclose(found.float(), expected, atol=1e-3)
