"""What `import germline` offers, and what it loads for it."""

import subprocess
import sys
from pathlib import Path

import pytest

import germline
from germline.client import Client
from germline.spec import SpecError

SPEC = 'name = "a"\n[task.gym]\nid = "CartPole-v1"\n[policy]\nname = "mlp"\n[algorithm.ga]\n'


def loaded_by(statement: str, package: str) -> bool:
    script = f"import sys, germline\n{statement}\nprint({package!r} in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.strip() == "True"


@pytest.mark.parametrize(
    "statement",
    ["", "dir(germline)", "germline.load", "germline.connect", "germline.GeneticAlgorithm", "germline.spec"],
)
def test_torch_is_loaded_by_those_alone_that_need_it(statement: str) -> None:
    assert not loaded_by(statement, "torch")


def test_the_package_alone_loads_nothing_of_others() -> None:
    assert not loaded_by("", "grpc")
    assert not loaded_by("", "numpy")


def test_eggroll_loads_torch() -> None:
    assert loaded_by("germline.eggroll", "torch")


def test_every_name_that_is_offered_is_there() -> None:
    for name in germline.__all__:
        assert getattr(germline, name) is not None
        assert name in dir(germline)


def test_a_name_that_is_none_is_refused_with_those_that_are() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'laod'; it has .*load"):
        germline.laod  # noqa: B018 - the point


def test_a_client_reads_what_is_not_given_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GERMLINE_MASTER", "there:1")
    monkeypatch.setenv("GERMLINE_TOKEN", "ours")
    with germline.connect() as client:
        assert isinstance(client, Client)
        assert client.address == "there:1"
    with germline.connect("here:2", token="other") as client:  # noqa: S106 - no secret
        assert client.address == "here:2"
    with pytest.raises(ValueError, match="nowhere"):
        germline.connect("nowhere")


def test_a_spec_is_loaded_from_its_text_or_its_file_and_errors_say_which(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text(SPEC)
    assert germline.spec.load(SPEC) == germline.spec.load(file) == germline.spec.load(str(file))
    with pytest.raises(SpecError, match=r"the text of the spec: policy\.nme is unknown"):
        germline.spec.load(SPEC.replace('name = "mlp"', 'name = "mlp"\nnme = 1'))
    file.write_text(SPEC.replace('name = "mlp"', 'name = "mlp"\nnme = 1'))
    with pytest.raises(SpecError, match=r"a\.toml: policy\.nme is unknown"):
        germline.spec.load(str(file))
    with pytest.raises(FileNotFoundError, match=r"missing\.toml"):
        germline.spec.load("missing.toml")
