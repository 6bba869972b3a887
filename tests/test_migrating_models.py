"""What docs/migrating.md shows and says of crunchdao's model-runner is so."""

import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from germline.models import AsyncModels, Models
from germline.models.answers import Status
from tests.pages import page
from tests.peers.model_runner import card, client_python
from worker.serving.policy import PolicyModel

SECTION = page("docs/migrating.md").section("From crunchdao's model-runner")
GERMLINE = "from germline.cli import main; main()"


@pytest.fixture
def port(tmp_path: Path) -> Iterator[str]:
    """What the page says is started, on a free port."""
    (line,) = re.findall(r"^\$ germline (serve .*)$", SECTION.text, re.MULTILINE)
    words = shlex.split(line.replace("localhost:9091", "localhost:0"), comments=True)
    (tmp_path / "runs" / "balance").mkdir(parents=True)
    card(tmp_path / "runs" / "balance" / "champion.toml", "balance")
    command = [sys.executable, "-c", GERMLINE, *words, "--device", "cpu", "--json"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        listen: str = json.loads(process.stdout.readline())["listen"]
        yield listen.rpartition(":")[2]
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        process.communicate()


@pytest.mark.slow
def test_both_snippets_get_the_action_of_the_champion_that_is_served_as_shown(
    port: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = tmp_path / "coordinator.py"
    theirs.write_text(SECTION.block("python", "model_runner_client").replace("9091", port))
    said = subprocess.check_output([client_python(), str(theirs)], text=True, timeout=60)
    assert re.fullmatch(r"balance SUCCESS [01]\n", said)
    exec(SECTION.block("python", "germline.models").replace("9091", port), {})  # noqa: S102 - our own page
    assert capsys.readouterr().out == said.replace("SUCCESS", "ok")


def test_the_names_on_the_page_are_those_of_the_code() -> None:
    statuses = ", ".join(status.value for status in Status)
    assert f"| {statuses} |" in SECTION.text
    for name in ("call", "call_each", "report"):
        assert f"models.{name}(" in SECTION.text
        assert callable(getattr(Models, name))
        assert callable(getattr(AsyncModels, name))
    for name in ("act", "tick", "predict"):
        assert f"`{name}`" in SECTION.text
        assert callable(getattr(PolicyModel, name))
