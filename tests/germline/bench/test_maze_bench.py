"""The maze's bench: its table plays as the worker's engine does, and what was played is not played again."""

from pathlib import Path
from typing import Any

import pytest

from germline.bench import maze
from germline.bench.maze_table import MazeTable
from germline.genome import Genome, Mutation
from worker.playing.engine import Evaluation, Played


def some_genomes() -> list[Genome]:
    founders = [Genome.founder(seed) for seed in range(60)]
    children = [founder.child(Mutation(7, 0.2)) for founder in founders]
    return founders + children + [child.child(Mutation(9, 0.2)) for child in children]


def test_the_table_plays_as_the_engine_does_to_the_bit() -> None:
    engine, table, genomes = maze.build(maze.spec_of("novelty")), MazeTable(), some_genomes()
    for number, genome in enumerate(genomes):
        engine.submit(Evaluation(number, genome, (number,)))
    found: dict[object, Played[Any]] = {}
    while len(found) < len(genomes):
        found |= {played.key: played for played in engine.tick()}
    engine.close()
    for number, genome in enumerate(genomes):
        value, behaviour, steps = table.play(genome)
        played = found[number]
        assert (played.returns, played.behaviour, played.steps) == ((value,), behaviour, steps)
    assert len({played.behaviour for played in found.values()}) > 10


def test_what_was_played_is_read_from_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = maze.kept_or_played(tmp_path, "reward-ga", 1, 200)
    assert first == maze.Outcome(first.best, None)
    monkeypatch.setattr(maze, "play", lambda *_: maze.Outcome(99.0, 1))
    assert maze.kept_or_played(tmp_path, "reward-ga", 1, 200) == first
    assert maze.kept_or_played(tmp_path, "reward-ga", 1, 300).best == 99


@pytest.mark.parametrize("name", maze.SEARCHES)
def test_every_search_plays(name: str) -> None:
    assert maze.play(name, 1, 70).best > 0


def test_a_row_says_who_came_to_the_goal_and_how_sure_that_is() -> None:
    found = [maze.Outcome(7.0, 100), maze.Outcome(7.0, 300), maze.Outcome(5.0, None)]
    assert maze.row("map", found) == (
        "| MAP-Elites, a cell for each pixel | 2 of 3 (21% to 94%) | 200 | 7, 7, 5 |"
    )
