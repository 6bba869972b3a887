"""What is read from an archive is what a look at every record gives."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from germline.archive import part as layout
from germline.archive.ancestry import LARGEST_GAINS, MOST_TRUNK, ancestry
from germline.archive.bands import FRACTIONS, bands
from germline.archive.family import BrokenLineError, Family
from germline.archive.files import ArchiveFiles
from germline.archive.histogram import CELLS, behaviour_map, plain_axes, principal_axes, rows_in
from germline.archive.listing import Order, page
from germline.archive.record import FOUNDER, RECORD, REPLAY, Records
from germline.archive.view import ColumnCache, HeldPiece, View, stored_pieces
from germline.destinations import Folder
from germline.genome import Genome, Mutation

ROWS, N, WINDOW = 4_096, 20_000, 200


class World:
    """A made-up run: each child has one of the best ten of the last 200; a tenth are re-plays."""

    def __init__(self) -> None:
        random = np.random.default_rng(5)
        self.genomes: list[Genome] = []
        self.records = np.zeros(N, RECORD)
        fitness = np.zeros(N)
        for row in range(N):
            recent = range(max(0, row - WINDOW), row)
            if row % 10 == 9:
                known = max(recent, key=fitness.__getitem__)
                genome, flags, value = self.genomes[known], REPLAY, fitness[known]
            elif row < WINDOW:
                genome, flags, value = Genome.founder(row), FOUNDER, random.normal()
            else:
                best = sorted(recent, key=fitness.__getitem__)[-10:]
                parent = best[int(random.integers(10))]
                genome = self.genomes[parent].child(Mutation(row, 0.5, row % 3))
                flags, value = 0, fitness[parent] + random.normal()
            self.genomes.append(genome)
            fitness[row] = value
            self._write(row, genome, flags)
        self.records["fitness"] = np.round(fitness)  # many are equal
        self.records["frames"] = random.integers(1, 100, N)
        self.records["running_cs"] = np.arange(N) // 3
        self.records["behaviour"] = random.integers(0, 65_536, (N, 8)) // [1, 1, 2, 4, 8, 8, 8, 8]
        self.records["behaviours"] = np.where(np.arange(N) % 50, 8, 0)

    def _write(self, row: int, genome: Genome, flags: int) -> None:
        record, parent = self.records[row], genome.parent()
        last = genome.last or Mutation(genome.init_seed, 0.0)
        record["individual"], record["parent"] = genome.id, 0 if parent is None else parent.id
        record["mutation"], record["power"], record["rank"] = last.seed, last.power, last.rank
        record["flags"] = flags


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture
def view(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> View:
    """Four full parts, a small one, and the rest in memory."""
    monkeypatch.setattr(layout, "ROWS", ROWS)
    files = ArchiveFiles(Folder(tmp_path), "one")
    bounds = [0, ROWS, 2 * ROWS, 3 * ROWS, 4 * ROWS, 4 * ROWS + 1_000]
    for first, end in pairwise(bounds):
        files.write(first, end, np.arange(first, end), world.records[first:end])
    held = HeldPiece(bounds[-1], world.records[bounds[-1] :])
    return View([*stored_pieces(files, files.parts, ColumnCache()), held])


@pytest.mark.parametrize("name", ["0000000000000-0000000000040-0.part", "0000000000010-0000000000034-0.part"])
def test_a_file_under_anothers_name_is_damage(tmp_path: Path, name: str) -> None:
    part = layout.write_part(0, 24, np.arange(24), np.zeros(24, RECORD))
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / name).write_bytes(part)
    files = ArchiveFiles(Folder(tmp_path), "one")
    files.open()
    with pytest.raises(layout.PartError, match="24 records of the numbers 0 to 24"):
        View.of_files(files, ColumnCache()).column("fitness")


class Counted(Folder):
    """A folder that counts what is read."""

    reads = 0

    def read(self, name: str) -> bytes | None:
        self.reads += 1
        return super().read(name)


def test_a_file_is_fetched_once_for_all_its_columns(tmp_path: Path) -> None:
    place = Counted(tmp_path)
    files = ArchiveFiles(place, "one")
    files.write(0, 24, np.arange(24), np.zeros(24, RECORD))
    View.of_files(files, ColumnCache()).records()
    assert place.reads == 1


def test_bands_of_places_that_no_number_reaches_are_empty(view: View) -> None:
    assert len(bands(view, "evaluations", 1e100, 1e300).first) == 0


def ids(records: Records) -> list[int]:
    found: list[int] = records["individual"].tolist()
    return found


def test_a_view_has_every_record_in_order_and_a_part_of_it_only_those(world: World, view: View) -> None:
    assert view.records().tobytes() == world.records.tobytes()
    seen = view.between(ROWS - 5, ROWS + 7)
    assert seen.numbers().tolist() == list(range(ROWS - 5, ROWS + 7))
    assert seen.records().tobytes() == world.records[ROWS - 5 : ROWS + 7].tobytes()
    assert view.at(np.array([19_999, 3, 5_000])).tobytes() == world.records[[19_999, 3, 5_000]].tobytes()


@pytest.mark.parametrize(("low", "high", "points"), [(0, N, 500), (0, N, 5), (3_000, 5_000, 500), (7, 9, 2)])
def test_bands_are_the_true_quantiles_of_each_bin(
    world: World, view: View, low: int, high: int, points: int
) -> None:
    found = bands(view, "evaluations", low, high, points)
    assert len(found.first) <= points
    assert found.first[0] <= low
    assert found.end[-1] >= high
    assert found.first[1:].tolist() == found.end[:-1].tolist()
    for place, (first, end) in enumerate(zip(found.first, found.end, strict=True)):
        fitness = world.records["fitness"][first:end]
        assert found.records[place] == len(fitness)
        assert found.quantiles[place] == pytest.approx(np.quantile(fitness, FRACTIONS), abs=1e-12)
        assert found.frames[place] == world.records["frames"][:end].sum()
        assert found.running_s[place] == pytest.approx(world.records["running_cs"][end - 1] / 100)


def test_a_place_in_frames_or_time_is_where_the_experiment_had_come_to_it(world: World, view: View) -> None:
    frames = np.cumsum(world.records["frames"])
    found = bands(view, "frames", float(frames[999]), float(frames[1_999]), 500)
    assert (found.first[0], found.end[-1]) == (999, 2_000)
    seconds = bands(view, "running", 10.0, 20.0, 500)
    assert (seconds.first[0], seconds.end[-1]) == (3_000, 6_001)


@pytest.mark.parametrize("order", ["time", "newest", "fitness", "id"])
def test_pages_have_everybody_once_in_the_order_that_was_asked_for(
    world: World, view: View, order: Order
) -> None:
    keys = {
        "time": lambda row: row, "newest": lambda row: -row,
        "fitness": lambda row: (-world.records["fitness"][row], row),
        "id": lambda row: (int(world.records["individual"][row]), row),
    }  # fmt: skip
    expected = sorted((row for row in range(N) if row % 10 != 9), key=keys[order])
    numbers: list[int] = []
    cursor = None
    while len(numbers) < 5_000:
        found = page(view, order, 1_000, cursor)
        numbers += found.numbers.tolist()
        cursor = found.next
    assert numbers == expected[: len(numbers)]
    assert ids(found.records) == [world.genomes[row].id for row in found.numbers]


def test_the_last_page_says_that_it_is_the_last(view: View) -> None:
    seen = view.between(0, 30)
    first = page(seen, "time", 20)
    assert first.next is not None
    last = page(seen, "time", 20, first.next)
    assert (len(last.numbers), last.next) == (7, None)
    assert len(page(seen, "time", 30, with_replays=True).numbers) == 30


def test_an_individual_of_any_time_has_its_genome_its_scores_and_its_children(
    world: World, view: View
) -> None:
    family = Family(view)
    breeder = int(np.bincount(family.parents()[family.parents() >= 0]).argmax())
    genome = world.genomes[breeder]
    life = family.life(genome.id)
    assert life is not None
    assert life.numbers.tolist() == [row for row in range(N) if world.genomes[row].id == genome.id]
    of_it = np.flatnonzero(world.records["parent"] == np.uint64(genome.id))
    children = [row for row in of_it.tolist() if row % 10 != 9]
    assert life.children_in_all == len(children)
    assert life.child_numbers.tolist() == children[:100]
    assert life.best_child == world.records["fitness"][children].max()
    for row in (0, breeder, 9_000, N - 2):
        assert family.genome(world.genomes[row].id) == world.genomes[row]
    assert family.life(12_345) is None


def test_a_genome_whose_line_has_a_gap_is_refused(world: World, view: View) -> None:
    family = Family(View([piece for piece in view.pieces if piece.first >= 2 * ROWS]))
    with pytest.raises(BrokenLineError, match="an ancestor is missing in the archive"):
        family.genome(world.genomes[N - 2].id)


def test_ancestry_is_that_of_the_genomes(world: World, view: View) -> None:
    living = {world.genomes[row].id: world.genomes[row] for row in range(N - WINDOW, N)}
    champion = world.genomes[int(np.argmax(world.records["fitness"]))]
    found = ancestry(Family(view), living, champion.id)
    assert found is not None
    line = champion.ancestor_ids()
    assert found.trunk_length == len(line)
    shown = ids(view.at(np.array([step.row for step in found.trunk])))
    assert len(shown) <= MOST_TRUNK + LARGEST_GAINS
    assert shown == [each for each in line if each in set(shown)]
    for step, each in zip(found.trunk, shown, strict=True):
        assert step.depth == line.index(each)
        assert step.living == sum(each in genome.ancestor_ids() for genome in living.values())
    assert found.living == len(living)
    crown = view.at(np.array([step.row for step in found.crown]))
    assert set(living) <= set(ids(crown))
    for step in found.crown:
        if step.parent >= 0:
            assert found.crown[step.parent].depth < step.depth
    assert found.shares.sum(axis=1) == pytest.approx(1.0)
    assert found.shares.shape == (len(found.moments), len(found.sweeps) + 1)
    assert found.shares[-1, 1:].sum() >= 0.5


def test_a_population_whose_champion_the_archive_does_not_hold_has_no_ancestry(view: View) -> None:
    assert ancestry(Family(view), [1, 2], 3) is None


@pytest.mark.parametrize("principal", [False, True])
def test_a_map_counts_everybody_once_and_shows_the_best_of_each_cell(
    world: World, view: View, principal: bool
) -> None:
    axes = principal_axes(view) if principal else plain_axes(0, 2)
    found = behaviour_map(view, axes)
    told = world.records[world.records["behaviours"] > 0]
    assert found.evaluations == found.size.sum() == len(told)
    places = (told["behaviour"] / 65_535 @ axes.weights.T - axes.low) / (axes.high - axes.low) * CELLS
    cells = np.clip(places, 0, CELLS - 1).astype(int)
    numbers = np.flatnonzero(world.records["behaviours"])
    for place in range(0, len(found.x), 97):
        inside = (cells[:, 0] == found.x[place]) & (cells[:, 1] == found.y[place])
        fitness = told["fitness"][inside]
        assert found.size[place] == inside.sum()
        assert found.best[place] == fitness.max()
        assert found.number[place] == numbers[inside][fitness.argmax()]
        assert found.individual[place] == world.genomes[found.number[place]].id
        assert found.newest[place] == numbers[inside][-1]
        cell = (int(found.x[place]),) * 2, (int(found.y[place]),) * 2
        assert rows_in(view, axes, *cell).tolist() == numbers[inside].tolist()


def test_principal_axes_are_those_of_the_covariance_and_never_turn_round(world: World, view: View) -> None:
    axes = principal_axes(view)
    told = world.records["behaviour"][world.records["behaviours"] > 0] / 65_535
    spread, vectors = np.linalg.eigh(np.cov(told, rowvar=False))
    for row, expected in zip(axes.weights, (vectors[:, -1], vectors[:, -2]), strict=True):
        assert abs(row @ expected) == pytest.approx(1.0, abs=1e-6)
        assert row[np.abs(row).argmax()] > 0
    assert spread[-1] > 0


def test_an_empty_archive_answers_everything_with_nothing() -> None:
    empty = View([])
    assert len(bands(empty, "evaluations", 0, 10).first) == 0
    assert len(bands(empty, "frames", 0, 10).first) == 0
    assert page(empty, "fitness", 10).numbers.tolist() == []
    assert len(behaviour_map(empty, principal_axes(empty)).x) == 0
    assert Family(empty).life(5) is None
    assert Family(empty).find([5]) == {}
