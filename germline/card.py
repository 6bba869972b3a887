"""Policy cards: a network and its score as text that a person can paste into a paper.

A card is TOML. It says what was played (task and protocol), by what (policy, precision), how well (a mean
over fresh episodes and its confidence interval), and spells the genome: the initialisation seed, then the
mutations, oldest first. A seed is 13 digits of base 32 (Crockford's: no i, l, o, u; in any case). A
power is written once, as ``@0.002``, for all mutations that follow it; ``@0.002:4`` where their rank is 4.
The id is a digest of all seeds and powers, so that a mistyped digit is noticed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TypeVar, cast

from germline.algorithms.means import mean_of
from germline.genome import MAX_RANK, Genome, Mutation, check_power, check_seed, float32, format_id, parse_id
from germline.noise import VERSION as NOISE_VERSION
from germline.toml import Table, read_table, write_entries, write_key

CARD_VERSION = 3
"""Of cards as they are written. The first did not say how many episodes an evaluation plays, nor a rank;
before the third, policies had no versions."""

T = TypeVar("T")

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_SEED_DIGITS = 13
_SEEDS_PER_LINE = 7
_HEAD = "# A germline policy card: this network is nothing but the seeds below."


@dataclass(frozen=True, slots=True)
class Score:
    """A validated score.

    Attributes:
        mean: mean return over fresh episodes.
        episodes: how many.
        interval: the mean's confidence interval; None below two episodes.
        confidence: of the interval.
        returns: where the protocol has finitely many starts, the return from each of them: the mean is exact,
            and anybody can play it again (``germline verify``).
        kernels: families of the kernels that played: only what one family plays is equal to the last bit.
            None where every machine plays alike, or where it is not known.
    """

    mean: float
    episodes: int
    interval: tuple[float, float] | None = None
    confidence: float = 0.95
    returns: tuple[float, ...] = ()
    kernels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PolicyCard:
    """All that it takes to play a network again and to expect the same.

    Attributes:
        task: what was played; for Atari the game and each rule of its protocol.
        policy: which network.
        precision: number format of the forward pass, such as "float32".
        genome: the network's seeds.
        score: how well it played, if that is known.
        experiment: the run that it comes from.
        noise_version: how seeds become numbers; see germline.noise.
        episodes: that one evaluation plays side by side, which shapes its arithmetic.
        rank: of low-rank mutations, whose children share their parents' arithmetic; 0: they are dense.
        version: of the card.
    """

    task: Table
    policy: Table
    precision: str
    genome: Genome
    score: Score | None = None
    experiment: str = ""
    noise_version: int = NOISE_VERSION
    episodes: int = 1
    rank: int = 0
    version: int = CARD_VERSION


def write_card(card: PolicyCard) -> str:
    """The card as TOML text."""
    head: Table = {"card": card.version, "id": format_id(card.genome.id)}
    if card.experiment:
        head["experiment"] = card.experiment
    head |= {"precision": card.precision, "noise_version": card.noise_version}
    if card.version > 1:
        head |= {"episodes": card.episodes} | ({"rank": card.rank} if card.rank else {})
    tables: list[tuple[str, Table]] = [("task", card.task), ("policy", card.policy)]
    if card.score is not None:
        tables.append(("score", _score_table(card.score)))
    parts = [_HEAD, *write_entries(head)]
    for name, table in tables:
        parts.extend(_table(name, table))
    parts.extend(("", "[genome]", f"mutations = {len(card.genome)}"))
    parts.extend(('line = """', *spell(card.genome), '"""', ""))
    return "\n".join(parts)


def parse_card(text: str) -> PolicyCard:
    """Read a card.

    Raises:
        ValueError: naming the field, if something is missing, wrong or unknown, or the id does not fit.
    """
    try:
        card = read_table(text)
    except ValueError as error:
        raise ValueError(f"the card is not TOML: {error}") from None
    version = _take(card, "card", int)
    if not 1 <= version <= CARD_VERSION:
        raise ValueError(f"card is {version}; this build reads cards of versions 1 to {CARD_VERSION}")
    genome = _parse_genome(_take(card, "genome", dict))
    claimed = parse_id(_take(card, "id", str))
    if claimed != genome.id:
        raise ValueError(
            f"id is {format_id(claimed)}, but the seeds give {format_id(genome.id)}: a digit is wrong"
        )
    noise_version = _take(card, "noise_version", int)
    if noise_version != NOISE_VERSION:
        raise ValueError(
            f"noise_version is {noise_version}; this build makes noise of version {NOISE_VERSION}"
        )
    parsed = PolicyCard(
        task=_take(card, "task", dict),
        policy=_take(card, "policy", dict),
        precision=_take(card, "precision", str),
        genome=genome,
        score=_parse_score(_take(card, "score", dict)) if "score" in card else None,
        experiment=_take(card, "experiment", str) if "experiment" in card else "",
        noise_version=noise_version,
        episodes=_whole(card, "episodes", 1) if version > 1 else 1,
        rank=_whole(card, "rank", 0) if "rank" in card and version > 1 else 0,
        version=version,
    )
    _refuse_rest(card, "the card")
    return parsed


def spell(genome: Genome) -> Iterator[str]:
    """A genome as lines of text; :func:`read_line` reads them."""
    yield spell_seed(genome.init_seed)
    for (power, rank), run in groupby(genome.mutations, key=lambda m: (m.power, m.rank)):
        yield f"@{spell_power(power)}" + (f":{rank}" if rank else "")
        seeds = [spell_seed(mutation.seed) for mutation in run]
        for start in range(0, len(seeds), _SEEDS_PER_LINE):
            yield " ".join(seeds[start : start + _SEEDS_PER_LINE])


def read_line(text: str) -> Genome:
    """Read what :func:`spell` wrote; raises ValueError, naming the word that is wrong."""
    words = text.split()
    if not words:
        raise ValueError("genome.line is empty; it begins with the initialisation seed")
    mutations: list[Mutation] = []
    power, rank = math.nan, 0
    for word in words[1:]:
        if word.startswith("@"):
            power, rank = _read_power(word)
        elif math.isnan(power):
            raise ValueError(f"genome.line has {word!r} before any power; a power is written like @0.002")
        else:
            mutations.append(Mutation(read_seed(word), power, rank))
    return Genome.founder(read_seed(words[0])).extended(mutations)


def spell_seed(seed: int) -> str:
    """A uint64 as 13 digits of base 32."""
    check_seed("seed", seed)
    return "".join(_DIGITS[seed >> 5 * place & 31] for place in reversed(range(_SEED_DIGITS)))


def read_seed(word: str) -> int:
    """Read what :func:`spell_seed` wrote, in upper or lower case."""
    places = [_DIGITS.find(digit) for digit in word.lower()]
    if len(word) != _SEED_DIGITS or min(places) < 0 or places[0] > 15:
        raise ValueError(f"genome.line has {word!r}; a seed is {_SEED_DIGITS} digits of {_DIGITS}")
    seed = 0
    for place in places:
        seed = seed << 5 | place
    return seed


def spell_power(power: float) -> str:
    """The shortest decimal number whose nearest float32 is this power."""
    texts = (f"{power:.{digits}g}" for digits in range(1, 10))
    return next(text for text in texts if float32(float(text)) == power)


def _read_power(word: str) -> tuple[float, int]:
    number, _, rank = word[1:].partition(":")
    try:
        power = float32(float(number))
        check_power("power", power)
        return power, _checked_rank(int(rank)) if rank else 0
    except (ValueError, OverflowError):
        raise ValueError(f"genome.line has {word!r}; a power is written like @0.002 or @0.002:4") from None


def _checked_rank(rank: int) -> int:
    if not 0 < rank <= MAX_RANK:
        raise ValueError
    return rank


def _parse_genome(table: Table) -> Genome:
    genome = read_line(_take(table, "line", str, "genome."))
    count = _take(table, "mutations", int, "genome.")
    _refuse_rest(table, "genome")
    if count != len(genome):
        raise ValueError(
            f"genome.mutations is {count}, but the line has {len(genome)}: a seed is missing or extra"
        )
    return genome


def _score_table(score: Score) -> Table:
    table: Table = {"mean": float(score.mean), "episodes": score.episodes}
    if score.interval is not None:
        table |= {"interval": [float(bound) for bound in score.interval], "confidence": score.confidence}
    if score.returns:
        table["returns"] = [float(value) for value in score.returns]
    if score.kernels:
        table["kernels"] = list(score.kernels)
    return table


def _parse_score(table: Table) -> Score:
    mean = float(_take(table, "mean", (int, float), "score."))
    episodes = _take(table, "episodes", int, "score.")
    if not math.isfinite(mean) or episodes < 1:
        raise ValueError(
            f"score has mean {mean} over {episodes} episodes; it needs a finite mean of at least one"
        )
    score = Score(mean, episodes)
    if "interval" in table:
        bounds = _take(table, "interval", list, "score.")
        if len(bounds) != 2 or not all(isinstance(bound, int | float) for bound in bounds):
            raise ValueError(f"score.interval is {bounds}; it has two numbers")
        low, high = (float(cast(float, bound)) for bound in bounds)
        score = Score(mean, episodes, (low, high), float(_take(table, "confidence", (int, float), "score.")))
    if "returns" in table:
        score = replace(score, returns=_parse_returns(_take(table, "returns", list, "score."), score))
    if "kernels" in table:
        kernels = _take(table, "kernels", list, "score.")
        if not all(isinstance(family, str) for family in kernels):
            raise ValueError(f"score.kernels is {kernels}; it has the names of families")
        score = replace(score, kernels=tuple(map(str, kernels)))
    _refuse_rest(table, "score")
    return score


def _parse_returns(values: list[object], score: Score) -> tuple[float, ...]:
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
        raise ValueError(f"score.returns is {values}; it has finite numbers")
    returns = tuple(float(cast(float, value)) for value in values)
    same = bool(returns) and math.isclose(mean_of(returns), score.mean, rel_tol=1e-9, abs_tol=1e-9)
    if len(returns) != score.episodes or not same:
        raise ValueError(
            f"score.returns has {len(returns)} values, {values}; "
            f"the score is a mean of {score.mean} over {score.episodes} episodes"
        )
    return returns


def _take(table: Table, field: str, kind: type[T] | tuple[type[T], ...], path: str = "") -> T:
    """Take a field of this type out of a table."""
    if field not in table:
        raise ValueError(f"{path}{field} is missing; it has to be there")
    value = table.pop(field)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{path}{field} is {value!r}, which has the wrong type")
    return value


def _whole(table: Table, field: str, least: int) -> int:
    value = _take(table, field, int)
    if value < least:
        raise ValueError(f"{field} is {value}; allowed: {least} or more")
    return value


def _refuse_rest(table: Table, where: str) -> None:
    if table:
        raise ValueError(f"{where} has unknown fields: {', '.join(sorted(table))}")


def _table(path: str, table: Table) -> Iterator[str]:
    """A TOML table and those below it."""
    plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
    if plain or not table:
        yield ""
        yield f"[{path}]"
        yield from write_entries(plain)
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _table(f"{path}.{write_key(key)}", value)
