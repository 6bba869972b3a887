"""The notebook of the docs was executed as it stands, and can be, in a kernel of its own."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

for _package in ("nbclient", "nbformat", "ipykernel", "ale_py", "imageio_ffmpeg"):
    pytest.importorskip(_package, reason="pip install 'germline[worker,local,models,dev]'")

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebooks" / "run.ipynb"
EXECUTE = """
import sys
import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": "."}}).execute()
nbformat.write(notebook, sys.argv[1])
"""


def cells(path: Path) -> list[dict[str, Any]]:
    return [each for each in json.loads(path.read_text())["cells"] if each["cell_type"] == "code"]


def kinds(cell: dict[str, Any]) -> list[set[str]]:
    """What each of a cell's outputs can be shown as."""
    return [set(each.get("data", {each["output_type"]: None})) for each in cell["outputs"]]


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The notebook, executed in a folder of its own."""
    folder = tmp_path_factory.mktemp("notebook")
    copy = folder / NOTEBOOK.name
    shutil.copy(NOTEBOOK, copy)
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE, copy.name], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    return copy


def test_every_cell_runs_and_shows_what_the_committed_notebook_shows(executed: Path) -> None:
    assert [kinds(cell) for cell in cells(executed)] == [kinds(cell) for cell in cells(NOTEBOOK)]
    assert [cell["execution_count"] for cell in cells(NOTEBOOK)] == list(range(1, len(cells(NOTEBOOK)) + 1))
    (*_, film) = cells(executed)
    assert "".join(film["outputs"][0]["data"]["text/html"]).startswith("<video controls loop muted")


def test_the_committed_notebook_is_small_and_says_nothing_of_the_machine_that_executed_it() -> None:
    text = NOTEBOOK.read_text()
    assert len(text) < 300_000
    without_films = re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
    assert not re.search(r"/(tmp|root|home|work)/|Traceback|<script|onerror", without_films)
