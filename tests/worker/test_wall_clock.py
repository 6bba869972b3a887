"""Nothing that a worker runs reads the time of day: a worker's clock may be off by hours."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import germline
import worker

WALL = {"time.time", "time.time_ns", "time.localtime", "time.gmtime", "time.ctime"}
WALL |= {f"datetime.{call}" for call in ("now", "utcnow", "today")} | {"date.today"}
# people's side, and what serves a champion to others
ELSEWHERE = ("cli", "bench", "client", "serving", "dashboard", "trackers")


def readings(source: str) -> Iterator[str]:
    """Where a module asks for the time of day, by whatever name it imported the question."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from (f"time.{name.name}" for name in node.names if f"time.{name.name}" in WALL)
        elif isinstance(node, ast.Attribute):
            called = ast.unparse(node)
            yield from (wall for wall in WALL if called == wall or called.endswith(f".{wall}"))


def modules() -> list[Path]:
    folders = [Path(package.__file__ or "").parent for package in (germline, worker)]
    found = [path for folder in folders for path in folder.rglob("*.py")]
    return [path for path in found if not set(ELSEWHERE) & set(path.parts)]


@pytest.mark.parametrize(
    "source",
    ["from time import time", "import time\ntime.time_ns()", "import datetime as d\nd.datetime.now()"],
)
def test_a_reading_is_found(source: str) -> None:
    assert list(readings(source))


def test_no_module_of_a_worker_reads_the_time_of_day() -> None:
    assert len(modules()) > 100
    assert {
        path.name: list(readings(path.read_text())) for path in modules() if list(readings(path.read_text()))
    } == {}
