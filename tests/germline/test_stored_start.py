"""Stored weights are named by a digest, hold nothing but the network, and are one founder's alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from germline import stored_start, weights
from germline.genome import Genome
from germline.spec import SpecError, complete, loads, to_toml
from germline.spec import load as load_spec
from germline.stored_start import StartError

WEIGHTS = {"0.weight": torch.arange(6.0).reshape(2, 3), "0.bias": torch.tensor([7.0, 8.0])}
OTHERS = {"moment:first": torch.zeros(8), "buffer": torch.ones(2, dtype=torch.float64)}
START = stored_start.of_weights(save(WEIGHTS))
SPEC = """
name = "found"
[task.gym]
id = "CartPole-v1"
[policy]
name = "linear"
start = "{start}"
[algorithm.{algorithm}]
"""


def written(folder: Path, algorithm: str = "ga", start: str = "centre.safetensors") -> Path:
    """A spec beside a centre's file, with what its optimiser remembers."""
    (folder / "centre.safetensors").write_bytes(save(WEIGHTS | OTHERS, {"epoch": "3"}))
    path = folder / "found.toml"
    path.write_text(SPEC.format(start=start, algorithm=algorithm))
    return path


def test_only_the_networks_weights_are_kept_and_equal_weights_have_one_digest() -> None:
    turned = dict(reversed([*(WEIGHTS | OTHERS).items()]))
    assert stored_start.of_weights(save(turned, {"epoch": "3"})) == START
    assert {name: value.tolist() for name, value in load(START).items()} == {
        name: value.tolist() for name, value in WEIGHTS.items()
    }
    other = {**WEIGHTS, "0.bias": torch.tensor([7.0, 8.5])}
    assert stored_start.digest_of(stored_start.of_weights(save(other))) != stored_start.digest_of(START)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no weights",
        save(OTHERS),
        save(WEIGHTS)[:60],
        b"\xff" * 8 + save(WEIGHTS),
        save(WEIGHTS).replace(b'"data_offsets":[0', b'"data_offsets":[9'),
    ],
)
def test_what_holds_no_weights_is_refused(data: bytes) -> None:
    with pytest.raises(StartError, match="bytes"):
        stored_start.of_weights(data)


def test_too_many_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_start, "MOST_BYTES", len(START) - 1)
    with pytest.raises(StartError, match=f"allowed: {len(START) - 1}"):
        stored_start.of_weights(save(WEIGHTS))


def test_weights_that_lie_beside_a_card_are_found_unless_they_are_damaged(tmp_path: Path) -> None:
    start = stored_start.of_weights(save({"0.weight": torch.full((1, 1), 41.0)}))
    digest = stored_start.digest_of(start)
    file = tmp_path / stored_start.file_name(digest)
    with pytest.raises(StartError, match="not at hand"):
        stored_start.get(digest)
    file.write_bytes(start[:-1] + b"\x01")
    with pytest.raises(StartError, match="damaged"):
        stored_start.look_in(tmp_path, digest)
    file.write_bytes(start)
    stored_start.look_in(tmp_path, digest)
    assert stored_start.get(digest) == start


def test_a_founder_has_the_stored_weights_bit_for_bit_and_no_other_seed_means_anything() -> None:
    network = nn.Sequential(nn.Linear(3, 2))
    weights.start_from(network, 77, load(START))
    layout = weights.Layout.of(network)
    flat = torch.full((layout.size,), float("nan"))
    weights.rebuild(Genome.founder(77), layout, flat)
    assert flat.tolist() == [*range(6), 7.0, 8.0]
    with pytest.raises(ValueError, match="init_seed is 78; allowed: 77"):
        weights.rebuild(Genome.founder(78), layout, flat)


@pytest.mark.parametrize("network", [nn.Sequential(nn.Linear(4, 2)), nn.Linear(3, 2)])
def test_weights_of_another_network_are_refused_by_the_parameters_name(network: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"parameter (0\.)?weight is "):
        weights.start_from(network, 77, load(START))


def test_a_file_is_found_from_the_specs_folder_and_its_digest_travels(tmp_path: Path) -> None:
    spec = load_spec(written(tmp_path))
    assert spec.policy.start == stored_start.digest_of(START)
    assert stored_start.get(spec.policy.start) == START
    assert loads(to_toml(spec)) == spec == complete(spec)


def test_a_file_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"policy\.start is 'nothing\.safetensors': .*No such file"):
        load_spec(written(tmp_path, start="nothing.safetensors"))
    with pytest.raises(SpecError, match=r"policy\.start .*allowed: text that matches"):
        load_spec(written(tmp_path, start="champion.toml"))


@pytest.mark.parametrize(
    ("algorithm", "problem"),
    [
        ("eggroll", r"policy\.start .*allowed: none but for"),
        ("ga]\nfounders = 5\n[stop", r"algorithm\.ga\.founders is 5; allowed: none, or 1"),
        ("ga]\nparents = 0\n[stop", r"algorithm\.ga\.parents is 0; allowed: 1 or more"),
    ],
)
def test_stored_weights_are_the_only_founder_and_are_bred_from(
    tmp_path: Path, algorithm: str, problem: str
) -> None:
    with pytest.raises(SpecError, match=problem):
        load_spec(written(tmp_path, algorithm))
