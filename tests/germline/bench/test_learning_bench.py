"""The bench of learning: everybody plays the same network as often; what it did not see measures it."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from germline.bench.learning import contest, report
from germline.bench.learning.contest import Run, learn, runs
from germline.bench.learning.ours import OURS, network_of, weights_of
from germline.bench.learning.search import Start
from germline.bench.learning.tasks import TASKS, BudgetSpentError, Player, Weights
from germline.cli.app import run


class Still:
    """Plays its first network until nothing is left."""

    def __init__(self, start: Start) -> None:
        self._play, self._network = start.play(), start.network

    def step(self) -> None:
        self._play(np.repeat(self._network[None], 7, axis=0))

    def best(self) -> Weights:
        return self._network


@pytest.mark.parametrize("task", ["cartpole", "pendulum"])
def test_the_network_is_the_policy_mlp(task: str) -> None:
    player = Player(TASKS[task], 1)
    network = network_of(player, seed=3)
    weights = weights_of(network)
    assert weights.shape == (player.dimension,)
    seen = np.random.default_rng(0).normal(size=(1, player.observation)).astype(np.float32)
    (action,) = player._network(weights[None])(seen)
    answers = network(torch.from_numpy(seen))[0]
    expected = int(answers.argmax()) if task == "cartpole" else 2 * math.tanh(answers.item())
    assert action == pytest.approx(expected, abs=1e-5)


def test_the_same_start_is_the_same_episode_alone_and_among_others() -> None:
    player = Player(TASKS["cartpole"], 100)
    networks = np.stack([weights_of(network_of(player, seed)) for seed in range(5)])
    together = player.play(networks, np.arange(5)).returns
    alone = [player.play(networks[i : i + 1], np.array([i])).returns[0] for i in range(5)]
    assert together.tolist() == alone
    assert len(set(alone)) > 1
    assert player.left == 90


def test_nothing_is_played_beyond_the_budget() -> None:
    player = Player(TASKS["cartpole"], 3)
    with pytest.raises(BudgetSpentError):
        player.play(np.zeros((4, player.dimension)), np.arange(4))
    assert (player.left, player.steps) == (3, 0)


@pytest.mark.parametrize("contestant", OURS)
def test_each_of_ours_plays_and_has_something_to_show(contestant: str) -> None:
    found = learn("cartpole", contestant, seed=0, episodes=150)
    assert 150 - 64 < found.episodes <= 150
    assert 8 <= found.score <= 500
    assert dataclasses.replace(found, cpu_s=0, wall_s=0) == dataclasses.replace(
        learn("cartpole", contestant, seed=0, episodes=150), cpu_s=0, wall_s=0
    )


def test_a_search_is_measured_by_episodes_that_cost_it_nothing() -> None:
    found = learn("cartpole", "still", seed=0, make=Still, episodes=20)
    assert found.episodes == 14


def test_searches_that_were_made_are_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def learnt(task: str, contestant: str, seed: int) -> Run:
        made.append(seed)
        return Run(task, contestant, seed, 1.0, 1, 1, 1.0, 1.0)

    monkeypatch.setattr(contest, "learn", learnt)
    first = list(runs(["cartpole"], ["GA"], 2, tmp_path))
    assert list(runs(["cartpole"], ["GA"], 3, tmp_path))[:2] == first
    assert made == [0, 1, 2]


def test_ours_is_behind_where_the_intervals_do_not_meet() -> None:
    def played(task: str, contestant: str, *scores: float) -> list[Run]:
        return [Run(task, contestant, seed, score, 1, 1, 1.0, 2.0) for seed, score in enumerate(scores)]

    late = played("a", "GA", 1.0, 2.0, 3.0) + played("a", "pycma", 4.0, 5.0, 6.0)
    equal = played("b", "GA", 1.0, 4.5, 5.0) + played("b", "pycma", 4.0, 5.0, 6.0)
    once = played("c", "GA", 1.0) + played("c", "pycma", 2.0)
    found = report.rows(late + equal + once)
    assert [row.contestant for row in found] == ["pycma", "GA"] * 3
    assert report.behind(found) == ["a"]
    assert "| a | **GA** | 3 | 2.0 | 1.0 to 3.0 | 1.0 | 2.0 |" in report.table(found)
    assert "| c | pycma | 1 | 2.0 | - | 1.0 | 2.0 |" in report.table(found)


def test_an_unknown_task_is_refused_with_those_that_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "learning", "--task", "chess"]) == 2
    assert "--task is chess; allowed: cartpole, acrobot" in capsys.readouterr().err
