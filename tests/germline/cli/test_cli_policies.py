"""Commands that play, film, pack and trace one policy, on a card and on what a run left behind."""

import json
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from germline.card import PolicyCard, Score, parse_card, write_card
from germline.cli import cards, playing
from germline.cli.app import run
from germline.client import Experiment, Individual
from germline.genome import Genome, Mutation, float32, format_id
from germline.spec import loads
from germline.toml import Table
from germline.v1 import experiment_pb2
from germline.weights import Layout, rebuild
from worker.networks.policies.build import make_policy
from worker.networks.policies.motion import Motion
from worker.playing.engine_builder import engine_settings
from worker.playing.kernel_family import kernel_family
from worker.tasks.gym import GymTask

GENOME = Genome.founder(1).child(Mutation(2, float32(0.02))).child(Mutation(3, float32(0.02)))


def said_json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    return said


def test_a_card_plays_the_same_episodes_again(card: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["evaluate", card, "--episodes", "3", "--device", "cpu", "--json"]
    assert run(command) == 0
    first = said_json(capsys)
    assert run(command) == 0
    assert said_json(capsys) == first
    assert first["id"] == format_id(GENOME.id)
    assert len(first["returns"]) == first["episodes"] == 3
    assert first["interval"][0] <= first["mean"] == sum(first["returns"]) / 3 <= first["interval"][1]


def test_a_film_shows_the_episode_that_an_evaluation_plays(
    card: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["evaluate", card, "--episodes", "1", "--seed", "5", "--device", "cpu", "--json"]) == 0
    played = said_json(capsys)
    film = tmp_path / "film.mp4"
    assert run(["record", card, "--seed", "5", "--device", "cpu", "--json", "--output", str(film)]) == 0
    shot = said_json(capsys)
    assert shot["return"] == played["returns"][0]
    assert shot["pictures"] == 101, "one of the start, and one for each of 100 steps of 4 frames"
    assert film.read_bytes()[4:8] == b"ftyp"
    assert next(imageio_ffmpeg.read_frames(str(film)))["fps"] == 15.0, "60 frames a second, 4 to a step"


def test_exported_weights_are_those_of_the_seeds(
    card: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "weights.safetensors"
    assert run(["export", card, "--output", str(target), "--json"]) == 0
    digest = said_json(capsys)["digest"]
    layout = Layout.of(Motion(observation_shape=(4, 84, 84), outputs=6))
    flat = torch.zeros(layout.size)
    rebuild(GENOME, layout, flat)
    with safe_open(target, "pt") as stored:
        said = stored.metadata()
        assert (said["id"], said["digest"], said["policy"]) == (format_id(GENOME.id), digest, "motion")
        assert parse_card(said["card"]).genome == GENOME
        for name, view in layout.named_views(flat).items():
            assert torch.equal(stored.get_tensor(name), view)
    assert parse_card(target.with_suffix(".toml").read_text()).genome == GENOME


class Whole(nn.Module):
    """A network that is more than what evolves: tied and frozen weights, and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again, self.frozen = (nn.Linear(4, 4) for _ in range(3))
        self.again.weight = self.first.weight
        self.frozen.requires_grad_(False)
        self.register_buffer("shift", torch.randn(4))
        self.head = nn.Linear(4, 2)

    def forward(self, observations: Tensor) -> Tensor:
        hidden = self.again(self.first(observations + self.get_buffer("shift")).tanh())
        answer: Tensor = self.head(self.frozen(hidden).tanh())
        return answer


def test_an_exported_network_can_be_loaded_whole(tmp_path: Path) -> None:
    path, target = tmp_path / "whole.toml", tmp_path / "weights.safetensors"
    task: dict[str, Any] = {"gym": {"id": "CartPole-v1"}}
    path.write_text(write_card(PolicyCard(task, {"name": f"{__name__}:Whole"}, "float32", GENOME)))
    assert run(["export", str(path), "--output", str(target)]) == 0
    loaded = Whole()
    loaded.load_state_dict(load_file(target))
    policy = make_policy(f"{__name__}:Whole", GymTask(id="CartPole-v1"))
    layout = Layout.of(policy)
    flat = torch.zeros(layout.size)
    rebuild(GENOME, layout, flat)
    layout.write(flat, policy)
    seen = torch.linspace(-1, 1, 8).view(2, 4)
    assert torch.equal(loaded(seen), policy(seen))


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("mutations = 2", "mutations = 3", "genome.mutations is 3"),
        ('name = "motion"', 'name = "motino"', "policy.name is 'motino'; allowed: "),
        ('name = "motion"', 'name = "os:system"', "policy.name is 'os:system'; os is a part of Python"),
        ('game = "pong"', 'gmae = "pong"', "task.atari.gmae is unknown; did you mean 'game'?"),
        ("card = 3", "card = ", "is not TOML"),
    ],
)
def test_a_spoiled_card_is_refused_by_field(
    card: str, capsys: pytest.CaptureFixture[str], before: str, after: str, sentence: str
) -> None:
    Path(card).write_text(Path(card).read_text().replace(before, after))
    assert run(["evaluate", card, "--episodes", "1", "--device", "cpu"]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("mutation", ["", 'mutation = "low_rank"\nrank = 2'])
def test_a_card_keeps_all_that_shapes_the_arithmetic_of_play(mutation: str, tmp_path: Path) -> None:
    spec = loads(
        'name = "cart"\n[task.gym]\nid = "CartPole-v1"\narguments = {level = "7", size = 7}\n'
        '[policy]\nname = "mlp"\nhidden = [8]\n[evaluation]\nepisodes = 4\nprecision = "bfloat16"\n'
        f"[algorithm.ga]\n{mutation}\n"
    )
    experiment = Experiment.of(experiment_pb2.Experiment(spec=spec, kernels=["01ab23cd", "11111111"]))
    best = Individual(GENOME.id, 1.0, 2, 1.5, 4, 0.5, GENOME)
    cards.save(tmp_path / "card.toml", cards.card_of(experiment, best))

    again = cards.of_file(tmp_path / "card.toml")
    assert engine_settings(again.spec) == engine_settings(spec)
    assert again.kernels == ("01ab23cd", "11111111")


@pytest.mark.parametrize(
    ("precision", "family", "remark"),
    [
        ("float32", "00000000", "the score was played by kernels of family 00000000, here plays "),
        ("float32", "", ""),
        ("int8", "00000000", ""),
    ],
    ids=["other kernels", "the same kernels", "kernels do not matter"],
)
def test_an_evaluation_says_whether_other_kernels_played_the_score(
    precision: str, family: str, remark: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = kernel_family(torch.device("cpu"), "float32")
    score = Score(1.0, 3, kernels=(family or here,))
    short: Table = {"atari": {"game": "pong", "max_frames": 8}}
    path = tmp_path / "card.toml"
    path.write_text(write_card(PolicyCard(short, {"name": "motion"}, precision, GENOME, score)))

    assert run(["evaluate", str(path), "--episodes", "1", "--device", "cpu"]) == 0
    assert (remark in capsys.readouterr().err) if remark else not capsys.readouterr().err
    assert run(["evaluate", str(path), "--episodes", "1", "--device", "cpu", "--json"]) == 0
    said = said_json(capsys)
    assert said["score_kernels"] == [family or here]
    assert said["kernels"] == (None if precision == "int8" else here)


def test_a_card_and_a_run_at_once_are_refused(card: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", card, "--run", "runs/pong"]) == 2
    assert "it is all there" in capsys.readouterr().err


def test_a_lineage_is_drawn_and_written(archived: str, capsys: pytest.CaptureFixture[str]) -> None:
    young = GENOME.child(Mutation(8, float32(0.02)))
    assert run(["lineage", format_id(young.id), "--run", archived]) == 0
    drawn = capsys.readouterr().out
    assert format_id(young.id) in drawn
    assert "founder" in drawn
    assert run(["lineage", format_id(young.id), "--run", archived, "--form", "newick"]) == 0
    assert f"{format_id(young.id)}:1" in capsys.readouterr().out
    assert run(["lineage", format_id(young.id), "--run", archived, "--json"]) == 0
    told = said_json(capsys)
    assert told["line"] == [format_id(ancestor) for ancestor in young.ancestor_ids()]
    assert {node["id"] for node in told["nodes"]} >= {format_id(young.id), format_id(GENOME.id)}


def test_an_unknown_individual_is_named(archived: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lineage", "0123456789abcdef", "--run", archived]) == 4
    assert "0123456789abcdef" in capsys.readouterr().err
    assert run(["lineage", "xyz", "--run", archived]) == 2
    assert "16 hexadecimal digits" in capsys.readouterr().err


def test_the_champion_of_a_folder_is_a_card(archived: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["champion", "--run", archived, "--card"]) == 0
    card = parse_card(capsys.readouterr().out)
    assert card.genome == GENOME.parent()
    assert card.score is not None
    assert (card.score.mean, card.score.interval, card.experiment) == (1.5, (1.0, 2.0), "pong")


@pytest.mark.parametrize(
    "command", ["status", "champion", "plot", "lineage --experiment", "export --experiment"]
)
def test_a_folder_answers_for_its_own_experiment_only(
    command: str, archived: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*command.split(), "nonsense", "--run", archived]) == 4
    assert f"{archived} holds the run of 'pong', and none of 'nonsense'" in capsys.readouterr().err


def impatient(weights: object, seed: int) -> float:
    """A function in whose midst somebody presses Ctrl-C."""
    raise KeyboardInterrupt


def test_ctrl_c_in_the_midst_of_a_tasks_own_code_ends_the_command_and_is_no_failed_episode() -> None:
    task = f'[task.function]\npath = "{__name__}:impatient"\ndimension = 2\n'
    spec = loads(f'name = "x"\n{task}[policy]\nname = "vector"\n[algorithm.ga]\n')
    with pytest.raises(KeyboardInterrupt):
        list(playing.play(spec, GENOME, (1,), "cpu"))
