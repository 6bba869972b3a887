"""The share of asks that re-play the leading candidates, and who is the champion by what they say."""

from __future__ import annotations

from germline.algorithms import known_returns
from germline.algorithms.base import Ask, Champion, NewChampion, Purpose, Result
from germline.algorithms.champion import Candidates
from germline.algorithms.ga_settings import GaSettings
from germline.algorithms.known_returns import KnownReturns
from germline.algorithms.races import Races
from germline.algorithms.window import Member, Window
from germline.genome import Genome


class Validation:
    """Re-plays among new individuals, never more than their share.

    Attributes:
        candidates: who finds the champion: races where episodes are finitely many, trials elsewhere.
        credit: re-plays that may be asked by now; each ask earns a share of one.
    """

    def __init__(self, settings: GaSettings, seed: int) -> None:
        """Begin with nobody; `seed` is the experiment's."""
        self._settings, self._seed = settings, seed
        self.candidates = _candidates(settings, seed)
        self.credit = 0.0

    def due(self, members: Window) -> tuple[Genome, Purpose] | None:
        """Who is to be re-played now, and why; None if a new individual comes. Changes nothing."""
        if not self._settings.validates or self.credit + self._settings.validation_share < 1:
            return None
        return self.candidates.choose(members)

    def earn(self) -> None:
        """Another ask was made, of whatever kind; what a long litter put off is not all made up for."""
        share = self._settings.validation_share
        self.credit = min(self.credit + share, 1 + share * self._settings.litter)

    def lend(self, ask: Ask, members: Window) -> None:
        """Note a re-play as asked."""
        self.credit -= 1
        self.candidates.lend(ask, members)

    def explored(self, ask: Ask, result: Result, members: Window) -> NewChampion | None:
        """A new individual was scored: crowned at once where nobody is validated, or it played all starts."""
        if isinstance(self.candidates, Races):
            return self.candidates.explored(ask, () if result.cut else result.returns, members)
        return None if self._settings.validates else self.candidates.score(ask.genome, result.returns)

    @property
    def champion(self) -> Champion | None:
        """Whoever has the title; None before the first."""
        best = self.candidates.report()
        return best if best is None or self._settings.validates else best._replace(validated=False)

    def known_returns(self, genome: Genome | None, member: Member | None) -> KnownReturns | None:
        """By which episodes an individual can be held to its score; None if by none.

        Args:
            genome: who it is; None if it is unknown.
            member: it, if it is in the population.
        """
        if isinstance(self.candidates, Races):
            return None if genome is None else known_returns.by_start(self.candidates, genome)
        if member is None:
            return None
        return known_returns.of_first_evaluation(self._settings, self._seed, member)


def _candidates(settings: GaSettings, seed: int) -> Candidates | Races:
    if settings.starts:
        common = settings.common_starts
        return Races(settings.candidates, settings.episodes, settings.starts, seed, common=common)
    return Candidates(settings.candidates, settings.validation_episodes, settings.episodes)
