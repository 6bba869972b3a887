"""Every page is run as by a reader: its files are written, its commands and its Python run, in order.

Pages that another test reads by name are that test's; it looks at more than whether the page runs.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from germline.ports import free_port
from tests.pages import ROOT, Block, Page, all_pages, words

SCRIPTS = sysconfig.get_path("scripts")
PATIENCE_S = 60.0
LANGUAGES = {"console", "toml", "python", "text", "json", "sh", "yaml"}
SERVES = ("master", "worker", "serve", "dashboard")
PORT = "7700"  # where the pages' masters listen


def has_a_test_of_its_own(page: Page) -> bool:
    name = page.path.removeprefix("docs/").encode()
    tests = [path for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__)]
    return any(re.search(rb"[\"/ ]" + re.escape(name) + rb"\b", path.read_bytes()) for path in tests)


def has_something_to_run(page: Page) -> bool:
    return any(each.language in ("console", "python") or each.title for each in page.all_blocks())


ALSO = (
    "docs/guides/environment.md",
    "docs/policies.md",
    "docs/start.md",
)  # other tests look at parts of these
STORIES = [
    page
    for page in all_pages()
    if has_something_to_run(page) and (page.path in ALSO or not has_a_test_of_its_own(page))
]


class Reader:
    """Somebody who does what a page says, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = str(free_port())
        self.scope: dict[str, Any] = {"__name__": "__main__"}
        plain = {name: value for name, value in os.environ.items() if not name.startswith("GERMLINE_")}
        address = f"localhost:{self.port}"
        ours = {"GERMLINE_LISTEN": address, "GERMLINE_MASTER": address, "GERMLINE_METRICS_PORT": "-1"}
        path = {"PATH": f"{SCRIPTS}:{plain['PATH']}", "PYTHONPATH": str(ROOT)}
        self.environment = plain | ours | path
        self.serving = contextlib.ExitStack()

    def does(self, block: Block) -> None:
        """What the block asks for."""
        if block.not_tried:
            return
        if block.title:
            file = self.folder / block.title
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text)
        elif block.language == "python":
            exec(compile(self.here(block, block.text), "the page", "exec"), self.scope)  # noqa: S102 - our own
        elif block.language == "console":
            for command in block.commands:
                self.types(self.here(block, command))

    def here(self, block: Block, text: str) -> str:
        """What a test does where a reader has more time, other ports and other machines."""
        for there, instead in block.instead:
            text = text.replace(there, instead)
        return text.replace(f"localhost:{PORT}", f"localhost:{self.port}")

    def types(self, command: str) -> None:
        program, *rest = words(command)
        if program == "export":
            self.environment |= dict(word.split("=", 1) for word in rest)
        elif program == "germline" and rest[0] in SERVES:
            self.starts(command, waits=rest[0] == "master")
        elif program != "alias":
            self.runs(command)

    def runs(self, command: str) -> None:
        done = subprocess.run(
            ["bash", "-ec", command], cwd=self.folder, env=self.environment, capture_output=True, text=True,
            check=False, timeout=4 * PATIENCE_S,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"

    def starts(self, command: str, *, waits: bool) -> None:
        """Leave it running until the page is read."""
        process = subprocess.Popen(["bash", "-ec", f"exec {command}"], cwd=self.folder, env=self.environment)
        self.serving.callback(leave, process)
        while waits:
            assert process.poll() is None, f"{command} ended with {process.poll()}"
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(("localhost", int(self.port))).close()
                return
            time.sleep(0.05)


def leave(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) in (0, -signal.SIGTERM)  # told before it began to listen


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    """A reader, with the ready specs at hand, whose modules are forgotten afterwards."""
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before, somebody = set(sys.modules), Reader(tmp_path)
    for name in [name for name in os.environ if name.startswith("GERMLINE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GERMLINE_MASTER", f"localhost:{somebody.port}")
    with somebody.serving:
        yield somebody
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", STORIES, ids=lambda page: page.path)
def test_a_page_does_what_it_says_from_top_to_bottom(page: Page, reader: Reader) -> None:
    for block in page.all_blocks():
        reader.does(block)


@pytest.mark.parametrize("page", all_pages(), ids=lambda page: page.path)
def test_every_block_is_in_a_language_that_is_tried(page: Page) -> None:
    for block in page.all_blocks():
        assert block.language in LANGUAGES | {""}, f"{page.path}: nothing tries {block.language!r}"
        if block.language == "toml":
            assert tomllib.loads(block.text), block.text
        elif block.language == "python":
            compile(block.text, page.path, "exec")


@pytest.mark.parametrize("page", all_pages(), ids=lambda page: page.path)
def test_every_file_that_a_page_links_to_exists(page: Page) -> None:
    made = ("reference/commands.md", "reference/spec.md", "reference/python.md", "reference/messages.md")
    assert [
        link for link in page.links()
        if not (page.home / link).exists() and not link.endswith((*made, "reference/variables.md"))
    ] == []  # fmt: skip


def test_a_reader_sees_what_a_page_says_of_its_blocks() -> None:
    text = (
        "<!-- tried with: --n 1; in place of: --n 9 -->\n\n```console\n$ germline run a --n 9  # long\n```\n"
        '<!-- not tried here: no cluster -->\n\n```toml title="a.toml"\nx = 1\n```\n'
    )
    first, second = Page("README.md", text).all_blocks()
    assert first.commands == ["germline run a --n 9"]
    assert first.instead == (("--n 9", "--n 1"),)
    assert (second.title, second.not_tried, second.text) == ("a.toml", "no cluster", "x = 1\n")
