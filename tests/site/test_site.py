"""The site of docs/ is built without a network, whole, and from the program as it is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason="pip install 'germline[docs]'")

from germline.spec import explain
from germline.v1 import experiment_pb2
from tools.site.commands import all_commands
from tools.site.outside import ROOT, Outside, place_of

NOWHERE = "http://localhost:9"
OFFLINE = {"http_proxy": NOWHERE, "https_proxy": NOWHERE, "NO_MKDOCS_2_WARNING": "1"}
FETCHED = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*(?:src|href)=\"?(https?:)?//[^>]*>")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly, and where every address leads nowhere."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | OFFLINE, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_nothing_is_fetched_by_who_reads_it(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 10
    fetched = {found[0] for page in pages for found in FETCHED.finditer(page.read_text())}
    assert {each for each in fetched if 'rel="canonical"' not in each} == set()


def test_every_command_has_its_place(site: Path) -> None:
    page = (site / "reference" / "commands.html").read_text()
    for name, _ in all_commands():
        assert f"<code>germline {name}</code>" in page


def test_every_field_of_a_spec_has_its_place(site: Path) -> None:
    page = (site / "reference" / "spec.html").read_text()
    for section in explain():
        for row in section.rows:
            assert f"<code>{row.path.rpartition('.')[2]}</code>" in page


def test_every_call_of_the_protocol_has_its_words(site: Path) -> None:
    page = (site / "reference" / "messages.html").read_text()
    for method in experiment_pb2.DESCRIPTOR.services_by_name["ExperimentService"].methods:
        found = re.search(rf"<code>{method.name}</code></td>\n<td>.*</td>\n<td>.*</td>\n<td>(.*)</td>", page)
        assert found, method.name
        assert found[1], f"{method.name} has no comment"


def test_drawings_are_in_the_page_and_say_in_words_what_they_show(site: Path) -> None:
    pages = [page.read_text() for page in site.rglob("*.html")]
    assert not [page for page in pages if re.search(r'<img [^>]*src="[^"]*\.svg"', page)]
    drawn = re.compile(r"<svg role=\"img\" aria-label=\"([^\"]*)\"")
    assert all(words for page in pages for words in drawn.findall(page))


@pytest.mark.parametrize(
    ("home", "text", "page", "led"),
    [
        ("docs", "[a](../benchmarks/eggroll.md#speed)", "eggroll.md", "[a](benchmarks/eggroll.md#speed)"),
        ("docs", "[a](../experiments/pong.toml)", "own.md", "[a](files/experiments/pong.toml)"),
        ("docs/guides", "[a](../../SECURITY.md)", "guides/fleet.md", "[a](../security.md)"),
        (".", "![a](docs/own.md)", "index.md", "![a](own.md)"),
        ("benchmarks", "[a](../README.md)", "benchmarks/chaos.md", "[a](../index.md)"),
        ("docs", "[a](https://x.org/b.md) [c](#d)", "own.md", "[a](https://x.org/b.md) [c](#d)"),
        ("docs", "```\n[a](../README.md)\n```\n", "own.md", "```\n[a](../README.md)\n```\n"),
        (".", "[all of them](benchmarks/)", "index.md", "all of them"),
    ],
)
def test_a_link_leads_to_where_a_file_is_on_the_site(home: str, text: str, page: str, led: str) -> None:
    assert Outside().rewritten(text, page, ROOT / home) == led


def test_pages_that_are_linked_are_looked_through_in_their_turn() -> None:
    found = Outside().found_from([(ROOT / "docs", "[a](../benchmarks/search.md)")])
    assert found["benchmarks/search.md"] == ROOT / "benchmarks" / "search.md"
    assert found["index.md"] == ROOT / "README.md"
    assert place_of(ROOT / "deploy" / "compose.yaml") in found
