"""The files that browsers load: whose they are, that they are as published, and that few are needed."""

import gzip
import hashlib
import re
from pathlib import Path

import pytest

import germline.dashboard
from germline.dashboard.server import Dashboard
from tests.germline.dashboard.house import fetch

STATIC = Path(germline.dashboard.__file__).parent / "static"
TABLE = STATIC / "vendor" / "README.md"
MOST_BYTES = 250_000
MOST_PACKED = 100_000


def test_files_of_others_are_exactly_those_of_the_table() -> None:
    told = dict(re.findall(r"^\| `([^`]+)` \|.*\| `([0-9a-f]{64})` \|$", TABLE.read_text(), re.MULTILINE))
    there = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (STATIC / "vendor").iterdir()
        if path != TABLE
    }
    assert told == there


def test_each_package_of_the_table_has_its_licence() -> None:
    for name in ("uPlot", "htm", "preact"):
        text = (STATIC / "vendor" / f"{name}.LICENSE.txt").read_text()
        assert re.search(r"MIT|Apache License", text)


def test_no_file_of_ours_names_another_host() -> None:
    for path in STATIC.rglob("*"):
        if path.suffix in (".js", ".css", ".html") and path.parent.name != "vendor":
            hosts = set(re.findall(r"https?://[\w.-]+", path.read_text()))
            assert hosts <= {"http://www.w3.org"}, path


def test_no_file_writes_markup_from_text() -> None:
    for path in STATIC.rglob("*.js"):
        if path.parent.name != "vendor":
            assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|\beval\(", path.read_text())


def loaded(script: Path) -> set[Path]:
    """A script and all that it imports at once; pages come by `import(...)` when somebody goes there."""
    found, left = set(), [script]
    while left:
        found.add(path := left.pop())
        imported = re.findall(r'^import .*?"(\.[^"]+)"', path.read_text(), re.MULTILINE)
        left += {(path.parent / each).resolve() for each in imported} - found
    return found


@pytest.mark.parametrize("page", sorted((STATIC / "pages").glob("*.js")), ids=lambda path: path.stem)
def test_each_page_is_small_with_all_that_it_loads(page: Path) -> None:
    always = [path for path in STATIC.rglob("*") if path.suffix in (".css", ".html", ".svg")]
    files = {*always, *loaded(STATIC / "app.js"), *loaded(page.resolve())}
    assert STATIC / "vendor" / "htm-preact.module.js" in files
    assert sum(path.stat().st_size for path in files) < MOST_BYTES
    assert sum(len(gzip.compress(path.read_bytes())) for path in files) < MOST_PACKED


async def test_files_are_kept_for_ever_and_the_page_is_asked_for_again(dashboard: Dashboard) -> None:
    page = await fetch(dashboard.address, "/", headers={"accept-encoding": "gzip"})
    text = gzip.decompress(page.body).decode()
    (script,) = re.findall(r'<script type="module" src="([^"]+)"', text)
    file = await fetch(dashboard.address, script)
    assert file.headers["content-type"].startswith("text/javascript")
    assert "immutable" in file.headers["cache-control"]
    assert page.headers["cache-control"] == "no-cache"
    again = await fetch(dashboard.address, "/", headers={"if-none-match": page.headers["etag"]})
    assert (again.status, again.body) == (304, b"")


async def test_a_file_of_another_build_is_not_taken_for_ours(dashboard: Dashboard) -> None:
    for path in ("/static/0123456789ab/app.js", "/static/../settings.py", "/static/x/../../settings.py"):
        assert (await fetch(dashboard.address, path)).status in (404, 421)
