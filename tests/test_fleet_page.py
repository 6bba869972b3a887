"""What docs/guides/fleet.md shows works as it is written: a fleet that is encrypted and asks for tokens."""

import contextlib
import os
import re
import shlex
import shutil
import socket
import subprocess
import sysconfig
import time
from pathlib import Path

import pytest

from germline.ports import free_port
from tests.pages import page

PAGE = page("docs/guides/fleet.md")
SCRIPTS = sysconfig.get_path("scripts")
SHORT = """
name = "frostbite-ga"
[task.function]
path = "worker.tasks.function:noisy_sphere"
[policy]
name = "vector"
[algorithm.ga]
window = 10
parents = 2
candidates = 0
[stop]
frames = 20
"""


SERVICES = ("master", "worker")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the page's tokens come from openssl")
def test_a_fleet_is_made_watched_extended_and_forgotten_by_the_commands_that_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they are written, but for the master's address and folder, and for how long the spec plays."""
    pytest.importorskip("cryptography", reason="pip install 'germline[certificates]'")
    for name in [name for name in os.environ if name.startswith("GERMLINE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "frostbite-ga.toml").write_text(SHORT)
    monkeypatch.setenv("PATH", f"{SCRIPTS}:{os.environ['PATH']}")
    monkeypatch.setenv("GERMLINE_METRICS_PORT", "-1")
    port = free_port()
    said = []
    with contextlib.ExitStack() as fleet:
        for line in PAGE.commands():
            here = (
                line.replace("master-host", "localhost").replace("/data/", "data/").replace("7700", str(port))
            )
            program, *words = shlex.split(here)
            if program == "export":
                for word in words:
                    monkeypatch.setenv(*word.split("=", 1))
            elif words[0] in SERVICES:
                fleet.callback(leave, subprocess.Popen(f"exec {here}", shell=True))  # noqa: S602
                wait_for_port(port)
            else:
                said.append(subprocess.check_output(here, shell=True, text=True))  # noqa: S602 - our own
    made, listed, seen, submitted, watched, *published, extended, stopped, kept, deleted = filter(None, said)
    assert made.startswith("wrote ca.pem, server.pem")
    assert listed == f"no experiment on localhost:{port} yet\n"
    assert "worker" in seen
    assert submitted == "frostbite-ga is running, 0 evaluations, until 20 calls\n"
    assert "frostbite-ga complete: 20 evaluations" in watched
    assert all(re.fullmatch(r"[0-9a-f]{16}: .*, after 20 evaluations\n", line) for line in published)
    # It goes on at once, so there may be more of them by the time of the answer.
    assert re.fullmatch(r"frostbite-ga is running, [\d,]+ evaluations, until 2,000,000,000 calls\n", extended)
    assert stopped.startswith("frostbite-ga is stopped")
    assert kept.startswith("1 experiment in all.backup")
    assert deleted == "frostbite-ga is deleted\n"


def leave(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    assert process.wait(60) == 0


def wait_for_port(port: int) -> None:
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise AssertionError("the master does not listen")
