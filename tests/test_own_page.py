"""What docs/own.md shows works as it is written."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pages import ROOT, page

PAGE = page("docs/own.md")
BIN = Path(sys.executable).parent
PATIENCE_S = 60.0
(CLASS,) = PAGE.blocks("python")
START, SUBMIT, WATCH = PAGE.commands()
(WORKER,) = (line.strip() for line in PAGE.blocks("text"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a reader would stand: with the class of the page in a file, and the specs beside it."""
    (tmp_path / "sphere.py").write_text(CLASS)
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    return tmp_path


@pytest.fixture
def master(folder: Path) -> Iterator[str]:
    """The first command, on a free port."""
    variables = os.environ | {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "GERMLINE_LISTEN": "localhost:0",
        "GERMLINE_METRICS_PORT": "-1",
    }
    log = folder / "log"
    with log.open("w") as errors:
        process = subprocess.Popen(START.split(), stderr=errors, cwd=folder, env=variables)
    try:
        time_up = time.monotonic() + PATIENCE_S
        while not (found := re.search(r" serving on (\S+),", log.read_text())):
            assert time.monotonic() < time_up, log.read_text()
            time.sleep(0.05)
        yield found[1]
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0


def test_the_class_is_as_short_as_the_page_promises() -> None:
    assert len(CLASS.splitlines()) <= 32


def test_the_commands_train_the_class_of_the_page(master: str, folder: Path) -> None:
    submit, worker, watch = (command.replace("localhost:7700", master) for command in (SUBMIT, WORKER, WATCH))
    variables = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}", "GERMLINE_MASTER": master}
    done = subprocess.run(
        ["bash", "-ec", f"{submit}; {worker} & {worker} & {watch}; wait"],
        capture_output=True, text=True, cwd=folder, env=variables, check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "own-sphere complete: 30 evaluations" in done.stdout
    assert "Traceback" not in done.stderr
