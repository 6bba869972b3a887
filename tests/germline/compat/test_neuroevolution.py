"""Seeds of cshenton/neuroevolution become the weights that they are there, and a policy to play."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from germline.cli.app import run
from germline.compat.neuroevolution import inputs_first, read_seeds, weights_of

SPEC = """
name = "balance"
[task.gym]
id = "CartPole-v1"
[policy]
name = "mlp"
hidden = [3]
[algorithm.ga]
"""
SEEDS = [3735928559, 0, 2**32 - 1]


def as_there(
    inits: list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]], seeds: list[int], strength: float
) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    """One number after the other, and one rounding for each addition."""
    streams = [np.random.RandomState(seed) for seed in seeds]
    made = []
    for init in inits:
        draws = [strength * stream.standard_normal(init.size) for stream in streams]
        flat = [np.float32(value) for value in init.ravel()]
        for draw in draws:
            flat = [np.float32(float(value) + noise) for value, noise in zip(flat, draw, strict=True)]
        made.append(np.array(flat, np.float32).reshape(init.shape))
    return made


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "balance.toml"
    path.write_text(SPEC)
    return path


def test_weights_are_those_of_numpys_own_generators_layer_after_layer() -> None:
    inits = [np.full((2, 2, 3, 4), 0.1, np.float32), np.ones((5, 2), np.float32)]
    made = weights_of(inits, SEEDS, 0.005)
    for ours, theirs in zip(made, as_there(inits, SEEDS, 0.005), strict=True):
        assert ours.dtype == np.float32
        assert np.array_equal(ours, theirs)
    assert np.array_equal(inits[1], np.ones((5, 2)))
    assert np.array_equal(weights_of(inits, [], 1.0)[0], inits[0])
    golden = weights_of([np.zeros(2, np.float32)], [1234], 1.0)[0]
    assert golden.tolist() == [np.float32(0.47143516373249306), np.float32(-1.1909756947064645)]


def test_seeds_are_read_as_they_are_pasted() -> None:
    assert read_seeds(" [3735928559, 0\n4294967295] ") == SEEDS
    assert read_seeds("7") == [7]
    for wrong, said in (("1 -2", "seed 2 is '-2'"), ("1 4294967296", "seed 2 is"), ("", "seed 1 is ''")):
        with pytest.raises(ValueError, match=said):
            read_seeds(wrong)


def test_axes_are_turned_so_that_inputs_come_first() -> None:
    assert [inputs_first(shape) for shape in ((16, 3, 8, 4), (256, 100), (5,))] == [
        (2, 3, 1, 0),
        (1, 0),
        (0,),
    ]


def test_a_policy_of_pasted_seeds_is_played_and_written_and_other_commands_take_it(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inits = [np.full(s, 0.1, np.float32) for s in ((4, 3), (3,), (3, 2), (2,))]
    np.savez("inits.npz", *inits)
    words = ["import-seeds", str(spec), "--seeds", "3735928559, 0, 4294967295", "--strength", "0.05"]
    words += ["--init", "inits.npz", "--episodes", "3", "-o", "p.safetensors", "--json"]
    assert run(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["returns"]) == 3
    written = [value for _, value in sorted(load_file("p.safetensors").items())]
    expected = [layer.transpose() for layer in as_there(inits, SEEDS, 0.05)]
    assert sorted(map(_key, written)) == sorted(map(_key, expected))
    assert run(["evaluate", "p.safetensors", "--episodes", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["returns"] == told["returns"]
    assert run([*words[:-1], "--force"]) == 0
    assert "the policy of 3 seeds: mean" in capsys.readouterr().out


def test_an_episode_is_filmed_if_somebody_wants_it(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("imageio_ffmpeg")
    pong = SPEC.replace("gym", "atari").replace('id = "CartPole-v1"', 'game = "pong"\nmax_frames = 400')
    spec.write_text(pong.replace('"mlp"\nhidden = [3]', '"linear"'))
    assert run(["import-seeds", str(spec), "--seeds", "1 2", "--episodes", "1", "--video", "p.mp4"]) == 0
    assert "wrote imported.safetensors and p.mp4; the weights have digest" in capsys.readouterr().out
    assert Path("p.mp4").stat().st_size > 1_000


def _key(layer: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> tuple[tuple[int, ...], list[float]]:
    return layer.shape, layer.ravel().tolist()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seeds", "12 x"], "seed 2 is 'x'"),
        (["--seeds", "12", "--init", "wrong.npz"], "has layers of shapes [(2,)]"),
        (["--seeds", "12", "--init", "balance.toml"], "balance.toml is no file that numpy.savez("),
        (["--seeds", "12", "--init", "cut.npz"], "cut.npz is no file that numpy.savez("),
        (["--seeds", "12", "--init", "nan.npz"], "nan.npz has numbers in layer 1 that are not finite"),
        (["--seeds", "9" * 5_000], "seed 1 is '9999999999999999999999999999999999999999'; allowed: 0 to"),
        (["--seeds", "12", "--strength", "inf"], "strength is inf; allowed: finite, 0 or more"),
        (["--seeds", "12", "-o", "weights.pt"], "does not end with .safetensors"),
        (["--seeds", "12", "--strength", "-1"], "greater than or equal to 0"),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    spec: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez("wrong.npz", np.zeros(2, np.float32))
    layers = [np.full(s, 0.1, np.float32) for s in ((4, 3), (3,), (3, 2), (2,))]
    layers[1][0] = np.nan
    np.savez("nan.npz", *layers)
    Path("cut.npz").write_bytes(Path("nan.npz").read_bytes()[:-40])
    assert run(["import-seeds", str(spec), *words]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not list(spec.parent.glob("*.safetensors"))
