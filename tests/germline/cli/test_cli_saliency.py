"""A saliency map is the gradient of the chosen output, by the network's own float weights."""

from pathlib import Path

import numpy as np
import pytest
import torch

from germline.cli.errors import CommandError
from germline.cli.observation_file import ObservationFile, read_observation
from germline.cli.saliency import saliency
from germline.genome import Genome, Mutation
from germline.spec import loads
from germline.weights import Layout, rebuild
from worker.playing.engine_builder import engine_settings
from worker.playing.playable import playable

CARTPOLE = """
name = "balance"
[task.gym]
id = "CartPole-v1"
[policy]
name = "{policy}"
[algorithm.ga]
"""
GENOME = Genome.founder(3).child(Mutation(5, 0.5))
SEEN = np.array([0.1, -0.2, 0.3, 0.4], np.float32)


def observed(folder: Path, *seen: np.ndarray) -> Path:
    with ObservationFile(folder / "seen") as file:
        for each in seen:
            file.add(each)
    return folder / "seen"


def test_observations_come_back_as_they_were(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 4, 8, 6), np.uint8)
    file = observed(tmp_path, *pictures)
    assert np.array_equal(read_observation(file, 2), pictures[2])
    assert read_observation(file, 0).dtype == np.uint8
    with pytest.raises(ValueError, match="step is 4; kept are the observations of the first 3"):
        read_observation(file, 3)


def test_the_gradient_is_how_the_output_changes(tmp_path: Path) -> None:
    spec = loads(CARTPOLE.format(policy="mlp"))
    told = saliency(spec, GENOME, observed(tmp_path, SEEN * 2, SEEN), 1, 1, allow_code="")
    built = playable(engine_settings(spec))
    flat = torch.zeros(Layout.of(built.policy).size)
    rebuild(GENOME, Layout.of(built.policy), flat)
    torch.nn.utils.vector_to_parameters(flat, built.policy.parameters())
    with torch.no_grad():
        answers = built.policy(torch.from_numpy(SEEN)[None])[0]
        moved = [
            built.policy(torch.from_numpy(SEEN + step)[None])[0, 1]
            for step in 1e-3 * np.eye(4, dtype=np.float32)
        ]
    assert told["outputs"] == pytest.approx(answers.tolist(), abs=1e-4)
    assert told["gradient"] == pytest.approx([float(each - answers[1]) * 1e3 for each in moved], abs=0.02)


@pytest.mark.parametrize(
    ("policy", "task", "sentence"),
    [("gru", "CartPole-v1", "remembers what it saw"), ("mlp", "Pendulum-v1", "finitely many actions")],
)
def test_where_there_is_no_map_it_says_why(tmp_path: Path, policy: str, task: str, sentence: str) -> None:
    spec = loads(CARTPOLE.format(policy=policy).replace("CartPole-v1", task))
    with pytest.raises(CommandError, match=sentence):
        saliency(spec, GENOME, observed(tmp_path, SEEN), 0, 0, allow_code="")
