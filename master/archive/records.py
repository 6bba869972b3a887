"""What happened in an experiment as records of its archive: many at a time, column by column."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat

import numpy as np

from germline.algorithms.base import Ask, Purpose
from germline.algorithms.means import mean_of
from germline.algorithms.slices import SliceAsk
from germline.archive.record import (
    BEHAVIOUR_NUMBERS,
    CENTRE,
    FOUNDER,
    LARGEST_U2,
    MEASUREMENT,
    MEMBER,
    RECORD,
    REPLAY,
    Records,
    member_id,
)
from germline.genome import Genome
from master.experiments.events import MembersTold, Told

_LARGEST_U4 = 0xFFFFFFFF
_BEHAVIOUR_BYTES = 2 * BEHAVIOUR_NUMBERS
_FLAGS = {Purpose.EXPLORE: 0, Purpose.VALIDATE: REPLAY, Purpose.MEASURE: REPLAY | MEASUREMENT}
_MOST_CS = _LARGEST_U4 / 100


def records_of(asks: Sequence[Ask], told: Sequence[Told]) -> Records:
    """One record for each evaluation of an individual.

    It runs for every evaluation on the master's loop, half a microsecond each: whole columns at a time.
    """
    records = np.zeros(len(asks), RECORD)
    if asks:
        _, genomes, purposes, seeds, parents, caps = zip(*asks, strict=True)
        _put_individuals(records, genomes, parents)
        _put_asked(records, purposes, seeds, caps)
        _put_told(records, told)
    return records


def records_of_slice(ask: SliceAsk, told: Told) -> Records:
    """One record for each member of a slice that is scored, or a single one for the centre itself."""
    returns = told.result.returns
    members = _members_of(ask, returns)
    records = np.zeros(len(members), RECORD)
    if not members:
        return records
    each = ask.episodes // (2 * ask.pairs or 1)
    played = [returns[place * each : (place + 1) * each] for place, _ in members]
    records["individual"] = [member_id(ask.epoch, member) for _, member in members]
    seeds = ask.episode_seeds
    a_pair = len(seeds) // max(ask.pairs, 1)
    records["seed"] = [seeds[place // 2 * a_pair] for place, _ in members]
    records["fitness"] = [mean_of(own) for own in played]
    records["episodes"] = min(each, LARGEST_U2)
    records["frames"] = _shares(told.result.frames, len(members))
    records["flags"] = MEMBER if ask.pairs else MEMBER | MEASUREMENT
    _put_who(records, [told.worker], [told.running_s])
    behaviour = told.result.behaviour
    width = len(behaviour) // (2 * ask.pairs or 1)
    _put_behaviour(records, [behaviour[place * width : (place + 1) * width] for place, _ in members])
    return records


def records_of_members(event: MembersTold) -> Records:
    """One record for each member of an own population whose return is a number."""
    returns = np.array(event.returns, np.float64)
    places = np.flatnonzero(np.isfinite(returns))
    records = np.zeros(len(places), RECORD)
    records["individual"] = [member_id(event.epoch, event.first + int(place)) for place in places]
    records["fitness"] = returns[places]
    records["episodes"] = 1
    records["flags"] = MEMBER
    _put_who(records, [0], [event.running_s])
    return records


def count_of_slice(ask: SliceAsk, returns: Sequence[float]) -> int:
    """How many records :func:`records_of_slice` makes."""
    return len(_members_of(ask, returns))


def _members_of(ask: SliceAsk, returns: Sequence[float]) -> list[tuple[int, int]]:
    """The members that are scored: (place in the slice, number in the epoch)."""
    if not ask.pairs:
        return [(0, CENTRE)] if returns else []
    scored = ask.scored(returns)
    places = (2 * (pair - ask.first_pair) + sign for pair in scored for sign in (0, 1))
    return [(place, 2 * ask.first_pair + place) for place in places]


def _put_individuals(records: Records, genomes: Sequence[Genome], parents: Sequence[int | None]) -> None:
    """Who played, and what made it of its parent; whose parent the ask does not name is looked at closely."""
    records["individual"] = np.array([genome.id for genome in genomes], np.uint64)
    seeds, powers, ranks = zip(*[g.last or (g.init_seed, 0.0, 0) for g in genomes], strict=True)
    records["mutation"] = np.array(seeds, np.uint64)
    records["power"] = np.array(powers, np.float32)
    records["rank"] = np.array(ranks, np.uint16)
    records["parent"] = np.array([each or 0 for each in parents], np.uint64)
    if None in parents:
        for row in [row for row, each in enumerate(parents) if each is None]:
            parent = genomes[row].parent()
            records["parent"][row] = 0 if parent is None else parent.id
            records["flags"][row] = FOUNDER if parent is None else 0


def _put_asked(
    records: Records, purposes: Sequence[Purpose], seeds: Sequence[tuple[int, ...]], caps: Sequence[int]
) -> None:
    if purposes.count(Purpose.EXPLORE) < len(purposes):
        records["flags"] |= np.array([_FLAGS[each] for each in purposes], np.uint8)
    records["seed"] = np.array([own[0] if own else 0 for own in seeds], np.uint64)
    if any(caps):
        records["cap_frames"] = np.minimum(np.array(caps, np.uint64), _LARGEST_U4)


def _put_told(records: Records, told: Sequence[Told]) -> None:
    results, workers, running_s = zip(*told, strict=True)
    _, returns, frames, _, _, _, behaviour, _ = zip(*results, strict=True)
    if set(map(len, returns)) == {1}:
        records["fitness"] = np.array(list(chain.from_iterable(returns)), np.float64)
        records["episodes"] = 1
    else:
        records["fitness"] = np.array([mean_of(own) for own in returns], np.float64)
        records["episodes"] = [min(len(own), LARGEST_U2) for own in returns]
    records["frames"] = np.minimum(np.array(frames, np.uint64), _LARGEST_U4)
    _put_who(records, workers, running_s)
    _put_behaviour(records, behaviour)


def _put_who(records: Records, workers: Sequence[int], running_s: Sequence[float]) -> None:
    records["worker"] = np.minimum(workers, LARGEST_U2)
    records["running_cs"] = np.clip(running_s, 0.0, _MOST_CS) * 100


def _put_behaviour(records: Records, packed: Sequence[bytes]) -> None:
    """The first numbers of each behaviour."""
    if any(packed):
        kept = [numbers[:_BEHAVIOUR_BYTES] for numbers in packed]
        whole = b"".join(numbers.ljust(_BEHAVIOUR_BYTES, b"\0") for numbers in kept)
        records["behaviour"] = np.frombuffer(whole, "<u2").reshape(len(records), BEHAVIOUR_NUMBERS)
        records["behaviours"] = [len(numbers) // 2 for numbers in kept]


def _shares(total: int, members: int) -> list[int]:
    """A whole number in whole parts that differ by at most one."""
    share, more = divmod(total, members)
    return [min(each, _LARGEST_U4) for each in chain(repeat(share + 1, more), repeat(share, members - more))]
