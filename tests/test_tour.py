"""A stranger's tour: the map of docs/design.md, its reading order and its six functions are true."""

import ast
import asyncio
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from germline.spec import loads
from master.config import MasterConfig
from master.server import Master
from tests.pages import ROOT, page
from worker.config import WorkerConfig
from worker.loop import work

PAGE = page("docs/design.md")
MOST_FUNCTIONS, MOST_LINES = 6, 30
PATIENCE_S = 60.0
SPEC = loads("""
name = "tour"
[task.function]
path = "worker.tasks.function:noisy_sphere"
dimension = 4
[policy]
name = "vector"
[algorithm.ga]
window = 10
parents = 2
power = 0.1
[stop]
evaluations = 1
""")


def map_of_folders() -> set[str]:
    """The folders on the page's map, such as master/wire."""
    found, top = set(), ""
    for indent, folder in re.findall(r"^( *)([\w/]+)/  ", PAGE.text, flags=re.MULTILINE):
        top = top if indent else folder
        found.add(f"{top}/{folder}" if indent else folder)
    return found


def tour() -> list[tuple[str, str]]:
    """The functions of the page's tour, in order: (Class.method, file)."""
    return re.findall(r"^\d\. `([\w.]+)` \(`([\w/.]+)`\)", PAGE.text, flags=re.MULTILINE)


def test_the_map_names_every_room_and_no_other() -> None:
    packages = (
        path.parent.relative_to(ROOT)
        for top in ("germline", "master", "worker")
        for path in ROOT.glob(f"{top}/*/__init__.py")
    )
    rooms = {str(package) for package in packages}
    assert rooms | {"germline", "master", "worker"} <= map_of_folders()
    assert [folder for folder in map_of_folders() if not (ROOT / folder).is_dir()] == []


@pytest.mark.parametrize(
    "room", sorted(ROOT.glob("master/*/__init__.py")) + sorted(ROOT.glob("worker/*/__init__.py"))
)
def test_a_room_says_what_lives_there_and_who_comes_in(room: Path) -> None:
    said = ast.get_docstring(ast.parse(room.read_text())) or ""
    assert re.match(r".+\.\n\nImported by: .+\.$", said, flags=re.DOTALL), f"{room} says {said!r}"


def test_the_reading_order_leads_to_files_that_exist() -> None:
    order = PAGE.text.split("To read the code in an hour:", 1)[1].split("\n\n", 1)[0]
    files = re.findall(r"`([\w/.]+)`", order)
    assert len(files) >= 5
    assert [file for file in files if not (ROOT / file).is_file()] == []


def test_one_individual_takes_six_functions_that_fit_on_a_screen() -> None:
    assert 3 <= len(tour()) <= MOST_FUNCTIONS
    for name, file in tour():
        lines = lines_of(name, file)
        assert lines is not None, f"{file} has no {name}"
        assert lines <= MOST_LINES, f"{name} has {lines} lines"


def lines_of(name: str, file: str) -> int | None:
    owner, _, method = name.partition(".")
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(node, ast.ClassDef) and node.name == owner:
            for each in node.body:
                if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and each.name == method:
                    return (each.end_lineno or 0) - each.lineno + 1
    return None


async def test_one_individual_passes_through_them_in_that_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One evaluation on a real master and a real worker, in this process."""
    passed: list[str] = []
    for name, file in tour():
        note_calls(monkeypatch, name, file, passed)
    async with asyncio.timeout(PATIENCE_S), Master.serving(local(tmp_path)) as master:
        experiment = master.registry.create(SPEC)
        passed.clear()  # the journal has begun before the individual
        worker = asyncio.create_task(work(WorkerConfig(master=master.address, threads=1)))
        await experiment.standing.wait_for_change(PATIENCE_S)
        assert await master.journal.flush(PATIENCE_S)
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
    assert experiment.progress.evaluations == 1
    rest = iter(passed)
    assert [name for name, _ in tour() if name in rest] == [name for name, _ in tour()]


def note_calls(monkeypatch: pytest.MonkeyPatch, name: str, file: str, passed: list[str]) -> None:
    """Write the name of a function down whenever it is called."""
    owner, _, method = name.partition(".")
    kind = getattr(import_module(file.removesuffix(".py").replace("/", ".")), owner)
    function: Callable[..., Any] = getattr(kind, method)

    def noted(*args: Any, **settings: Any) -> Any:
        passed.append(name)
        return function(*args, **settings)

    monkeypatch.setattr(kind, method, noted)


def local(folder: Path) -> MasterConfig:
    return MasterConfig(listen="127.0.0.1:0", store_folder=folder, metrics_port=-1)
