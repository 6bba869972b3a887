"""How the search for the champion is written as JSON values and, strictly, read again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from germline.algorithms import snapshot_codec as codec
from germline.algorithms.base import JsonValue
from germline.algorithms.champion import Candidates, Trial
from germline.algorithms.races import Races, Runner
from germline.algorithms.snapshot_codec import GenomeShelf

_FIELDS = ("known", "racing", "given_up", "bars", "champion")


def write_candidates(candidates: Candidates | Races, shelf: GenomeShelf) -> dict[str, JsonValue]:
    """Trials on fresh episodes, or races over all starts."""
    if isinstance(candidates, Candidates):
        return _write_trials(candidates, shelf)
    return {
        "known": [[str(individual), _pairs(returns)] for individual, returns in candidates.known.items()],
        "racing": [
            [shelf.place(runner.genome), sorted(runner.in_flight), runner.goal, runner.came]
            for runner in candidates.racing.values()
        ],
        "given_up": sorted(map(str, candidates.given_up)),
        "bars": [[rung, list(means)] for rung, means in candidates.bars.items()],
        "champion": str(candidates.champion.genome.id) if candidates.champion else None,
    }


def read_candidates(
    candidates: Candidates | Races, written: dict[str, Any], shelf: GenomeShelf, version: int
) -> None:
    """Read what :func:`write_candidates` wrote into one that knows nobody."""
    if isinstance(candidates, Candidates):
        _read_trials(candidates, written, shelf, version)
    else:
        _read_races(candidates, written, shelf)


def _read_races(races: Races, written: dict[str, Any], shelf: GenomeShelf) -> None:
    codec.only(written, "candidates", _FIELDS)
    for fields in codec.rows(written, "candidates", "known"):
        individual, pairs = codec.row(fields, "candidates.known", str, list)
        races.known[_id(individual)] = dict(_read_pairs(pairs))
    for fields in codec.rows(written, "candidates", "racing"):
        place, in_flight, goal, came = codec.row(fields, "candidates.racing", int, list, int, int)
        genome = shelf.at(place, "candidates.racing")
        returns = races.known.setdefault(genome.id, {})
        races.racing[genome.id] = Runner(genome, returns, set(in_flight), goal, came)
    races.given_up = {_id(text) for text in codec.rows(written, "candidates", "given_up")}
    for fields in codec.rows(written, "candidates", "bars"):
        rung, means = codec.row(fields, "candidates.bars", int, list)
        if rung not in races.bars:
            raise ValueError(f"candidates.bars has rung {rung}; allowed: {races.rungs}")
        races.bars[rung] = codec.row(means, "candidates.bars", *[float] * len(means))
    races.champion = _champion(races, written["champion"])


def _champion(races: Races, text: object) -> Runner | None:
    if text is None:
        return None
    champion = races.racing.get(_id(text))
    if champion is None:
        raise ValueError(f"candidates.champion is {text!r}, which does not race")
    return champion


def _pairs(returns: Mapping[int, float]) -> list[JsonValue]:
    return [[place, value] for place, value in returns.items()]


def _read_pairs(pairs: Iterable[object]) -> Iterable[tuple[int, float]]:
    for pair in pairs:
        place, value = codec.row(pair, "candidates.known", int, float)
        yield place, value


def _id(text: object) -> int:
    """An individual's id; as text, since JSON's numbers are no 64-bit integers everywhere."""
    return int(codec.check(text, "an individual's id", str))


def _write_trials(candidates: Candidates, shelf: GenomeShelf) -> dict[str, JsonValue]:
    """The trials, in the order in which they opened, and the champion's place among them."""
    trials = list(candidates.trials.values())
    return {
        "trials": [[shelf.place(trial.genome), *_numbers(trial)] for trial in trials],
        "champion": trials.index(candidates.champion) if candidates.champion else None,
        "measured": _numbers(candidates.measured) if candidates.measured else None,
        "turn": candidates.turn,
        "noise_squares": candidates.noise_squares,
        "noise_weight": candidates.noise_weight,
    }


def _numbers(trial: Trial) -> list[JsonValue]:
    return [trial.episodes, trial.mean, trial.squares, trial.in_flight]


def _read_trials(candidates: Candidates, written: dict[str, Any], shelf: GenomeShelf, version: int) -> None:
    """Read what :func:`_write_trials` wrote into a pool without trials; the first had no measurement."""
    path = "candidates"
    fields = ("trials", "champion", "turn", "noise_squares", "noise_weight")
    codec.only(written, path, (*fields, "measured") if version > 1 else fields)
    for trial_row in codec.rows(written, path, "trials"):
        place, *others = codec.row(trial_row, f"{path}.trials", int, int, float, float, int)
        trial = Trial(shelf.at(place, f"{path}.trials"), *others)
        candidates.trials[trial.genome.id] = trial
    champion = written["champion"]
    if champion is not None:
        trials = list(candidates.trials.values())
        if not 0 <= codec.value(written, path, "champion", int) < len(trials):
            raise ValueError(f"{path}.champion is {champion}; there are {len(trials)} trials")
        candidates.crown(trials[champion])
        numbers = written.get("measured")
        if numbers is not None:
            numbers = codec.row(numbers, f"{path}.measured", int, float, float, int)
            candidates.measured = Trial(trials[champion].genome, *numbers)
    candidates.turn = codec.value(written, path, "turn", int)
    squares, weight = (codec.value(written, path, f"noise_{part}", float) for part in ("squares", "weight"))
    candidates.know_noise(squares, weight)
