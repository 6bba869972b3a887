"""Who is the best, when every score is noisy: candidates re-played on fresh episodes.

The score that made an individual a candidate is biased upwards (it was picked *because* it was high), so it
never enters its validated mean. Trials race: each re-play goes to the candidate whose mean could still be the
highest, a candidate that falls behind the champion is dropped early, and the champion itself is re-played, so
that a title won by luck is lost again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from germline.algorithms.base import Champion, NewChampion
from germline.algorithms.window import Window
from germline.genome import Genome

_MEMORY = 1_000.0  # episodes that the noise estimate remembers: noise grows with the score


@dataclass(slots=True)
class Trial:
    """What fresh episodes say of one candidate.

    Attributes:
        genome: the candidate.
        episodes: fresh episodes told.
        mean: their mean return.
        squares: sum of squared deviations from the mean.
        in_flight: fresh episodes asked and not told.
    """

    genome: Genome
    episodes: int = 0
    mean: float = 0.0
    squares: float = 0.0
    in_flight: int = 0

    @property
    def planned(self) -> int:
        """Fresh episodes told or on their way."""
        return self.episodes + self.in_flight

    def report(self, *, validated: bool) -> Champion:
        """What is known, for people."""
        n = self.episodes
        error = math.sqrt(self.squares / (n - 1) / n) if n > 1 else math.nan
        return Champion(self.genome, self.mean, n, error, validated)

    def add(self, value: float) -> float:
        """Take in one return (Welford's update); gives back what it adds to the sum of squares."""
        self.episodes += 1
        delta = value - self.mean
        self.mean += delta / self.episodes
        growth = delta * (value - self.mean)
        self.squares += growth
        return growth


class Candidates:
    """At most `limit` trials and the champion among them."""

    def __init__(self, limit: int, validation_episodes: int) -> None:
        self.limit = limit
        self.validation_episodes = validation_episodes
        self.trials: dict[int, Trial] = {}
        self.champion: Trial | None = None
        self.noise_squares = 0.0
        self.noise_weight = 0.0

    def choose(self, window: Window) -> Genome | None:
        """Who should be re-played next; None if nobody needs to be. Changes nothing."""
        if len(self.trials) < self.limit:
            for member in window.best(self.limit):
                if not member.tried:
                    return member.genome
        open_trials = [trial for trial in self.trials.values() if self._is_open(trial)]
        if not open_trials:
            return None
        return max(
            open_trials, key=lambda trial: (self.upper_bound(trial, trial.planned), -trial.planned)
        ).genome

    def lend(self, genome: Genome, episodes: int, window: Window) -> None:
        """Note that fresh episodes of this individual are on their way."""
        trial = self.trials.get(genome.id)
        if trial is None:
            trial = self.trials[genome.id] = Trial(genome)
            member = window.find(genome.id)
            if member is not None:
                member.tried = True
        trial.in_flight += episodes

    def tell(self, genome: Genome, returns: tuple[float, ...]) -> NewChampion | None:
        """Take fresh episodes in; a trial dropped meanwhile has no use for them."""
        trial = self.trials.get(genome.id)
        if trial is None:
            return None
        trial.in_flight -= len(returns)
        for value in returns:
            self._learn_noise(trial.add(value), trial.episodes)
        before = self.champion
        self._crown()
        self._drop_beaten()
        if self.champion is None or self.champion is before:
            return None
        return NewChampion(self.champion.genome, self.champion.mean, self.champion.episodes)

    def leading(self) -> Trial | None:
        """The champion or, before there is one, the candidate with the best mean so far."""
        started = (trial for trial in self.trials.values() if trial.episodes)
        return self.champion or max(started, key=lambda trial: trial.mean, default=None)

    def upper_bound(self, trial: Trial, episodes: int) -> float:
        """The highest mean that a trial may plausibly have: one standard error above what it shows."""
        if not trial.episodes:
            return math.inf
        return trial.mean + self.noise / math.sqrt(episodes)

    @property
    def noise(self) -> float:
        """Standard deviation of one return, pooled over candidates."""
        return math.sqrt(self.noise_squares / self.noise_weight) if self.noise_weight else 0.0

    def _learn_noise(self, growth: float, episodes: int) -> None:
        if episodes > 1:
            fade = 1 - 1 / _MEMORY
            self.noise_squares = self.noise_squares * fade + growth
            self.noise_weight = self.noise_weight * fade + 1

    def _is_open(self, trial: Trial) -> bool:
        wanted = self.validation_episodes * (10 if trial is self.champion else 1)
        return trial.planned < wanted

    def _crown(self) -> None:
        finished = [t for t in self.trials.values() if t.episodes >= self.validation_episodes]
        self.champion = max(finished, key=lambda trial: (trial.mean, trial.episodes), default=None)

    def _drop_beaten(self) -> None:
        champion = self.champion
        if champion is None:
            return
        for trial in list(self.trials.values()):
            if trial is champion:
                continue
            done = trial.episodes >= self.validation_episodes
            if done or self.upper_bound(trial, trial.episodes) < champion.mean:
                del self.trials[trial.genome.id]
