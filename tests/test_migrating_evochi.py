"""What docs/migrating.md shows and says of evochi is so."""

import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from germline.client import Client
from germline.client.views import Checkpoint
from master.gateways.evochi.config import _NOT_USED, EvochiConfig
from tests.pages import page
from tests.peers.evochi_peer import Peer

SECTION = page("docs/migrating.md").section("From evochi")
BIN = Path(sys.executable).parent
PATIENCE_S = 60.0


def shown(number: int) -> str:
    """The lines of a console block, as a script."""
    return re.sub(r"^\$ ", "", SECTION.blocks("console")[number], flags=re.MULTILINE)


@pytest.fixture
def master(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The first snippet, at work, on free ports: the addresses of master and gateway."""
    settings = {"GERMLINE_LISTEN": "localhost:0", "GERMLINE_METRICS_PORT": "-1"}
    variables = os.environ | settings | {"PATH": f"{BIN}:{os.environ['PATH']}"}
    first = (
        shown(0).replace("localhost:8080", "localhost:0").replace("germline master", "exec germline master")
    )
    log = tmp_path / "log"
    with log.open("w") as errors:
        process = subprocess.Popen(["bash", "-ec", first], stderr=errors, cwd=tmp_path, env=variables)
    try:
        time_up = time.monotonic() + PATIENCE_S
        while " serving on " not in log.read_text():
            assert time.monotonic() < time_up, log.read_text()
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        text = log.read_text()
        own, gateway = re.search(r"serving on (\S+),", text), re.search(r"clients of evochi on (\S+)", text)
        assert own
        assert gateway
        yield own[1], gateway[1]
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0


async def test_the_snippets_work_as_they_are_written(master: tuple[str, str], tmp_path: Path) -> None:
    own, gateway = master
    await Peer(gateway, cores=25).work()
    variables = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}", "GERMLINE_MASTER": own}
    second = subprocess.run(
        ["bash", "-ec", shown(1)], capture_output=True, text=True, env=variables, check=False
    )
    assert second.returncode == 0, second.stderr
    assert "evochi complete: 3,000 evaluations" in second.stdout
    scope: dict[str, object] = {}
    exec(SECTION.blocks("python")[0].replace("localhost:7700", own), scope)  # noqa: S102 - our own page
    kept = scope["kept"]
    assert isinstance(kept, Checkpoint)
    assert (kept.epoch, kept.data) == (60, b"60")
    await Peer(gateway, cores=25).work()
    with Client(own) as client:
        assert client.experiment("evochi").evaluations == 6_000
        assert client.experiment("evochi").state == "complete"


def test_the_table_of_variables_is_whole_and_says_the_defaults() -> None:
    rows = dict(re.findall(r"^\| (`EVOCHI_[^|]*?) \| [^|]* \| ([^|]*) \|$", SECTION.text, flags=re.MULTILINE))
    named = {name for row in rows for name in re.findall(r"`(EVOCHI_\w+)`", row)}
    ours = {field.name.upper(): field.default for field in dataclasses.fields(EvochiConfig)}
    assert named == set(ours) | set(_NOT_USED)
    for name in ("EVOCHI_WORKER_TIMEOUT", "EVOCHI_TASK_TIMEOUT", "EVOCHI_EXPERIMENT"):
        assert rows[f"`{name}`"].startswith(str(ours[name]))
    for name in _NOT_USED:
        assert next(text for row, text in rows.items() if name in row).startswith("not used")
