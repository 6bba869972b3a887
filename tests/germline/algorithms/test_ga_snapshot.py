"""A restart cannot be noticed: a snapshot holds the whole state, and a bad one is refused."""

from __future__ import annotations

import base64
import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from germline.algorithms.base import Result
from germline.algorithms.ga import GeneticAlgorithm
from germline.algorithms.ga_settings import GaSettings
from germline.algorithms.snapshot_codec import GenomeShelf
from germline.genome import Genome
from germline.genome_forest import unpack

GOLDEN = Path(__file__).parents[2] / "golden"
SETTINGS = GaSettings(
    window=12,
    parents=4,
    founders=5,
    power=0.5,
    litter=2,
    candidates=3,
    validation_episodes=4,
    validation_share=0.4,
)
VARIANTS = {
    "as it is": SETTINGS,
    "worst leaves": GaSettings(window=12, parents=4, founders=5, replacement="worst"),
    "tournament": GaSettings(window=12, parents=4, selection="tournament", founders=5),
    "no validation": GaSettings(window=12, parents=4, candidates=0, founders=5),
    "random search": GaSettings(window=12, parents=0, episodes=3),
    "self-adapted": GaSettings(
        window=12, parents=4, founders=5, power_schedule="self_adapted", final_power=1e-4, rank=2
    ),
}


def live(algorithm: GeneticAlgorithm, rounds: int) -> GeneticAlgorithm:
    """Ask three, tell two of them, leave one pending now and then."""
    for _ in range(rounds):
        for ask in algorithm.ask(3)[:2]:
            returns = tuple(math.sin(seed % 1_000) for seed in ask.episode_seeds)
            algorithm.tell(Result(ask.ticket, returns, frames=40, steps=10))
        if algorithm.evaluations % 4 == 0:
            oldest = algorithm.pending()[0]
            algorithm.tell(Result(oldest.ticket, (0.5,) * len(oldest.episode_seeds), frames=4, steps=1))
    return algorithm


def through_text(algorithm: GeneticAlgorithm) -> GeneticAlgorithm:
    restored = GeneticAlgorithm(algorithm.settings, algorithm.seed)
    restored.restore(json.loads(json.dumps(algorithm.snapshot(), allow_nan=False)))
    return restored


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS.keys())
@pytest.mark.parametrize("rounds", [0, 1, 10, 100])
def test_a_run_goes_on_after_a_restart_as_if_there_was_none(settings: GaSettings, rounds: int) -> None:
    algorithm = live(GeneticAlgorithm(settings, seed=3), rounds)
    restored = through_text(algorithm)
    assert restored.snapshot() == algorithm.snapshot()
    assert restored.ask(20) == algorithm.ask(20)
    assert live(restored, 20).snapshot() == live(algorithm, 20).snapshot()


@given(st.integers(0, 60), st.integers(1, 30))
def test_restoring_and_asking_equals_asking_without_a_restart(rounds: int, n: int) -> None:
    algorithm = live(GeneticAlgorithm(SETTINGS, seed=9), rounds)
    assert through_text(algorithm).ask(n) == algorithm.ask(n)


def test_what_people_see_survives_a_restart() -> None:
    algorithm = live(GeneticAlgorithm(SETTINGS, seed=3), 100)
    restored = through_text(algorithm)
    assert algorithm.champion is not None
    assert restored.champion == algorithm.champion
    assert restored.leader() == algorithm.leader()
    assert restored.pending() == algorithm.pending()
    for count in ("evaluations", "episodes", "frames", "steps", "founders_asked"):
        assert getattr(restored, count) == getattr(algorithm, count) > 0
    assert restored.fitness_quantiles((0, 0.3, 1)) == algorithm.fitness_quantiles((0, 0.3, 1))


def test_lost_tickets_survive_a_restart() -> None:
    algorithm = GeneticAlgorithm(SETTINGS, seed=3)
    algorithm.skip_to(10)
    with pytest.raises(ValueError, match="lost in a restart"):
        through_text(algorithm).tell(Result(4, (1.0,), 4, 1))


def test_a_snapshot_made_with_other_starts_is_refused() -> None:
    written = GeneticAlgorithm(GaSettings(starts=(1, 2)), seed=3).snapshot()
    GeneticAlgorithm(GaSettings(starts=(1, 2)), seed=3).restore(json.loads(json.dumps(written)))
    with pytest.raises(ValueError, match=r"^settings.starts is \[1, 2\] in the snapshot, \[1, 3\] here$"):
        GeneticAlgorithm(GaSettings(starts=(1, 3)), seed=3).restore(written)


def test_a_champion_is_one_of_the_trials() -> None:
    snapshot = json.loads(json.dumps(live(GeneticAlgorithm(SETTINGS, seed=3), 30).snapshot()))
    trials = len(snapshot["candidates"]["trials"])
    snapshot["candidates"]["champion"] = trials
    with pytest.raises(ValueError, match=f"^candidates.champion is {trials}; there are {trials} trials$"):
        GeneticAlgorithm(SETTINGS, seed=3).restore(snapshot)


def test_a_shelf_gives_each_genome_one_place_and_knows_no_other() -> None:
    founders = [Genome.founder(seed) for seed in range(3)]
    shelf = GenomeShelf(founders[:1])
    assert [shelf.place(genome) for genome in (*founders, *founders)] == [0, 1, 2, 0, 1, 2]
    read = GenomeShelf.read(shelf.write())
    assert [read.at(place, "x") for place in range(3)] == founders
    for place in (-1, 3):
        with pytest.raises(ValueError, match=f"^x names genome {place}; the snapshot holds 3$"):
            read.at(place, "x")


def test_a_snapshot_does_not_change_with_the_run_that_goes_on() -> None:
    algorithm = live(GeneticAlgorithm(SETTINGS, seed=3), 20)
    snapshot = algorithm.snapshot()
    kept = copy.deepcopy(snapshot)
    live(algorithm, 20)
    assert snapshot == kept


def frozen(name: str) -> tuple[dict[str, Any], GeneticAlgorithm]:
    golden = json.loads((GOLDEN / f"{name}.json").read_text())
    algorithm = GeneticAlgorithm(SETTINGS, seed=golden["snapshot"]["seed"])
    algorithm.restore(golden["snapshot"])
    return golden, algorithm


def by_ids(snapshot: dict[str, Any]) -> dict[str, Any]:
    """A snapshot with each genome's id where its number was: in which order they lie there means nothing."""
    ids = [genome.id for genome in unpack(base64.b64decode(snapshot["genomes"]))]

    def named(row: list[Any], at: int = 0) -> list[Any]:
        return [*row[:at], ids[row[at]], *row[at + 1 :]]

    parent, tickets, candidates = (snapshot[field] for field in ("litter_parent", "tickets", "candidates"))
    return snapshot | {
        "genomes": sorted(ids),
        "window": [named(row) for row in snapshot["window"]],
        "litter_parent": parent if parent is None else ids[parent],
        "tickets": tickets | {"pending": [named(row, 1) for row in tickets["pending"]]},
        "candidates": candidates | {"trials": [named(row) for row in candidates["trials"]]},
    }


def next_asks(algorithm: GeneticAlgorithm) -> list[list[Any]]:
    return [
        [ask.ticket, f"{ask.genome.id:016x}", ask.purpose.name, f"{ask.episode_seeds[0]:016x}"]
        for ask in algorithm.ask(12)
    ]


def test_the_frozen_snapshot_is_read_and_goes_on_as_it_did() -> None:
    golden, algorithm = frozen("ga-snapshot-v2")
    assert by_ids(dict[str, Any](algorithm.snapshot())) == by_ids(golden["snapshot"])
    assert next_asks(algorithm) == golden["next_asks"]


def test_the_first_format_is_read_and_its_champion_is_yet_to_be_measured() -> None:
    golden, algorithm = frozen("ga-snapshot-v1")
    written, again = by_ids(golden["snapshot"]), by_ids(dict[str, Any](algorithm.snapshot()))
    assert again["candidates"].pop("measured") == [0, 0.0, 0.0, 0]
    assert again | {"format": 1} == written
    assert algorithm.champion is not None
    assert (algorithm.champion.episodes, algorithm.champion.title_episodes) == (0, 6)
    seeds = [row[3] for row in golden["next_asks"]]
    assert [row[3] for row in next_asks(algorithm)] == seeds


def spoil(*path: str | int, value: object) -> Callable[[dict[str, Any]], None]:
    def spoiled(snapshot: dict[str, Any]) -> None:
        place: Any = snapshot
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return spoiled


def drop(field: str) -> Callable[[dict[str, Any]], None]:
    def dropped(snapshot: dict[str, Any]) -> None:
        del snapshot[field]

    return dropped


@pytest.mark.parametrize(
    ("spoiled", "says"),
    [
        (spoil("format", value=3), "format is 3; this build reads snapshots of formats 1 to 2"),
        (drop("format"), "format is None"),
        (spoil("seed", value=4), "seed is 4 in the snapshot, 3 here"),
        (spoil("settings", "window", value=13), "settings.window is 13 in the snapshot, 12 here"),
        (spoil("settings", "luck", value=1), r"settings .* unknown \['luck'\]"),
        (spoil("luck", value=1), r"snapshot .* unknown \['luck'\]"),
        (drop("window"), r"snapshot lacks \['window'\]"),
        (spoil("window", value={}), "snapshot.window is {}"),
        (spoil("window", 0, value=[1]), r"window has a row \[1\]"),
        (spoil("window", 0, 2, value="high"), "window is 'high', which has the wrong type"),
        (spoil("window", 0, 0, value=99), "window names genome 99"),
        (spoil("window", 0, 0, value=-1), "window names genome -1"),
        (spoil("genomes", value="AAAA"), "genome forest"),
        (spoil("genomes", value="?"), "genomes is not base64"),
        (spoil("genomes", value=None), "snapshot.genomes is None"),
        (spoil("tickets", "next", value="many"), "tickets.next is 'many'"),
        (spoil("tickets", "next", value=True), "tickets.next is True"),
        (spoil("tickets", "pending", 0, 2, value="CHEAT"), "purpose 'CHEAT'; allowed: EXPLORE, VALIDATE"),
        (spoil("tickets", "pending", 0, 3, value=[0.5]), "episode_seeds is 0.5"),
        (spoil("tickets", "lost", value=[[1]]), r"^tickets.lost has a row \[1\]; it must have 2 values$"),
        (spoil("tickets", "lost", value=[["a", 2]]), "^tickets.lost is 'a', which has the wrong type$"),
        (spoil("tickets", "lost", value=None), "^tickets.lost is None"),
        (spoil("tickets", "pending", value={}), "^tickets.pending is {}"),
        (spoil("tickets", "pending", 0, value=7), "^tickets.pending has a row 7; it must have 5 values$"),
        (spoil("tickets", "pending", 0, 0, value="x"), "^tickets.pending is 'x'"),
        (spoil("tickets", "pending", 0, 1, value=999), "^tickets.pending names genome 999; "),
        (spoil("tickets", "pending", 0, 4, value="x"), "^tickets.pending is 'x'"),
        (spoil("tickets", value=[]), r"^tickets is \[\]; it must be an object$"),
        (spoil("tickets", "luck", value=1), r"^tickets lacks \[\] and has unknown \['luck'\]$"),
        (spoil("candidates", value=None), "^candidates is None; it must be an object$"),
        (spoil("candidates", "luck", value=1), r"^candidates lacks \[\] and has unknown \['luck'\]$"),
        (spoil("candidates", "trials", value=1), "^candidates.trials is 1"),
        (spoil("candidates", "trials", 0, 0, value=-1), "^candidates.trials names genome -1"),
        (spoil("candidates", "champion", value=-1), "^candidates.champion is -1; there are"),
        (spoil("candidates", "champion", value="me"), "^candidates.champion is 'me'"),
        (spoil("candidates", "measured", value=[1]), r"^candidates.measured has a row \[1\]"),
        (spoil("candidates", "turn", value=None), "^candidates.turn is None"),
        (spoil("candidates", "noise_squares", value="x"), "^candidates.noise_squares is 'x'"),
        (spoil("candidates", "noise_weight", value="x"), "^candidates.noise_weight is 'x'"),
        (spoil("window", 0, 1, value=0.5), "^window is 0.5, which has the wrong type$"),
        (spoil("window", 0, 3, value=True), "^window is True, which has the wrong type$"),
        (spoil("again", value=1), r"^snapshot.again is 1, which has the wrong type$"),
        (spoil("again", value=["x"]), "^again is 'x', which has the wrong type$"),
        (spoil("again", value=[999]), "^again names genome 999; "),
        (spoil("litter_left", value=None), "^snapshot.litter_left is None"),
        (spoil("counts", "luck", value=1), r"^counts lacks \[\] and has unknown \['luck'\]$"),
        (spoil("settings", value=3), "^settings is 3; it must be an object$"),
        (spoil("candidates", "champion", value=99), "candidates.champion is 99"),
        (spoil("candidates", "trials", 0, 1, value=None), "candidates.trials is None"),
        (spoil("counts", value={}), "counts lacks"),
        (spoil("counts", "frames", value=1.5), "counts.frames is 1.5"),
        (spoil("validation_credit", value="x"), "snapshot.validation_credit is 'x'"),
        (spoil("litter_parent", value=1_000), "litter_parent names genome 1000"),
    ],
)
def test_a_bad_snapshot_is_refused_by_name_and_changes_nothing(
    spoiled: Callable[[dict[str, Any]], None], says: str
) -> None:
    snapshot = json.loads(json.dumps(live(GeneticAlgorithm(SETTINGS, seed=3), 30).snapshot()))
    algorithm = live(GeneticAlgorithm(SETTINGS, seed=3), 5)
    before = algorithm.snapshot()
    spoiled(snapshot)
    with pytest.raises(ValueError, match=says):
        algorithm.restore(snapshot)
    assert algorithm.snapshot() == before


def test_a_frozen_state_is_written_as_it_was_whatever_happened_since() -> None:
    algorithm = live(GeneticAlgorithm(SETTINGS, seed=3), 30)
    before, frozen = algorithm.snapshot(), algorithm.freeze()
    live(algorithm, 30)
    assert frozen() == before != algorithm.snapshot()


def test_the_longest_line_is_that_of_a_member_that_is_still_there() -> None:
    algorithm = GeneticAlgorithm(SETTINGS, seed=3)
    for _ in range(40):
        live(algorithm, 5)
        lengths = [len(member.genome) for member in algorithm.population()]
        assert (algorithm.population_size, algorithm.lineage_depth) == (len(lengths), max(lengths))
        assert algorithm.best(3) == list(algorithm.population())[:-4:-1]
