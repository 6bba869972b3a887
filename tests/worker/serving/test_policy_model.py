"""A policy that is called answers as it plays in its experiment, and says what is wrong with a call."""

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save

from germline.cli.playing import play
from germline.eggroll import centre_file
from germline.genome import Genome, Mutation, float32
from germline.spec import loads
from germline.v1 import spec_pb2
from germline.weights import Layout, rebuild
from worker.playing.engine_builder import engine_settings
from worker.playing.playable import playable
from worker.serving.policy import ArgumentError, PolicyModel, VectorModel, build_policy

GENOME = Genome.founder(1).child(Mutation(2, float32(0.5)))
CPU = torch.device("cpu")
END = "[algorithm.ga]\n"


def spec_of(text: str, more: str = "") -> spec_pb2.ExperimentSpec:
    return loads(f'name = "it"\n{text}\n{more}\n{END}')


CARTPOLE = '[task.gym]\nid = "CartPole-v1"\n[policy]\nname = "mlp"\nhidden = [8]'
PENDULUM = '[task.gym]\nid = "Pendulum-v1"\n[policy]\nname = "mlp"\nhidden = [8]'
PONG = '[task.atari]\ngame = "pong"\n[policy]\nname = "motion"'


def model_of(spec: spec_pb2.ExperimentSpec, genome: Genome = GENOME) -> PolicyModel:
    model = build_policy(spec, genome, {"name": "it-1"}, CPU)
    assert isinstance(model, PolicyModel)
    return model


@pytest.mark.parametrize(
    ("task", "evaluation"),
    [
        (CARTPOLE, ""),
        (CARTPOLE, "[evaluation]\nepisodes = 4"),
        (CARTPOLE, '[evaluation]\nprecision = "int8"'),
        (PENDULUM, "[evaluation]\nepisodes = 2"),
    ],
)
def test_an_episode_that_is_played_by_calls_is_that_of_an_evaluation(task: str, evaluation: str) -> None:
    spec = spec_of(task, evaluation)
    seed = 11
    ((_, expected),) = play(spec, GENOME, (seed,), "cpu")
    model, environment = model_of(spec), gymnasium.make(spec.task.gym.id)
    observation, _ = environment.reset(seed=seed % 2**31)
    returned, over = 0.0, False
    while not over:
        action = model.act(observation.tolist())
        sent: Any = action if isinstance(action, int) else np.array([action], np.float32)
        observation, reward, terminated, truncated, _ = environment.step(sent)
        returned, over = returned + float(reward), terminated or truncated
    assert returned == expected


def test_a_table_is_answered_by_a_table_with_the_same_index() -> None:
    model = model_of(spec_of(CARTPOLE, "[evaluation]\nepisodes = 2"))
    rows = np.random.default_rng(3).normal(size=(5, 4))
    found = model.predict(pd.DataFrame(rows, index=list("abcde")))
    assert isinstance(found, pd.DataFrame)
    assert list(found.index) == list("abcde")
    single = [model.predict(row) for row in rows.tolist()]
    assert found["action"].tolist() == single == model.predict(rows.tolist())
    assert set(single) == {0, 1}, "the rows differ"


def test_a_tick_is_seen_and_predict_then_tells_the_action() -> None:
    model = model_of(spec_of(PENDULUM))
    assert model.predict() is None
    assert model.tick([1.0, 0.0, 0.5]) is None  # type: ignore[func-returns-value]
    assert model.predict() == model.act([1.0, 0.0, 0.5])
    assert isinstance(model.predict(), float)
    model.reset()
    assert model.predict() is None


def test_what_a_network_remembers_is_kept_from_call_to_call_until_it_is_reset() -> None:
    gru = '[task.gym]\nid = "CartPole-v1"\n[policy]\nname = "worker.networks.policies.gru:Gru"'
    genome = Genome.founder(1).child(Mutation(2, float32(2.0)))
    model = model_of(spec_of(gru, "[evaluation]\nepisodes = 2"), genome)
    seen = np.random.default_rng(5).normal(size=(40, 4)).tolist()
    first = [model.act(each) for each in seen]
    assert [model.act(each) for each in seen] != first, "it remembers the first time"
    alone = [model.predict(each) for each in seen]
    model.reset()
    assert [model.act(each) for each in seen] == first
    assert alone != first, "what it remembers changes what it does"
    assert model.predict(seen) == alone, "a batch remembers nothing"


def test_a_picture_is_taken_in_whole_numbers_from_0_to_255() -> None:
    model = model_of(spec_of(PONG))
    picture = np.zeros((4, 84, 84)).tolist()
    assert isinstance(model.act(picture), int)
    picture[0][0][0] = 256.0
    with pytest.raises(ArgumentError, match="whole numbers from 0 to 255"):
        model.act(picture)


@pytest.mark.parametrize(
    ("observation", "sentence"),
    [
        ([1.0], r"the observation has shape \[1\]; allowed: \[4\]"),
        ([[1.0, 2.0], [3.0]], "no array of numbers"),
        ("abcd", "the text 'abcd'; allowed: numbers"),
        ({"a": 1}, "an object; allowed: numbers"),
        (None, "None; allowed: numbers"),
        ([0.0, 0.0, 0.0, math.nan], "holds NaN"),
        (["a", "b", "c", "d"], "no array of numbers"),
    ],
)
def test_what_is_no_observation_is_refused(observation: object, sentence: str) -> None:
    with pytest.raises(ArgumentError, match=sentence):
        model_of(spec_of(CARTPOLE)).act(observation)


def test_tables_and_lists_of_other_shapes_are_refused() -> None:
    model = model_of(spec_of(CARTPOLE))
    with pytest.raises(ArgumentError, match=r"2 observations have shape \[2, 1\]; allowed: 2 of \[4\]"):
        model.predict(pd.DataFrame({"a": [1, 2]}))
    with pytest.raises(ArgumentError, match="other than numbers"):
        model.predict(pd.DataFrame({name: ["x"] for name in "abcd"}))
    with pytest.raises(ArgumentError, match="shape"):
        model.predict([])


def test_a_function_tasks_weights_are_told() -> None:
    function = '[task.function]\npath = "worker.tasks.function:noisy_sphere"\ndimension = 3\n'
    spec = spec_of(function + '[policy]\nname = "vector"')
    model = build_policy(spec, GENOME, {"name": "it"}, CPU)
    assert isinstance(model, VectorModel)
    assert len(model.weights()) == 3
    assert model.predict() == model.weights()
    assert model.describe() == {"name": "it", "dimension": 3}


def test_a_centre_is_served_as_the_network_that_it_is() -> None:
    spec = spec_of(CARTPOLE)
    network = playable(engine_settings(spec)).policy
    layout = Layout.of(network)
    flat = torch.zeros(layout.size)
    rebuild(GENOME, layout, flat)
    named = {name: view.contiguous() for name, view in layout.named_views(flat).items()}
    notes = {"format": centre_file.FORMAT, "epoch": "1", "steps": "1", "digest": "d"}
    centre = build_policy(spec, save(named, notes), {"name": "centre"}, CPU)
    assert isinstance(centre, PolicyModel)
    seen = np.random.default_rng(5).normal(size=(30, 4)).tolist()
    actions = centre.predict(seen)
    assert actions == model_of(spec).predict(seen)
    assert actions != model_of(spec, Genome.founder(9)).predict(seen)


def test_a_policy_says_what_it_is_and_what_it_takes() -> None:
    described = model_of(spec_of(CARTPOLE)).describe()
    assert described == {
        "name": "it-1",
        "observation_shape": [4],
        "observation_type": "float32",
        "actions": 2,
    }
    assert model_of(spec_of(PENDULUM)).describe()["actions"] == [[-2.0, 2.0]]


def test_policies_that_are_built_by_several_threads_at_once_are_those_that_one_builds() -> None:
    """In a new process, where the environments are not imported yet."""
    code = """
import threading
from concurrent.futures import ThreadPoolExecutor
from tests.worker.serving.test_policy_model import CARTPOLE, PENDULUM, model_of, spec_of
specs = [spec_of(CARTPOLE), spec_of(PENDULUM)] * 4
together = threading.Barrier(len(specs))

def build(spec):
    together.wait()
    return model_of(spec)

with ThreadPoolExecutor(len(specs)) as threads:
    models = list(threads.map(build, specs))
seen = {"CartPole-v1": [0.1, -0.2, 0.3, 0.4], "Pendulum-v1": [1.0, 0.0, 0.5]}
for spec, model in zip(specs, models):
    observation = seen[spec.task.gym.id]
    assert model.predict(observation) == model_of(spec).predict(observation)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])
