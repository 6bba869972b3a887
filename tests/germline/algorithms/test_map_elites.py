"""MAP-Elites: cells, their elites, and what is counted of them."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from germline.algorithms.base import Result
from germline.algorithms.cells import Cvt, Grid, MapSettings, Ties, spread_points
from germline.algorithms.ga_settings import GaSettings
from germline.algorithms.map_elites import MapElites
from germline.behaviour import pack
from tests.germline.algorithms.walkers import place, told, valley


def packed(*numbers: int) -> bytes:
    return pack(np.array(numbers, np.uint16))


def search(seed: int = 1, cells: MapSettings | None = None, **settings: object) -> MapElites:
    cells = cells or MapSettings(dimensions=2, grid=(10, 10))
    founders, count = 20, cells.count
    return MapElites(
        GaSettings(
            window=count, parents=count, cells=cells, founders=founders, power=2.0, candidates=2,
            validation_episodes=2, validation_share=0.1,
        ),
        seed,
    )  # fmt: skip


def run(algorithm: MapElites, evaluations: int) -> None:
    for _ in range(evaluations):
        (ask,) = algorithm.ask(1)
        algorithm.tell(told(ask))


@given(st.integers(0, 65_535), st.integers(0, 65_535))
def test_a_grid_counts_its_cells_as_numpy_does(x: int, y: int) -> None:
    grid = Grid((4, 7))
    assert grid.count == 28
    assert grid.of(packed(x, y)) == (4 * x // 65_536) * 7 + 7 * y // 65_536


def test_a_cvts_points_are_spread_and_the_same_ones_everywhere() -> None:
    points = spread_points(50, 2)
    assert points[:3].tolist() == [[60927, 11317], [24160, 43353], [49541, 19710]]
    distances = np.linalg.norm(points[:, None] - points[None], axis=2) + 1e9 * np.eye(50)
    uniform = 65_536 / np.sqrt(50)
    assert distances.min() > 0.3 * uniform
    assert points.min() >= 0
    assert points.max() < 65_536


def test_a_cvts_cell_is_that_of_the_nearest_point() -> None:
    cvt = Cvt(50, 2)
    for number, (x, y) in enumerate(cvt.points.tolist()):
        assert cvt.of(packed(x, y)) == number


def test_in_high_dimensions_a_cvt_has_as_many_cells_as_wanted() -> None:
    cvt = Cvt(30, 32)
    assert cvt.points.shape == (30, 32)
    assert 0 <= cvt.of(packed(*range(32))) < 30


def test_each_cell_holds_the_fittest_that_was_seen_there() -> None:
    algorithm, best = search(), dict[int, float]()
    cells = Grid((10, 10))
    for _ in range(1_500):
        (ask,) = algorithm.ask(1)
        result = told(ask)
        algorithm.tell(result)
        cell = cells.of(result.behaviour)
        best[cell] = max(best.get(cell, -1e9), result.returns[0])
    assert {cell: member.fitness for cell, member in algorithm.elites()} == pytest.approx(best)
    assert algorithm.coverage == len(best) / 100
    assert algorithm.qd_score(-500.0) == pytest.approx(sum(best.values()) + 500 * len(best))


def test_the_map_fills_and_the_summit_beyond_the_valley_is_found() -> None:
    for seed in range(3):
        algorithm = search(seed)
        run(algorithm, 2_500)
        assert algorithm.coverage > 0.9
        champion = algorithm.champion
        assert champion is not None
        assert valley(*place(champion.genome)) > 10


@pytest.mark.parametrize(("ties", "kept"), [("newest", 1), ("first", 0)])
def test_of_equals_the_newest_takes_the_cell_or_the_first_keeps_it(ties: Ties, kept: int) -> None:
    algorithm = search(cells=MapSettings(dimensions=2, grid=(1, 1), ties=ties))
    asks = algorithm.ask(3)
    for ask, fitness in zip(asks, (1.0, 1.0, 0.5), strict=True):
        algorithm.tell(told(ask, fitness=fitness))
    assert [member.genome for _, member in algorithm.elites()] == [asks[kept].genome]


def test_snapshots_of_earlier_builds_know_one_way_of_ties() -> None:
    first = search(cells=MapSettings(dimensions=2, grid=(2, 2), ties="first")).snapshot()
    assert first["settings"]["cells"] == {"dimensions": 2, "grid": [2, 2], "points": 0}  # type: ignore[index, call-overload]
    newest = search(cells=MapSettings(dimensions=2, grid=(2, 2)))
    with pytest.raises(ValueError, match="cells"):
        newest.restore(first)


def test_any_elite_may_be_a_parent() -> None:
    algorithm = search()
    run(algorithm, 500)
    elites = {member.genome.id for _, member in algorithm.elites()}
    parents = {ask.parent_id for ask in algorithm.ask(3_000)} - {None}
    assert parents <= elites
    assert len(parents) > 0.95 * len(elites)


def test_who_is_forgotten_leaves_an_empty_cell() -> None:
    algorithm = search()
    run(algorithm, 300)
    (cell, member), *_ = algorithm.elites()
    algorithm.forget([member.genome.id])
    assert cell not in dict(algorithm.elites())
    (ask,) = algorithm.ask(1)
    assert ask.genome == member.genome  # asked anew
    algorithm.tell(told(ask))
    assert dict(algorithm.elites())[cell].genome == member.genome


@pytest.mark.parametrize("cells", [MapSettings(dimensions=2, grid=(10, 10)), MapSettings(2, points=40)])
def test_a_restored_search_asks_what_the_other_one_asks(cells: MapSettings) -> None:
    first, second = search(cells=cells), search(cells=cells)
    run(first, 400)
    written = json.dumps(first.snapshot())
    second.restore(json.loads(written))
    assert json.dumps(second.snapshot()) == written
    for _ in range(100):
        mine, other = first.ask(1)[0], second.ask(1)[0]
        assert mine == other
        first.tell(told(mine))
        second.tell(told(other))
    assert list(first.elites()) == list(second.elites())


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"grid": (3,)}, r"grid is \(3,\); allowed: a count for each of 2 numbers"),
        ({}, r"grid is \(\) and points is 0; allowed: exactly one of them"),
        ({"grid": (2, 2), "points": 3}, "allowed: exactly one of them"),
        ({"grid": (2_000, 2_000)}, "allowed: 1 to 1,000,000 cells in all"),
        ({"points": 20_001}, "points is 20001; allowed: 1 to 20,000"),
    ],
)
def test_cells_that_cannot_be_are_refused_by_name(fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        MapSettings(2, **fields)  # type: ignore[arg-type]


def test_a_result_without_behaviour_is_refused() -> None:
    algorithm = search()
    (ask,) = algorithm.ask(1)
    with pytest.raises(ValueError, match="behaviour has 0 bytes; allowed: 4"):
        algorithm.tell(Result(ask.ticket, (1.0,), 1, 1))
