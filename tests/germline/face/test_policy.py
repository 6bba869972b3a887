"""A policy in a person's own program: it plays as the command line says that it does."""

import json
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

import germline
from germline.card import PolicyCard, parse_card, write_card
from germline.eggroll import Evolution, Settings, centre_file
from germline.genome import Genome, Mutation, float32, format_id
from germline.spec import loads
from worker.networks.policies.build import make_policy
from worker.tasks.gym import GymTask

GENOME = Genome.founder(1).child(Mutation(2, float32(0.5))).child(Mutation(3, float32(0.5)))
CARTPOLE: dict[str, object] = {"gym": {"id": "CartPole-v1"}}


@pytest.fixture
def card(tmp_path: Path) -> Path:
    return written(tmp_path / "card.toml", CARTPOLE, "mlp")


def written(path: Path, task: dict[str, object], policy: str) -> Path:
    path.write_text(write_card(PolicyCard(task, {"name": policy}, "float32", GENOME)))  # type: ignore[arg-type]
    return path


def played_by_hand(policy: germline.Policy, id: str, seed: int) -> float:
    """One episode as a person would write it."""
    environment = gymnasium.make(id)
    seen, _ = environment.reset(seed=seed)
    policy.reset()
    total, over = 0.0, False
    while not over:
        seen, reward, terminated, truncated, _ = environment.step(policy.act(seen))
        total, over = total + float(reward), terminated or truncated
    environment.close()
    return total


def test_who_acts_by_hand_gets_the_returns_of_an_evaluation(card: Path) -> None:
    from germline.cli.playing import fresh_seeds  # noqa: PLC0415 - names the episodes

    policy = germline.load(card, device="cpu")
    evaluated = policy.evaluate(3, seed=5)
    by_hand = [played_by_hand(policy, "CartPole-v1", seed % (2**31 - 1)) for seed in fresh_seeds(5, 3)]
    assert list(evaluated.returns) == by_hand
    assert evaluated.mean == pytest.approx(np.mean(by_hand))
    assert evaluated.interval is not None
    assert evaluated.interval[0] <= evaluated.mean <= evaluated.interval[1]


def test_a_policy_that_remembers_does_so_until_it_is_reset(tmp_path: Path) -> None:
    path = written(tmp_path / "card.toml", CARTPOLE, "worker.networks.policies.gru:Gru")
    policy = germline.load(path, device="cpu")
    assert played_by_hand(policy, "CartPole-v1", 3) == played_by_hand(policy, "CartPole-v1", 3)


def test_continuous_actions_come_in_the_environments_shape(tmp_path: Path) -> None:
    policy = germline.load(
        written(tmp_path / "card.toml", {"gym": {"id": "Pendulum-v1"}}, "mlp"), device="cpu"
    )
    action = policy.act(np.array([1.0, 0.0, 0.0]))
    assert isinstance(action, np.ndarray)
    assert gymnasium.make("Pendulum-v1").action_space.contains(action)


def test_the_network_is_a_plain_module_with_the_weights_of_the_seeds(card: Path) -> None:
    policy = germline.load(str(card))
    assert policy.genome == GENOME
    assert policy.name == format_id(GENOME.id)
    assert isinstance(policy.network, nn.Module)
    assert not policy.network.training
    assert {name: value.shape for name, value in policy.weights.items()} == {
        name: tuple(value.shape) for name, value in policy.network.named_parameters()
    }
    with torch.no_grad():
        answers = policy.network(torch.tensor([[0.1, 0.2, 0.3, 0.4]]))
    assert policy.act([0.1, 0.2, 0.3, 0.4]) == int(answers.argmax())


def test_an_exported_file_is_the_same_policy_and_says_how_to_build_its_network(
    card: Path, tmp_path: Path
) -> None:
    policy = germline.load(card, device="cpu")
    file = tmp_path / "policy.safetensors"
    policy.save(file)
    again = germline.load(file, device="cpu")
    assert (again.genome, again.spec) == (GENOME, policy.spec)
    assert again.evaluate(2).returns == policy.evaluate(2).returns
    with safe_open(file, "pt") as stored:
        said = json.loads(stored.metadata()["network"])
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - no mapping
    assert said["class"] == "worker.networks.policies.mlp:Mlp"
    assert said["arguments"] == {"observation_shape": [4], "outputs": 2}
    assert (said["activation"], said["preprocessing"]) == ("tanh", "none")
    by_hand = nn.Sequential()
    for layer in said["layers"]:
        built = eval(layer["module"], {"Linear": nn.Linear})  # noqa: S307 - our own words
        built.load_state_dict({part: tensors[f"{layer['name']}.{part}"] for part in ("weight", "bias")})
        by_hand.extend([built, nn.Tanh()])
    by_hand.pop(-1)
    seen = torch.tensor([[0.1, -0.2, 0.3, -0.4]])
    assert torch.allclose(by_hand(seen), policy.network(seen))


def test_a_centre_is_a_policy_too(tmp_path: Path) -> None:
    spec = loads(
        'name = "a"\n[task.gym]\nid = "CartPole-v1"\n[policy]\nname = "mlp"\n[algorithm.eggroll]\npairs = 2\n'
    )
    network = make_policy("mlp", GymTask(id="CartPole-v1"))
    evolution = Evolution(network, Settings(seed=1, pairs=2))
    file = tmp_path / "centre.safetensors"
    from germline.cli.policies import write_centre  # noqa: PLC0415 - what `germline export` calls

    write_centre(spec, centre_file.write(evolution), file)
    policy = germline.load(file, device="cpu")
    assert policy.genome is None
    assert policy.act([0.0, 0.1, 0.0, 0.1]) in (0, 1)
    assert len(policy.evaluate(2).returns) == 2
    policy.save(tmp_path / "again.safetensors")
    assert json.loads(centre_file.note((tmp_path / "again.safetensors").read_bytes(), "network") or "")
    with pytest.raises(germline.GermlineError, match=r"a centre, which no card can spell"):
        policy.save(tmp_path / "again.toml")


def test_a_card_is_saved_as_a_card(card: Path, tmp_path: Path) -> None:
    germline.load(card).save(tmp_path / "copy.toml")
    assert parse_card((tmp_path / "copy.toml").read_text()).genome == GENOME


def test_a_runs_folder_is_its_champion(card: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "champion.toml").write_text(card.read_text())
    assert germline.load(folder).genome == GENOME


def test_an_episode_is_filmed(tmp_path: Path) -> None:
    path = written(tmp_path / "card.toml", {"atari": {"game": "pong", "max_frames": 40}}, "motion")
    film = tmp_path / "film.mp4"
    policy = germline.load(path, device="cpu")
    assert policy.record(film, seed=2) == policy.evaluate(1, seed=2).returns[0]
    assert film.read_bytes()[4:8] == b"ftyp"
    with pytest.raises(germline.GermlineError, match="is there already"):
        policy.record(film)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("missing.toml", None, "is no file; allowed: a policy card"),
        ("a.toml", "card = 9", "card is 9"),
        ("a.safetensors", "xx", "no centre"),
        ("empty", "folder", "holds no champion"),
    ],
)
def test_what_is_no_policy_is_refused_with_its_name(
    tmp_path: Path, name: str, content: str | None, sentence: str
) -> None:
    path = tmp_path / name
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_text(content)
    with pytest.raises(germline.GermlineError, match=sentence) as told:
        germline.load(path)
    assert str(path) in str(told.value)


def test_what_is_no_observation_is_refused(card: Path) -> None:
    policy = germline.load(card, device="cpu")
    with pytest.raises(ValueError, match=r"has shape \(3,\); allowed: \(4,\)"):
        policy.act([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="none of the task's"):
        policy.act("left")
    with pytest.raises(germline.GermlineError, match="episodes is 0; allowed: 1 or more"):
        policy.evaluate(0)


def test_a_function_has_nothing_to_act_on_and_still_has_weights(tmp_path: Path) -> None:
    task = {"function": {"path": "worker.tasks.function:noisy_sphere", "dimension": 3}}
    policy = germline.load(written(tmp_path / "card.toml", dict(task), "vector"))
    assert policy.weights["vector"].shape == (3,)
    assert len(policy.evaluate(4).returns) == 4
    with pytest.raises(germline.GermlineError, match="nothing to act on"):
        policy.act([1.0])


def test_an_experiment_is_named_for_a_master_and_for_nothing_else(card: Path) -> None:
    with pytest.raises(germline.GermlineError, match=r"experiment is 'pong'; allowed: None, unless"):
        germline.load(card, "pong")
