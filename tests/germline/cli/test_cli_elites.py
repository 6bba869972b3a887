"""`germline elites` of a run with real processes: a sentence, numbers, pyribs' table, and a picture."""

import csv
import json
import re
import subprocess
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from germline.algorithms.cells import Grid, MapSettings
from germline.behaviour import pack, quantise
from germline.cli.elite_tiles import fitness_of, tiles_of
from germline.client import Individual
from germline.spec import loads

GERMLINE = Path(sysconfig.get_path("scripts")) / "germline"
SPEC = """
name = "map"
[task.function]
path = "stroll:stroll"
dimension = 2
[policy]
name = "vector"
[behaviour]
descriptor = "task"
dimensions = 2
low = [-3.0]
high = [3.0]
[algorithm.map_elites]
grid = [6, 4]
founders = 20
power = 0.5
candidates = 2
validation_episodes = 2
[stop]
evaluations = 300
"""
STROLL = """
def stroll(weights, seed):
    return -float(weights @ weights), [weights[0], weights[1]]
"""


def germline(*words: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [str(GERMLINE), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=180)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a run of MAP-Elites lies."""
    folder = tmp_path_factory.mktemp("map")
    (folder / "map.toml").write_text(SPEC)
    (folder / "stroll.py").write_text(STROLL)
    done = germline("run", "map.toml", "--workers", "1", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_elites_are_counted(folder: Path) -> None:
    done = germline("elites", "--run", "runs/map", "--offset", "-18", "--json", folder=folder)
    numbers = json.loads(done.stdout)
    assert (numbers["cells"], numbers["best"] <= 0) == (24, True)
    assert numbers["elites"] == round(24 * numbers["coverage"]) > 12
    assert 0 < numbers["qd_score"] <= 18 * numbers["elites"]
    said = " ".join(germline("elites", "--run", "runs/map", folder=folder).stdout.split())
    assert "of 24 cells" in said
    assert re.search(r", by 1 to \d+ episodes each", said)


def test_the_table_has_pyribs_columns_and_each_elite_is_in_its_cell(folder: Path) -> None:
    germline("elites", "--run", "runs/map", "--output", "map.csv", folder=folder)
    with (folder / "map.csv").open() as file:
        rows = list(csv.DictReader(file))
    columns = ["objective", "measures_0", "measures_1", "threshold", "index", "individual", "episodes"]
    assert list(rows[0]) == columns
    grid = Grid((6, 4))
    for row in rows:
        place = [float(row["measures_0"]), float(row["measures_1"])]
        assert grid.of(quantise(place, -3.0, 3.0)) == int(row["index"])
        if max(map(abs, place)) < 2.99:
            assert float(row["objective"]) == pytest.approx(-sum(x * x for x in place), abs=1e-3)
    assert len({row["index"] for row in rows}) == len(rows) > 12
    counts = [int(row["episodes"]) for row in rows]
    assert min(counts) == 1  # most were seen once,
    assert max(counts) >= 3  # and candidates are played again


def test_pyribs_reads_the_table_and_puts_each_elite_into_the_same_cell(folder: Path) -> None:
    archives = pytest.importorskip("ribs.archives", reason='needs the extra "qd"')
    pandas = pytest.importorskip("pandas")
    germline("elites", "--run", "runs/map", "--output", "map.csv", folder=folder)
    table = archives.ArchiveDataFrame(pandas.read_csv(folder / "map.csv"))
    measures = table.get_field("measures")
    archive = archives.GridArchive(solution_dim=0, dims=[6, 4], ranges=[(-3.0, 3.0)] * 2)
    assert archive.index_of(measures).tolist() == table.get_field("index").tolist()
    assert {each["objective"] for each in table.iterelites()} == set(table.get_field("objective"))
    archive.add(np.zeros((len(table), 0)), table.get_field("objective"), measures)
    assert archive.stats.num_elites == len(table)
    assert archive.stats.obj_max == table.get_field("objective").max()


def test_a_grid_is_drawn(folder: Path) -> None:
    done = germline("elites", "--run", "runs/map", "--output", "map.png", folder=folder)
    assert "wrote map.png" in done.stdout
    assert (folder / "map.png").read_bytes().startswith(b"\x89PNG")


def test_tiles_of_a_grid_are_its_cells_and_a_cvt_is_drawn_as_it_lies() -> None:
    places = [(0, 0), (65_535, 20_000), (30_000, 65_535)]
    for cells in (MapSettings(2, grid=(6, 4)), MapSettings(2, points=30)):
        made, spec = cells.make(), loads(SPEC)
        if cells.points:
            del spec.algorithm.map_elites.grid[:]
            spec.algorithm.map_elites.points = cells.points
        packed = [pack(np.array(place, np.uint16)) for place in places]
        found = [
            Individual(at, float(at), 0, None, 0, None, None, behaviour=each, cell=made.of(each))
            for at, each in enumerate(packed)
        ]
        tiles = tiles_of(spec, found)
        columns, rows = tiles.shape
        shown = [int(tiles[x * columns // 65_536, y * rows // 65_536]) for x, y in places]
        assert shown == [0, 1, 2]
        fitness = fitness_of(tiles, found)
        assert np.isnan(fitness).sum() == (tiles == -1).sum() > 0
        assert np.nanmax(fitness) == 2.0


def test_a_champion_of_the_map_has_a_card_and_a_lineage(folder: Path) -> None:
    assert "mutations" in germline("champion", "--run", "runs/map", folder=folder).stdout
    assert germline("lineage", "--run", "runs/map", folder=folder).returncode == 0
    assert (folder / "runs" / "map" / "champion.toml").exists()


def test_a_run_without_elites_is_refused_with_a_sentence(archived: str, tmp_path: Path) -> None:
    done = germline("elites", "--run", archived, folder=tmp_path)
    assert done.returncode == 4
    assert done.stderr == "germline: pong keeps no elites; [algorithm.map_elites] does\n"
