"""EGGROLL's bookkeeping (arXiv 2511.16652): which pairs an epoch still needs, and when it closes.

No weights here. An epoch plays antithetic pairs around one centre; a slice of consecutive pairs is one piece
of work, and the centre itself is measured now and then. Once every pair is in, the epoch closes exactly once,
and its fitness is all that anybody needs to move the centre.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, TypeAlias

import numpy as np

from germline.algorithms.base import (
    AlreadyToldError,
    JsonValue,
    Result,
    UnknownTicketError,
    check_result,
)
from germline.algorithms.centre_novelty import CentreNovelty
from germline.algorithms.centres import MeasuredCentre, NewBestCentre, measured
from germline.algorithms.draws import Dice
from germline.algorithms.eggroll_settings import EggrollSettings
from germline.algorithms.means import mean_of
from germline.algorithms.slices import EpochClosed, SliceAsk
from germline.genome import check_seed

FORMAT_VERSION = 2
"""Of snapshots as they are written. In the first, what decided of a centre was also what was reported."""

EggrollEvent: TypeAlias = EpochClosed | NewBestCentre


class Eggroll:
    """Lends the pairs of one epoch after another, each epoch once; see the module for the idea.

    Deterministic: tickets and episode seeds follow from (experiment seed, epoch, place), whoever asks when.

    Attributes:
        settings: what shapes an epoch.
        seed: the experiment's uint64.
        epoch: the open epoch, which is also how many have closed.
        best: the best measured centre; None before the first.
        evaluations: members and centres counted so far.
        episodes: episodes in them.
        frames: emulator frames in them.
        steps: agent actions in them.
    """

    def __init__(self, settings: EggrollSettings, seed: int) -> None:
        check_seed("seed", seed)
        self.settings = settings
        self.seed = seed
        self.best: MeasuredCentre | None = None
        self.evaluations = self.episodes = self.frames = self.steps = 0
        self._pending: dict[int, SliceAsk] = {}
        self._unasked: OrderedDict[int, None] = OrderedDict()  # places, the next one first
        self._set_aside: dict[int, None] = {}  # places
        self._last_sorted: list[float] = []
        self._novelty = CentreNovelty(settings.novelty, seed) if settings.novelty else None
        self._behaviours: list[bytes] = []  # of the open epoch's members, empty where one is missing
        self._centre_told: tuple[bytes, float] | None = None  # what the open epoch's centre did, and its mean
        self._former_best: MeasuredCentre | None = None
        self._open(0)

    def ask(self, n: int) -> list[SliceAsk]:
        """Hand out at most n pieces of the open epoch; none once all of it is out."""
        count = min(max(n, 0), len(self._unasked))
        asks = [self._ask_of(self._unasked.popitem(last=False)[0]) for _ in range(count)]
        self._pending.update((ask.ticket, ask) for ask in asks)
        return asks

    def tell(self, result: Result) -> list[EggrollEvent]:
        """Take one result; the one that completes an epoch closes it and opens the next.

        Raises:
            AlreadyToldError: it was told before, or its epoch has closed without it.
            UnknownTicketError: it was never asked.
            ValueError: a return is not finite, or their number is wrong. Nothing has changed then.
        """
        ask = self._pending.get(result.ticket)
        if ask is None:
            raise self._no_such(result.ticket)
        check_result(result, ask.episodes)
        if self._novelty is not None:
            self._novelty.check(result.behaviour, 2 * ask.pairs or 1)
        scores = self._scores(ask.scored(result.returns))
        centre = None if ask.pairs else measured(self.settings, ask.epoch, result.returns)
        # Nothing has changed so far, and nothing fails from here on.
        del self._pending[result.ticket]
        self._count(result, ask)
        self._note(scores)
        self._note_behaviour(ask, result)
        events = [] if centre is None else self._rank(centre)
        return events + self._close_if_complete()

    def set_aside(self, ticket: int, returns: Sequence[float] = ()) -> list[EggrollEvent]:
        """Wait for this work no more: it cannot be scored. Its pairs are dropped but for those that are.

        A centre that cannot be measured is not measured. Raises as :meth:`tell` does.

        Args:
            ticket: of the work.
            returns: as a result has them, NaN where one is missing; empty if all are.
        """
        ask = self._pending.get(ticket)
        if ask is None:
            raise self._no_such(ticket)
        scored = ask.scored(returns)
        scores = self._scores(scored) if self._novelty is None else {}  # nobody knows what these did
        del self._pending[ticket]
        self._note(scores)
        self.evaluations += 2 * len(scored)
        self.episodes += sum(map(len, scored.values()))
        self._set_aside[ticket % self.settings.tickets_per_epoch] = None
        return self._close_if_complete()

    def untell(self, result: Result) -> SliceAsk:
        """Take back a result of the open epoch that should not have been told; its work is pending again.

        A best centre that it made is the best no longer.

        Raises:
            UnknownTicketError: it is not of the open epoch, or not told.
        """
        epoch, place = divmod(result.ticket, self.settings.tickets_per_epoch)
        untold = place in self._unasked or place in self._set_aside or result.ticket in self._pending
        if epoch != self.epoch or untold:
            raise UnknownTicketError(f"ticket {result.ticket} is not told in epoch {self.epoch}")
        ask = self._pending[result.ticket] = self._ask_of(place)
        self._count(result, ask, -1)
        if ask.pairs:
            first = 2 * ask.first_pair
            self._fitness[first : first + 2 * ask.pairs] = [math.nan] * (2 * ask.pairs)
            self._behaviours[first : first + 2 * ask.pairs] = [b""] * (2 * ask.pairs)
        else:
            self._told_centre, self.best, self._centre_told = False, self._former_best, None
        return ask

    def close_early(self) -> list[EggrollEvent]:
        """Close the open epoch without its missing pairs if `close_share` of them is in; for a deadline.

        A pair with one missing member is missing as a pair. A measurement of the centre is waited for: nobody
        could make it later, when the centre has moved on.
        """
        complete = sum(not math.isnan(score) for score in self._fitness) // 2
        enough = complete >= self.settings.close_share * self.settings.pairs
        return [self._close()] if enough and self._is_told(0) else []

    def closed_without(self, ticket: int, closed: EpochClosed) -> bool:
        """Whether this epoch closed without the work of this ticket."""
        epoch, place = divmod(ticket, self.settings.tickets_per_epoch)
        first = 2 * (place - 1) * self.settings.slice_pairs
        return epoch == closed.epoch and place > 0 and math.isnan(closed.fitness[first])

    def adopt(self, ask: SliceAsk) -> None:
        """Take back an Ask made before a restart; one of a closed epoch needs nothing."""
        place = ask.ticket % self.settings.tickets_per_epoch
        if ask.epoch == self.epoch and place in self._unasked:
            del self._unasked[place]
            self._pending[ask.ticket] = ask

    def adopt_epoch(self, closed: EpochClosed) -> bool:
        """Take an epoch as closed that closed early before a restart; False if its scores closed it."""
        closed_early = closed.epoch == self.epoch
        if closed_early:
            self._closing()  # which comes to the same
            self._finish(closed)
        return closed_early

    def pending(self) -> list[SliceAsk]:
        """The asks of the open epoch not yet told, in order of their tickets."""
        return [self._pending[ticket] for ticket in sorted(self._pending)]

    def fitness_quantiles(self, fractions: Sequence[float]) -> list[float]:
        """Fitness at these fractions of the last closed epoch, 0 the worst, 1 the best; empty before it."""
        last = len(self._last_sorted) - 1
        return [self._last_sorted[round(f * last)] for f in fractions] if last >= 0 else []

    def snapshot(self) -> dict[str, JsonValue]:
        """The whole state as JSON values."""
        return self.freeze()()

    def freeze(self) -> Callable[[], dict[str, JsonValue]]:
        """The state as it is now, and what writes it as :meth:`snapshot` does; that may be later."""
        fitness, frozen = list(self._fitness), self._frozen()
        if self._novelty is not None:
            frozen["novelty"] = self._novelty.snapshot()
            frozen["behaviours"] = [behaviour.hex() for behaviour in self._behaviours]
            told = self._centre_told
            frozen["centre"] = [told[0].hex(), told[1]] if told else None
        return lambda: frozen | {"fitness": [None if math.isnan(score) else score for score in fitness]}

    def _frozen(self) -> dict[str, JsonValue]:
        """All but the fitness of the open epoch, in values that nobody changes."""
        return {
            "format": FORMAT_VERSION,
            "seed": self.seed,
            "shape": self._shape(),
            "epoch": self.epoch,
            "told_centre": self._told_centre,
            "unasked": list(self._unasked),
            "set_aside": list(self._set_aside),
            "last": self._last_sorted,
            "best": self.best.to_json() if self.best else None,
            "former_best": self._former_best.to_json() if self._former_best else None,
            "counts": [self.evaluations, self.episodes, self.frames, self.steps],
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Become what :meth:`snapshot` wrote; raises ValueError, naming the field, if it does not fit."""
        self._check(snapshot)
        self._open(int(snapshot["epoch"]))
        self._fitness = [math.nan if score is None else float(score) for score in snapshot["fitness"]]
        self._told_centre = bool(snapshot["told_centre"])
        if self._novelty is not None:
            self._novelty.restore(snapshot["novelty"])
            self._behaviours = [bytes.fromhex(behaviour) for behaviour in snapshot["behaviours"]]
            told = snapshot["centre"]
            self._centre_told = (bytes.fromhex(told[0]), float(told[1])) if told else None
        self._last_sorted = [float(score) for score in snapshot["last"]]
        self.best = MeasuredCentre.from_json(snapshot["best"]) if snapshot["best"] else None
        former = snapshot.get("former_best")  # snapshots of earlier builds have none
        self._former_best = MeasuredCentre.from_json(former) if former else None
        self.evaluations, self.episodes, self.frames, self.steps = snapshot["counts"]
        self._set_aside = dict.fromkeys(
            snapshot.get("set_aside", ())
        )  # snapshots of earlier builds have none
        every, self._unasked = self._unasked, OrderedDict.fromkeys(snapshot["unasked"])
        asked = [place for place in every if place not in self._unasked]
        pending = [self._ask_of(place) for place in asked if not self._is_told(place)]
        self._pending = {ask.ticket: ask for ask in pending}

    def _check(self, snapshot: dict[str, Any]) -> None:
        """Refuse a snapshot of another format, or of another search."""
        if snapshot.get("format") not in (1, FORMAT_VERSION):
            known = f"1 and {FORMAT_VERSION} are known here"
            raise ValueError(f"format is {snapshot.get('format')!r} in the snapshot; {known}")
        nothing_reported: list[JsonValue] = [0, []] if snapshot["format"] == 1 else []
        there = {"seed": snapshot.get("seed"), "shape": [*snapshot.get("shape", ()), *nothing_reported]}
        for field, here in (("seed", self.seed), ("shape", self._shape())):
            if there[field] != here:
                raise ValueError(f"{field} is {there[field]!r} in the snapshot, {here!r} here")

    def _open(self, epoch: int) -> None:
        self.epoch = epoch
        self._fitness = [math.nan] * (2 * self.settings.pairs)
        self._behaviours = [b""] * (2 * self.settings.pairs) if self._novelty is not None else []
        self._centre_told = None
        self._pending = {}
        self._set_aside = {}
        every = self.settings.validation_epochs
        self._told_centre = not (every and epoch % every == 0)
        self._former_best = self.best
        # The centre is asked first: it is one long piece of work.
        self._unasked = OrderedDict.fromkeys(range(int(self._told_centre), self.settings.tickets_per_epoch))

    def _ask_of(self, place: int) -> SliceAsk:
        settings = self.settings
        ticket = self.epoch * settings.tickets_per_epoch + place
        first_pair = max(place - 1, 0) * settings.slice_pairs
        pairs = min(settings.slice_pairs, settings.pairs - first_pair) if place else 0
        episodes = pairs * settings.episodes if place else settings.centre_episodes
        drawn = () if not place and settings.starts else Dice(self.seed, ticket).episode_seeds(episodes)
        return SliceAsk(ticket, self.epoch, first_pair, pairs, drawn or settings.starts)

    def _is_told(self, place: int) -> bool:
        if place in self._set_aside:
            return True
        if place == 0:
            return self._told_centre
        return not math.isnan(self._fitness[2 * (place - 1) * self.settings.slice_pairs])

    def _no_such(self, ticket: int) -> ValueError:
        epoch, place = divmod(ticket, self.settings.tickets_per_epoch)
        if ticket < 0 or epoch > self.epoch or (epoch == self.epoch and place in self._unasked):
            return UnknownTicketError(f"ticket {ticket} was never asked; epoch {self.epoch} is open")
        return AlreadyToldError(f"ticket {ticket} was told or set aside, or epoch {epoch} closed without it")

    def _scores(self, scored: dict[int, tuple[float, ...]]) -> dict[int, float]:
        """The fitness of members, by their place: plus has the first half of its pair's returns."""
        episodes, scores = self.settings.episodes, {}
        for pair, returns in scored.items():
            scores[2 * pair] = mean_of(returns[:episodes])
            scores[2 * pair + 1] = mean_of(returns[episodes:])
        return scores

    def _note(self, scores: dict[int, float]) -> None:
        for place, score in scores.items():
            self._fitness[place] = score

    def _note_behaviour(self, ask: SliceAsk, result: Result) -> None:
        """What the members of a slice did, or the centre."""
        if self._novelty is None:
            return
        if not ask.pairs:
            self._centre_told = result.behaviour, mean_of(result.returns)
            return
        size, first = len(result.behaviour) // (2 * ask.pairs), 2 * ask.first_pair
        for number in range(2 * ask.pairs):
            self._behaviours[first + number] = result.behaviour[number * size : (number + 1) * size]

    def _rank(self, centre: MeasuredCentre) -> list[EggrollEvent]:
        """Note that the centre is measured; it may be the best so far."""
        self._told_centre = True
        if self.best is not None and centre.deciding_mean <= self.best.deciding_mean:
            return []
        self.best = centre
        return [NewBestCentre(centre)]

    def _close_if_complete(self) -> list[EggrollEvent]:
        return [] if self._pending or self._unasked else [self._close()]

    def _close(self) -> EpochClosed:
        closed = self._closing()
        self._finish(closed)
        return closed

    def _closing(self) -> EpochClosed:
        """What the open epoch comes to; where novelty counts, it is part of the past from now on."""
        novelty = self._novelty
        if novelty is None:
            return EpochClosed(self.epoch, tuple(self._fitness))
        if self._centre_told is not None:
            novelty.measured(self.epoch, *self._centre_told)
        utilities = novelty.utilities(self._fitness, self._behaviours)
        return EpochClosed(self.epoch, utilities, novelty.take_turns(self.epoch))

    def _finish(self, closed: EpochClosed) -> None:
        scores = closed.fitness if self._novelty is None else self._fitness
        fitness = np.sort(np.array(scores, np.float64))  # what is missing comes last
        self._last_sorted = fitness[: np.count_nonzero(~np.isnan(fitness))].tolist()
        self._open(closed.epoch + 1)

    def _count(self, result: Result, ask: SliceAsk, sign: int = 1) -> None:
        self.evaluations += sign * (2 * ask.pairs or 1)
        self.episodes += sign * len(result.returns)
        self.frames += sign * result.frames
        self.steps += sign * result.steps

    def _shape(self) -> list[JsonValue]:
        """What must be the same for a snapshot to make sense."""
        s = self.settings
        centre: list[JsonValue] = [s.validation_epochs, s.validation_episodes, s.reported_episodes]
        novelty: list[JsonValue] = [asdict(s.novelty)] if s.novelty else []
        return [s.pairs, s.slice_pairs, s.episodes, *centre, list(s.starts), *novelty]
