"""A real master is asked for its archive, by clients and by commands, while it runs and when it is gone."""

import contextlib
import csv
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from germline.bench.serving import served
from germline.cli.app import run
from germline.client import Client, RefusedError
from germline.genome import format_id
from germline.spec import loads

PATIENCE_S = 120.0
SPEC = loads("""
name = "archived"
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[algorithm.ga]
window = 100
parents = 10
""")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Path, str]]:
    """A master whose experiment has 3,000 evaluations, all of them in the archive."""
    folder = tmp_path_factory.mktemp("house")
    with served(folder) as master, Client(master.address) as client:
        client.create(SPEC)
        sizes = ("--streams", "4", "--batch", "8", "--in-flight", "32", "--evaluations", "3000")
        command = [sys.executable, "-m", "germline.bench.fleet", master.address, *sizes]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE_S)
        client.stop("archived")
        evaluations, give_up = client.experiment("archived").evaluations, time.monotonic() + PATIENCE_S
        while sum(client.bands("archived").records) < evaluations:
            assert time.monotonic() < give_up
        yield client, folder, master.address


def test_bands_count_every_evaluation_and_end_where_the_experiment_stands(
    house: tuple[Client, Path, str],
) -> None:
    client, _, _ = house
    experiment, bands = client.experiment("archived"), client.bands("archived")
    assert sum(bands.records) == bands.end[-1] == experiment.evaluations
    assert bands.frames[-1] == experiment.frames
    assert max(bands.q100) == experiment.best_fitness
    assert len(client.bands("archived", "frames", points=7).first) <= 7
    assert client.bands("archived", "seconds", low=0.0, high=1e9).end[-1] == experiment.evaluations


def test_pages_of_evaluations_follow_each_other(house: tuple[Client, Path, str]) -> None:
    client, _, _ = house
    best = client.evaluations("archived", "best", 50)
    assert list(best.evaluations.fitness) == sorted(best.evaluations.fitness, reverse=True)
    assert best.evaluations.fitness[0] == max(client.bands("archived").q100)
    more = client.evaluations("archived", "best", 50, best.next)
    assert not set(more.evaluations.number) & set(best.evaluations.number)
    assert more.evaluations.fitness[0] <= best.evaluations.fitness[-1]
    newest = client.evaluations("archived", "newest", 1, with_replays=True)
    assert newest.evaluations.number[0] == client.experiment("archived").evaluations - 1


def test_an_individual_that_the_population_has_forgotten_is_known_with_its_genome(
    house: tuple[Client, Path, str],
) -> None:
    client, _, _ = house
    oldest = client.evaluations("archived", "oldest", 500).evaluations
    family = zip(oldest.individual, oldest.parent, strict=True)
    child = next(individual for individual, parent in family if parent)
    with pytest.raises(RefusedError, match="known are the population"):
        client.individual("archived", child)
    life = client.life("archived", child)
    assert life.genome is not None
    assert life.genome.id == child
    parent = life.genome.parent()
    assert parent is not None
    assert life.evaluations.parent[0] == parent.id
    assert child in client.life("archived", parent.id).children.individual


def test_ancestry_is_what_the_champions_genome_spells_out(house: tuple[Client, Path, str]) -> None:
    client, _, _ = house
    ancestry, champion = client.ancestry("archived"), client.individual("archived")
    assert champion.genome is not None
    assert list(ancestry.trunk.id) == champion.genome.ancestor_ids()
    assert ancestry.champion == champion.id
    population = {each.id for each in client.individuals("archived", 1_000)}
    assert population <= set(ancestry.crown.id)
    rows = len(ancestry.moments)
    shares = np.array(ancestry.shares).reshape(rows, len(ancestry.sweeps) + 1)
    assert shares.sum(axis=1) == pytest.approx(1.0)


def test_a_map_of_an_experiment_without_a_behaviour_is_empty_and_says_so(
    house: tuple[Client, Path, str],
) -> None:
    client, _, _ = house
    found = client.behaviour_map("archived", None)
    assert (found.evaluations, found.numbers, found.x) == (0, 0, ())
    again = client.behaviour_map("archived", found.axes, first=5, end=10)
    assert again.axes == found.axes
    assert not client.evaluations("archived", cells=(found.axes, (0, 127), (0, 127))).evaluations


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda client: client.bands("archived", points=501), "points is 501; allowed: 2 to 500"),
        (lambda client: client.bands("archived", low=9.0, high=1.0), "low is 9 and high 1"),
        (lambda client: client.evaluations("archived", limit=1_001), "limit is 1001; allowed: 1 to 1000"),
        (lambda client: client.evaluations("archived", after="x y"), "after is 'x y'; allowed"),
        (lambda client: client.evaluations("archived", "best", after="nan 1"), "after is 'nan 1'; allowed"),
        (lambda client: client.evaluations("archived", first=9, end=8), "first is 9 and end 8"),
        (lambda client: client.behaviour_map("archived", (8, 0)), "numbers.x is 8; allowed: 0 to 7"),
        (lambda client: client.life("archived", 5), "id is 0000000000000005; the archive"),
        (lambda client: client.bands("nobody"), "name is 'nobody'"),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused_with_what_is_allowed(
    house: tuple[Client, Path, str], ask: Any, sentence: str
) -> None:
    with pytest.raises(RefusedError, match=sentence):
        ask(house[0])


def test_a_master_without_an_archive_says_so(tmp_path: Path) -> None:
    with served(tmp_path, "--archive", "none") as master, Client(master.address) as client:
        client.create(SPEC)
        with pytest.raises(RefusedError, match=r"this master keeps no archive .* --archive FOLDER"):
            client.bands("archived")


def test_a_backup_takes_the_archive_to_another_master_byte_for_byte(
    house: tuple[Client, Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client, _, address = house
    file = str(tmp_path / "all.backup")
    assert run(["backup", file, "--master", address]) == 0
    with served(tmp_path / "other") as master, Client(master.address) as other:
        assert run(["restore", file, "--master", master.address]) == 0
        assert list(other.archive_parts("archived")) == list(client.archive_parts("archived"))
        assert other.bands("archived") == client.bands("archived")
        assert other.ancestry("archived") == client.ancestry("archived")
    with served(tmp_path / "none", "--archive", "none") as master:
        assert run(["restore", file, "--master", master.address]) == 4
        assert "keeps no archive" in capsys.readouterr().err
        assert run(["restore", file, "--no-archive", "--master", master.address]) == 0
        assert run(["backup", file, "--force", "--master", master.address]) == 0
        assert "no archive of archived is in the backup: " in capsys.readouterr().err


def test_commands_show_an_individual_and_export_every_evaluation(
    house: tuple[Client, Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client, _, address = house
    evaluations = client.experiment("archived").evaluations
    champion = format_id(client.individual("archived").id)
    assert run(["individual", champion, "--master", address, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["id"] == champion
    assert shown["evaluations"][0]["individual"] == champion
    assert run(["individual", champion, "--master", address]) == 0
    assert champion in capsys.readouterr().out
    assert run(["individual", "5", "--master", address]) == 2
    assert run(["individual", "0" * 16, "--master", address]) == 4
    capsys.readouterr()
    assert run(["export-archive", "archived", "--master", address]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["number"] for row in rows] == list(range(evaluations))
    assert max(row["fitness"] for row in rows) == max(client.bands("archived").q100)
    assert run(["export-archive", "archived", "--master", address, "--format", "csv"]) == 0
    born = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    firsts = [row for row in rows if not {"replay", "measurement"} & set(row["flags"])]
    assert [row["taxon_label"] for row in born] == [row["individual"] for row in firsts]
    tree = tmp_path / "archive.nwk"
    assert (
        run(["export-archive", "archived", "--master", address, "--format", "newick", "-o", str(tree)]) == 0
    )
    founders = [row for row in firsts if row["parent"] is None]
    assert len(tree.read_text().splitlines()) == len(founders)
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not here: pip install 'germline[models]'")
    file = tmp_path / "archive.parquet"
    command = ["export-archive", "archived", "--master", address, "--format", "parquet"]
    assert run(command) == 2
    assert run([*command, "-o", str(file)]) == 0
    table = pq.read_table(file)
    assert table.column("individual").to_pylist() == [row["individual"] for row in rows]
    assert table.column("mutation").to_pylist() == [row["mutation"] for row in rows]


def test_what_a_run_left_in_its_folder_is_read_without_a_master(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = tmp_path / "hill.toml"
    spec.write_text(
        'name = "hill"\n[task.function]\npath = "worker.tasks.function:noisy_sphere"\n[policy]\n'
        'name = "vector"\n[algorithm.ga]\nwindow = 50\nparents = 5\n[stop]\nevaluations = 400\n'
    )
    folder = tmp_path / "hill"
    with contextlib.suppress(SystemExit):
        assert run(["run", str(spec), "--folder", str(folder), "--plain", "--workers", "1"]) == 0
    capsys.readouterr()
    assert run(["export-archive", str(folder)]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) >= 400
    grandchild = next(row for row in rows if row["parent"] and row["episodes"] == 1 and not row["cap_frames"])
    assert run(["individual", grandchild["individual"], "--run", str(folder), "--replay", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["played"] == shown["evaluations"][0]["fitness"] == grandchild["fitness"]
    assert shown["mutations"] == 1 or shown["parent"] == grandchild["parent"]
