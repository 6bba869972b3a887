"""What is deleted of a run that is over, and what stays."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from germline.cli.app import run
from germline.cli.folder import RunFolder


@pytest.fixture
def over(archived: str) -> Path:
    folder = Path(archived)
    for part in ("store", "logs"):
        (folder / part).mkdir()
        (folder / part / "file").write_bytes(b"x" * 1000)
    (folder / "token").write_text("secret")
    (folder / "lock").touch()
    return folder


def test_nothing_is_deleted_without_a_word(over: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["clean", str(over)]) == 0
    said = capsys.readouterr().out
    assert f"would delete {over / 'store'}" in said
    assert "do it with --yes" in said
    assert (over / "store" / "file").exists()


def test_the_journal_and_the_logs_go_and_what_people_ask_for_stays(
    over: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["clean", str(over), "--yes", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["deleted"], said["bytes"]) == (True, 2006)
    assert not any((over / part).exists() for part in ("store", "logs", "token"))
    assert run(["status", "--run", str(over), "--json"]) == 0
    assert (over / "champion.toml").exists()


def test_everything_is_the_folder(over: Path) -> None:
    assert run(["clean", str(over), "--everything", "--yes"]) == 0
    assert not over.exists()


def test_a_folder_that_is_none_of_a_run_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    assert run(["clean", str(tmp_path / "mine"), "--everything", "--yes"]) == 2
    assert "is no folder of a run" in capsys.readouterr().err
    assert (tmp_path / "mine").exists()


def test_a_run_that_goes_on_is_left_alone(over: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (over / "spec.toml").unlink(missing_ok=True)
    with RunFolder(over).locked():
        assert run(["clean", str(over), "--yes"]) == 4
    assert "is in use; end its run first" in capsys.readouterr().err
    assert (over / "store").exists()


def test_the_version_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"germline {version('germline')}\n"


def test_shells_complete_the_commands() -> None:
    script = "from germline.cli import main; main()"
    variables = {"_GERMLINE_COMPLETE": "complete_bash", "COMP_WORDS": "germline comp", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=variables, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["compare"], done.stderr
