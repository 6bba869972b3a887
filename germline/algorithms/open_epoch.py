"""The open epoch of an evolution strategy: which pairs it still needs, and what of it is in."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping

from germline.algorithms.base import AlreadyToldError, Result, UnknownTicketError
from germline.algorithms.draws import Dice
from germline.algorithms.eggroll_settings import EggrollSettings
from germline.algorithms.means import mean_of
from germline.algorithms.slices import SliceAsk


class OpenEpoch:
    """One epoch's pieces of work. A piece has a place: 0 is the centre, and the slices follow.

    Attributes:
        number: of the epoch, from 0.
        fitness: of each member, plus and minus of a pair behind each other; NaN where it is missing.
        behaviours: of each member, empty where it is missing; without novelty, of nobody.
        observed: what members and centre saw, by ticket, where observations are normalised.
        centre_told: what the centre did, and its mean; None where that is not known.
        is_centre_told: whether the centre's measurement is in, or none is due.
        unasked: places that are still to be asked, the next one first.
        set_aside: places that cannot be scored.
    """

    def __init__(
        self, settings: EggrollSettings, seed: int, number: int, only_measures: bool | None = None
    ) -> None:
        """Open an epoch; nothing is asked yet.

        Args:
            settings: those of the search.
            seed: the experiment's.
            number: of the epoch.
            only_measures: whether it is the centre alone, or its pairs alone; None: its pairs and, every
                `validation_epochs`, the centre.
        """
        self._settings, self._seed = settings, seed
        self.number = number
        self.fitness = [math.nan] * (2 * settings.pairs)
        self.behaviours = [b""] * (2 * settings.pairs if settings.novelty else 0)
        self.observed: dict[int, bytes] = {}
        self.centre_told: tuple[bytes, float] | None = None
        every = settings.validation_epochs
        is_due = bool(every) and number % every == 0
        self.is_centre_told = not (is_due if only_measures is None else only_measures)
        # The centre is asked first: it is one long piece of work.
        end = 1 if only_measures else settings.tickets_per_epoch
        self.unasked = OrderedDict.fromkeys(range(int(self.is_centre_told), end))
        self.set_aside: dict[int, None] = {}
        self._pending: dict[int, SliceAsk] = {}

    # Asking

    def ask(self, n: int) -> list[SliceAsk]:
        """Hand out at most n pieces; none once all are out."""
        count = min(max(n, 0), len(self.unasked))
        asks = [self._ask_of(self.unasked.popitem(last=False)[0]) for _ in range(count)]
        self._pending.update((ask.ticket, ask) for ask in asks)
        return asks

    def adopt(self, ask: SliceAsk) -> None:
        """Take back an Ask made before a restart; one of another epoch needs nothing."""
        place = self._place_of(ask.ticket)
        if ask.epoch == self.number and place in self.unasked:
            del self.unasked[place]
            self._pending[ask.ticket] = ask

    def resume(self, unasked: Iterable[int]) -> None:
        """Let only these places be unasked; what is neither told nor set aside of the others is pending."""
        every, self.unasked = self.unasked, OrderedDict.fromkeys(unasked)
        asked = [place for place in every if place not in self.unasked]
        pending = [self._ask_of(place) for place in asked if not self._is_told(place)]
        self._pending = {ask.ticket: ask for ask in pending}

    def pending(self) -> list[SliceAsk]:
        """The asks not yet told, in order of their tickets."""
        return [self._pending[ticket] for ticket in sorted(self._pending)]

    def get(self, ticket: int) -> SliceAsk:
        """The pending Ask of a ticket; raises AlreadyToldError or UnknownTicketError if there is none."""
        ask = self._pending.get(ticket)
        if ask is not None:
            return ask
        epoch, place = divmod(ticket, self._settings.tickets_per_epoch)
        if ticket < 0 or epoch > self.number or (epoch == self.number and place in self.unasked):
            raise UnknownTicketError(f"ticket {ticket} was never asked; epoch {self.number} is open")
        raise AlreadyToldError(f"ticket {ticket} was told or set aside, or epoch {epoch} closed without it")

    # Telling

    def scores(self, scored: Mapping[int, tuple[float, ...]]) -> dict[int, float]:
        """The fitness of members, by their place: plus has the first half of its pair's returns."""
        episodes, scores = self._settings.episodes, {}
        for pair, returns in scored.items():
            scores[2 * pair] = mean_of(returns[:episodes])
            scores[2 * pair + 1] = mean_of(returns[episodes:])
        return scores

    def tell(self, ask: SliceAsk, result: Result, scores: Mapping[int, float]) -> None:
        """Note a result, and these scores in it; without pairs it is the centre's."""
        del self._pending[ask.ticket]
        self._note(scores)
        self.is_centre_told |= not ask.pairs
        if self._settings.novelty:
            self._note_behaviour(ask, result)
        if result.observed:
            self.observed[ask.ticket] = result.observed

    def drop(self, ask: SliceAsk, scores: Mapping[int, float]) -> None:
        """Wait for this work no more: only these scores of it are known."""
        del self._pending[ask.ticket]
        self._note(scores)
        self.set_aside[self._place_of(ask.ticket)] = None

    def untell(self, ticket: int) -> SliceAsk:
        """Let this work be pending again; raises UnknownTicketError if it is not told."""
        epoch, place = divmod(ticket, self._settings.tickets_per_epoch)
        untold = place in self.unasked or place in self.set_aside or ticket in self._pending
        if epoch != self.number or untold:
            raise UnknownTicketError(f"ticket {ticket} is not told in epoch {self.number}")
        ask = self._pending[ticket] = self._ask_of(place)
        self.observed.pop(ticket, None)
        if ask.pairs:
            members = slice(2 * ask.first_pair, 2 * (ask.first_pair + ask.pairs))
            self.fitness[members] = [math.nan] * (2 * ask.pairs)
            self.behaviours[members] = [b""] * (2 * ask.pairs if self._settings.novelty else 0)
        else:
            self.is_centre_told, self.centre_told = False, None
        return ask

    @property
    def is_complete(self) -> bool:
        """Whether nothing is waited for."""
        return not (self._pending or self.unasked)

    @property
    def may_close_early(self) -> bool:
        """Whether enough pairs are in, and the centre, if it is measured.

        A pair with one missing member is missing as a pair. A measurement of the centre is waited for: nobody
        could make it later, when the centre has moved on.
        """
        complete = sum(not math.isnan(score) for score in self.fitness) // 2
        return complete >= self._settings.close_share * self._settings.pairs and self._is_told(0)

    # Inside

    def _ask_of(self, place: int) -> SliceAsk:
        settings = self._settings
        ticket = self.number * settings.tickets_per_epoch + place
        first_pair = max(place - 1, 0) * settings.slice_pairs
        pairs = min(settings.slice_pairs, settings.pairs - first_pair) if place else 0
        return SliceAsk(ticket, self.number, first_pair, pairs, self._episode_seeds(ticket, place, pairs))

    def _episode_seeds(self, ticket: int, place: int, pairs: int) -> tuple[int, ...]:
        """Drawn for this ticket or, for the centre where starts are finitely many, all of these."""
        settings = self._settings
        if not place and settings.starts:
            return settings.starts
        episodes = pairs * settings.episodes if place else settings.centre_episodes
        return Dice(self._seed, ticket).episode_seeds(episodes)

    def _place_of(self, ticket: int) -> int:
        return ticket % self._settings.tickets_per_epoch

    def _is_told(self, place: int) -> bool:
        if place in self.set_aside:
            return True
        if place == 0:
            return self.is_centre_told
        return not math.isnan(self.fitness[2 * (place - 1) * self._settings.slice_pairs])

    def _note(self, scores: Mapping[int, float]) -> None:
        for place, score in scores.items():
            self.fitness[place] = score

    def _note_behaviour(self, ask: SliceAsk, result: Result) -> None:
        """What the members of a slice did, or the centre."""
        if not ask.pairs:
            self.centre_told = result.behaviour, mean_of(result.returns)
            return
        size, first = len(result.behaviour) // (2 * ask.pairs), 2 * ask.first_pair
        for number in range(2 * ask.pairs):
            self.behaviours[first + number] = result.behaviour[number * size : (number + 1) * size]
