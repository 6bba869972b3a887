"""EGGROLL's bookkeeping (arXiv 2511.16652): which pairs an epoch still needs, and when it closes.

No weights here. An epoch plays antithetic pairs around one centre; a slice of consecutive pairs is one piece
of work, and the centre itself is measured now and then. Once every pair is in, the epoch closes exactly once,
and its fitness is all that anybody needs to move the centre.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from germline.algorithms.base import JsonValue, Result, check_result
from germline.algorithms.centre_novelty import CentreNovelty
from germline.algorithms.centres import MeasuredCentre, NewBestCentre, measured
from germline.algorithms.eggroll_settings import EggrollSettings
from germline.algorithms.open_epoch import OpenEpoch
from germline.algorithms.running_normalisation import RunningNormalisation
from germline.algorithms.slices import EpochClosed, SliceAsk
from germline.genome import check_seed
from germline.normalisation import Version

FORMAT_VERSION = 2
"""Of snapshots as they are written. In the first, what decided of a centre was also what was reported."""

EggrollEvent: TypeAlias = EpochClosed | NewBestCentre


class Eggroll:
    """Lends the pairs of one epoch after another, each epoch once; see the module for the idea.

    Deterministic: tickets and episode seeds follow from (experiment seed, epoch, place), whoever asks when.

    Attributes:
        settings: what shapes an epoch.
        seed: the experiment's uint64.
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
        self._last_sorted: list[float] = []
        self._novelty = CentreNovelty(settings.novelty, seed) if settings.novelty else None
        self._former_best: MeasuredCentre | None = None
        self._normalisation = RunningNormalisation(1) if settings.normalise_observations else None
        self._open = self._epoch(0)

    @property
    def epoch(self) -> int:
        """The open epoch, which is also how many have closed."""
        return self._open.number

    def ask(self, n: int) -> list[SliceAsk]:
        """Hand out at most n pieces of the open epoch; none once all of it is out."""
        return self._open.ask(n)

    def tell(self, result: Result) -> list[EggrollEvent]:
        """Take one result; the one that completes an epoch closes it and opens the next.

        Raises:
            AlreadyToldError: it was told before, or its epoch has closed without it.
            UnknownTicketError: it was never asked.
            ValueError: a return is not finite, or their number is wrong. Nothing has changed then.
        """
        ask = self._open.get(result.ticket)
        check_result(result, ask.episodes)
        if self._novelty is not None:
            self._novelty.check(result.behaviour, 2 * ask.pairs or 1)
        scores = self._open.scores(ask.scored(result.returns))
        centre = None if ask.pairs else measured(self.settings, ask.epoch, result.returns)
        # Nothing has changed so far, and nothing fails from here on.
        self._open.tell(ask, result, scores)
        self._count(result, ask)
        events = [] if centre is None else self._rank(centre)
        return events + self._close_if_complete()

    def set_aside(self, ticket: int, returns: Sequence[float] = ()) -> list[EggrollEvent]:
        """Wait for this work no more: it cannot be scored. Its pairs are dropped but for those that are.

        A centre that cannot be measured is not measured. Raises as :meth:`tell` does.

        Args:
            ticket: of the work.
            returns: as a result has them, NaN where one is missing; empty if all are.
        """
        ask = self._open.get(ticket)
        scored = ask.scored(returns)
        nobody_knows_what_they_did = self._novelty is not None
        self._open.drop(ask, {} if nobody_knows_what_they_did else self._open.scores(scored))
        self.evaluations += 2 * len(scored)
        self.episodes += sum(map(len, scored.values()))
        return self._close_if_complete()

    @property
    def normalisations(self) -> Sequence[Version]:
        """What observations were normalised by so far, oldest first."""
        return self._normalisation.versions if self._normalisation is not None else ()

    def untell(self, result: Result) -> SliceAsk:
        """Take back a result of the open epoch that should not have been told; its work is pending again.

        A best centre that it made is the best no longer.

        Raises:
            UnknownTicketError: it is not of the open epoch, or not told.
        """
        ask = self._open.untell(result.ticket)
        self._count(result, ask, -1)
        if not ask.pairs:
            self.best = self._former_best
        return ask

    def close_early(self) -> list[EggrollEvent]:
        """Close the open epoch without its missing pairs if `close_share` of them is in; for a deadline."""
        return [self._close()] if self._open.may_close_early else []

    def closed_without(self, ticket: int, closed: EpochClosed) -> bool:
        """Whether this epoch closed without the work of this ticket."""
        epoch, place = divmod(ticket, self.settings.tickets_per_epoch)
        first = 2 * (place - 1) * self.settings.slice_pairs
        return epoch == closed.epoch and place > 0 and math.isnan(closed.fitness[first])

    def adopt(self, ask: SliceAsk) -> None:
        """Take back an Ask made before a restart; one of a closed epoch needs nothing."""
        self._open.adopt(ask)

    def adopt_epoch(self, closed: EpochClosed) -> bool:
        """Take an epoch as closed that closed early before a restart; False if its scores closed it."""
        closed_early = closed.epoch == self.epoch
        if closed_early:
            self._closing()  # which comes to the same
            self._finish(closed)
        return closed_early

    def pending(self) -> list[SliceAsk]:
        """The asks of the open epoch not yet told, in order of their tickets."""
        return self._open.pending()

    def fitness_quantiles(self, fractions: Sequence[float]) -> list[float]:
        """Fitness at these fractions of the last closed epoch, 0 the worst, 1 the best; empty before it."""
        last = len(self._last_sorted) - 1
        return [self._last_sorted[round(f * last)] for f in fractions] if last >= 0 else []

    def snapshot(self) -> dict[str, JsonValue]:
        """The whole state as JSON values."""
        return self.freeze()()

    def freeze(self) -> Callable[[], dict[str, JsonValue]]:
        """The state as it is now, and what writes it as :meth:`snapshot` does; that may be later."""
        fitness, frozen = list(self._open.fitness), self._frozen()
        if self._novelty is not None:
            frozen["novelty"] = self._novelty.snapshot()
            frozen["behaviours"] = [behaviour.hex() for behaviour in self._open.behaviours]
            told = self._open.centre_told
            frozen["centre"] = [told[0].hex(), told[1]] if told else None
        if self._normalisation is not None:
            frozen["normalisation"] = self._normalisation.snapshot()
            frozen["observed"] = [[ticket, seen.hex()] for ticket, seen in self._open.observed.items()]
        return lambda: frozen | {"fitness": [None if math.isnan(score) else score for score in fitness]}

    def _frozen(self) -> dict[str, JsonValue]:
        """All but the fitness of the open epoch, in values that nobody changes."""
        return {
            "format": FORMAT_VERSION,
            "seed": self.seed,
            "shape": self._shape(),
            "epoch": self.epoch,
            "told_centre": self._open.is_centre_told,
            "unasked": list(self._open.unasked),
            "set_aside": list(self._open.set_aside),
            "last": self._last_sorted,
            "best": self.best.to_json() if self.best else None,
            "former_best": self._former_best.to_json() if self._former_best else None,
            "counts": [self.evaluations, self.episodes, self.frames, self.steps],
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Become what :meth:`snapshot` wrote; raises ValueError, naming the field, if it does not fit."""
        self._check(snapshot)
        if self._novelty is not None:
            self._novelty.restore(snapshot["novelty"])
        self._open = self._epoch(int(snapshot["epoch"]))
        self._open.fitness = [math.nan if score is None else float(score) for score in snapshot["fitness"]]
        self._open.is_centre_told = bool(snapshot["told_centre"])
        self._open.set_aside = dict.fromkeys(snapshot.get("set_aside", ()))  # earlier builds wrote none
        self._open.resume(snapshot["unasked"])
        self._restore_behaviours(snapshot)
        if self._normalisation is not None:
            self._normalisation.restore(snapshot["normalisation"])
            self._open.observed = {ticket: bytes.fromhex(seen) for ticket, seen in snapshot["observed"]}
        self._last_sorted = [float(score) for score in snapshot["last"]]
        self.best = MeasuredCentre.from_json(snapshot["best"]) if snapshot["best"] else None
        former = snapshot.get("former_best")  # earlier builds wrote none
        self._former_best = MeasuredCentre.from_json(former) if former else None
        self.evaluations, self.episodes, self.frames, self.steps = snapshot["counts"]

    def _restore_behaviours(self, snapshot: dict[str, Any]) -> None:
        if self._novelty is None:
            return
        self._open.behaviours = [bytes.fromhex(behaviour) for behaviour in snapshot["behaviours"]]
        told = snapshot["centre"]
        self._open.centre_told = (bytes.fromhex(told[0]), float(told[1])) if told else None

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

    def _epoch(self, number: int) -> OpenEpoch:
        only_measures = None if self._novelty is None else self._novelty.only_measures
        return OpenEpoch(self.settings, self.seed, number, only_measures)

    def _rank(self, centre: MeasuredCentre) -> list[EggrollEvent]:
        """The centre is measured; it may be the best so far."""
        if self.best is not None and centre.deciding_mean <= self.best.deciding_mean:
            return []
        self.best = centre
        return [NewBestCentre(centre)]

    def _close_if_complete(self) -> list[EggrollEvent]:
        return [self._close()] if self._open.is_complete else []

    def _close(self) -> EpochClosed:
        closed = self._closing()
        self._finish(closed)
        return closed

    def _closing(self) -> EpochClosed:
        """What the open epoch comes to; where novelty counts, it is part of the past from now on."""
        epoch, novelty = self._open, self._novelty
        if novelty is None:
            return EpochClosed(epoch.number, tuple(epoch.fitness))
        if epoch.centre_told is not None:
            novelty.measured(epoch.number, *epoch.centre_told)
        utilities = novelty.utilities(epoch.fitness, epoch.behaviours)
        return EpochClosed(epoch.number, utilities, novelty.take_turns(epoch.number))

    def _finish(self, closed: EpochClosed) -> None:
        """Open the next epoch."""
        scores = closed.fitness if self._novelty is None else self._open.fitness
        fitness = np.sort(np.array(scores, np.float64))  # what is missing comes last
        told = np.count_nonzero(~np.isnan(fitness))
        if told or self._novelty is None:  # an epoch that only measures says nothing of members
            self._last_sorted = fitness[:told].tolist()
        self._former_best = self.best
        self._learn_normalisation(closed.epoch + 1)
        self._open = self._epoch(closed.epoch + 1)

    def _learn_normalisation(self, next_epoch: int) -> None:
        """Learn from what the epoch saw that closes; a new version is for the epochs behind it."""
        if self._normalisation is not None:
            for observed in self._open.observed.values():
                self._normalisation.tell(observed)
            self._normalisation.freeze(self.evaluations, next_epoch)

    def _count(self, result: Result, ask: SliceAsk, sign: int = 1) -> None:
        self.evaluations += sign * (2 * ask.pairs or 1)
        self.episodes += sign * len(result.returns)
        self.frames += sign * result.frames
        self.steps += sign * result.steps

    def _shape(self) -> list[JsonValue]:
        """What must be the same for a snapshot to make sense."""
        s = self.settings
        centre: list[JsonValue] = [s.validation_epochs, s.validation_episodes, s.reported_episodes]
        novelty: list[JsonValue] = [s.novelty.shape()] if s.novelty else []
        novelty += ["normalise_observations"] if s.normalise_observations else []
        return [s.pairs, s.slice_pairs, s.episodes, *centre, list(s.starts), *novelty]
