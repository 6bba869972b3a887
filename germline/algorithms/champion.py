"""Who is the best, when every score is noisy: leaders re-played on fresh episodes.

The score that made an individual a leader is biased upwards (it was looked at *because* it was high), so it
never enters its trial. The mean of the trial that won the title is biased upwards, too, for the same reason:
so what is *reported* of a champion is a measurement apart, of episodes that were asked for after its
coronation and decide nothing. Re-plays take turns between four needs:

- breadth: the least played of the window's C leaders. Their fitness becomes the mean over all their episodes,
  so a lucky score loses its place among the parents.
- depth: the trial most surely good, by mean minus one standard error, goes on to V episodes, and to five
  times V while it is better than the champion's. One whose mean plus one standard error is below the
  champion's mean is given up early.
- measurement: a new champion is measured in place of depth until it has V episodes, then beside its title.
- title: the champion's own trial, up to five times V, so that a title won by luck is lost again.

The title changes hands where a trial's mean is better than the champion's by so many standard errors of their
difference that luck would seldom do it. Who breeds needs no such caution: that is whoever has the best mean.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from germline.algorithms.base import Ask, Champion, NewChampion, Purpose
from germline.algorithms.draws import Dice
from germline.algorithms.means import LARGEST_SQUARE, mean_with
from germline.algorithms.window import Window
from germline.genome import Genome

_TURNS = ("breadth", "depth", "breadth", "depth", "breadth", "title")
_TITLE_EPISODES = 5  # the champion, and whoever is better, is re-played up to so many times V
_SURE = 1.5  # standard errors by which a trial must be better than the champion's
_OPEN_TRIALS = 3  # unfinished trials kept, for each candidate
_MEMORY = 1_000.0  # episodes that the noise estimate remembers: noise grows with the score


@dataclass(slots=True)
class Trial:
    """What fresh episodes say of one candidate.

    Attributes:
        genome: the candidate.
        episodes: fresh episodes told.
        mean: their mean return.
        squares: sum of squared deviations from the mean, as far as a float holds it.
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
        if self.squares >= LARGEST_SQUARE:
            error = math.inf
        return Champion(self.genome, self.mean if n else math.nan, n, error, validated)

    def add(self, value: float) -> float:
        """Take in one return (Welford's update); gives back what it adds to the sum of squares."""
        former, self.mean = self.mean, mean_with(self.mean, self.episodes, (value,))
        self.episodes += 1
        growth = min((value - former) * (value - self.mean), LARGEST_SQUARE)
        self.squares += growth
        return growth


class Candidates:
    """The trials under way, those best among the finished, and the champion among these.

    Attributes:
        trials: by the individual's id.
        champion: the trial that has the title.
        measured: what is reported of the champion; None where nobody is validated.
        turn: whose need is next.

    Args:
        limit: C, how many leaders of the window are candidates; bounds what is kept, too.
        validation_episodes: V, the fresh episodes that make a trial finished.
        episodes: of one ask.
    """

    def __init__(self, limit: int, validation_episodes: int, episodes: int = 1) -> None:
        self._limit = limit
        self._episodes = episodes
        self._enough = validation_episodes
        self.trials: dict[int, Trial] = {}
        self.champion: Trial | None = None
        self.measured: Trial | None = None
        self.turn = 0
        self._best_genome: Genome | None = None
        self._knows_best = False
        self.know_noise(squares=0.0, weight=0.0)

    def choose(self, window: Window) -> tuple[Genome, Purpose] | None:
        """Who should be re-played next, and why; None if nobody needs to be. Changes nothing."""
        need, champion, measured = _TURNS[self.turn % len(_TURNS)], self.champion, self.measured
        if champion is not None and self._is_measured(need):
            return champion.genome, Purpose.MEASURE
        if champion is not None and need == "title" and self._is_open(champion):
            return champion.genome, Purpose.VALIDATE
        other = (self._deepest() if need != "breadth" else None) or self._broadest(window) or self._deepest()
        if other is not None:
            return other, Purpose.VALIDATE
        return (
            (measured.genome, Purpose.MEASURE) if measured is not None and self._is_open(measured) else None
        )

    @property
    def elite(self) -> Genome | None:
        """Who breeds beside the population's best: the best mean of those played enough, sure or not."""
        if self.measured is None:
            return self.champion.genome if self.champion else None
        if not self._knows_best:  # every child's parent is chosen with it, and it seldom changes
            best = self._best(self._finished())
            self._best_genome, self._knows_best = best.genome if best else None, True
        return self._best_genome

    def first_seeds(self, dice: Dice) -> tuple[int, ...]:
        """Episodes of a new individual."""
        return dice.episode_seeds(self._episodes)

    def seeds(self, genome: Genome, dice: Dice) -> tuple[int, ...]:
        """Fresh episodes for a candidate's next re-play."""
        return dice.episode_seeds(self._episodes)

    def lend(self, ask: Ask, window: Window) -> None:
        """Note that fresh episodes of this individual are on their way."""
        self.turn = (self.turn + 1) % len(_TURNS)
        if ask.purpose is Purpose.MEASURE:
            measured = self._measured(ask)
            if measured is not None:
                measured.in_flight += len(ask.episode_seeds)
            return
        trial = self.trials.setdefault(ask.genome.id, Trial(ask.genome))
        trial.in_flight += len(ask.episode_seeds)
        window.plan(ask.genome.id, len(ask.episode_seeds))

    def give_back(self, ask: Ask, window: Window) -> None:
        """Note that fresh episodes of this individual will never be told."""
        decides = ask.purpose is not Purpose.MEASURE
        trial = self.trials.get(ask.genome.id) if decides else self._measured(ask)
        if trial is not None:
            trial.in_flight = max(0, trial.in_flight - len(ask.episode_seeds))
        if decides:
            window.plan(ask.genome.id, -len(ask.episode_seeds))

    def tell(self, ask: Ask, returns: tuple[float, ...]) -> NewChampion | None:
        """Take fresh episodes in; a trial given up meanwhile has no use for them, nor has a lost title."""
        if ask.purpose is Purpose.MEASURE:
            self._measure(ask, returns)
            return None
        trial = self.trials.get(ask.genome.id)
        if trial is None:
            return None
        self._knows_best = False
        trial.in_flight = max(0, trial.in_flight - len(returns))
        for value in returns:
            self._learn_noise(trial.add(value), trial.episodes)
        before = self.champion
        finished = self._finished()
        best = max(finished, key=self._lead, default=None)
        if best is not None and best is not before and self._lead(best)[0] > 0:
            self.crown(best)
        self._forget(finished)
        if self.champion is None or self.champion is before:
            return None
        return NewChampion(self.champion.genome, self.champion.mean, self.champion.episodes)

    def crown(self, trial: Trial) -> None:
        """Let somebody have the title: what was played until now is not reported of it."""
        self.champion = trial
        self.measured = Trial(trial.genome) if self._limit else None

    def score(self, genome: Genome, returns: tuple[float, ...]) -> NewChampion | None:
        """Crown whoever has the best single evaluation: what is left without validation."""
        trial = Trial(genome)
        for value in returns:
            trial.add(value)
        if self.champion is not None and trial.mean <= self.champion.mean:
            return None
        self.trials = {genome.id: trial}
        self.champion = trial
        return NewChampion(genome, trial.mean, trial.episodes)

    def forget(self, individuals: Collection[int], window: Window) -> None:
        """What was told of these individuals does not count: who is best is decided among the others.

        The noise is what the others' episodes say, too: a false return may have been any number.
        """
        kept = {i: trial for i, trial in self.trials.items() if i not in individuals}
        lost_champion = self.champion is not None and self.champion.genome.id not in kept
        self.trials, self._knows_best = kept, False
        squares = min(math.fsum(trial.squares for trial in kept.values()), LARGEST_SQUARE)
        self.know_noise(squares, float(sum(max(trial.episodes - 1, 0) for trial in kept.values())))
        if lost_champion:
            self.champion = self.measured = None
            successor = self._next_champion(window)
            if successor is not None:
                self.crown(successor)

    def _next_champion(self, window: Window) -> Trial | None:
        """The best of the finished; where nobody is validated, of the window."""
        if self._limit:
            return self._best(self._finished())
        for best in window.best(1):
            trial = Trial(best.genome, best.episodes, best.fitness, LARGEST_SQUARE)  # its spread is forgotten
            self.trials[best.genome.id] = trial
        return next(iter(self.trials.values()), None)

    def leading(self) -> Champion | None:
        """The champion or, before there is one, the surest of the trials."""
        started = [trial for trial in self.trials.values() if trial.episodes]
        surest = max(started, key=self._sureness, default=None)
        return self.report() or (surest.report(validated=False) if surest else None)

    def report(self) -> Champion | None:
        """The champion, if there is one, as it was measured since; where nobody is, as it was scored once."""
        champion, measured = self.champion, self.measured
        if champion is None:
            return None
        if measured is None:
            return champion.report(validated=False)._replace(proven=champion.mean)
        proven = min(champion.mean, measured.mean) if measured.episodes >= self._enough else -math.inf
        return measured.report(validated=True)._replace(
            title_episodes=champion.episodes, title_mean=champion.mean, proven=proven
        )

    def find(self, individual_id: int) -> Genome | None:
        """The genome with this id, if it is on trial."""
        trial = self.trials.get(individual_id)
        return trial.genome if trial else None

    def ids(self) -> Iterable[int]:
        """Of those on trial."""
        return self.trials

    def know_noise(self, squares: float, weight: float) -> None:
        """Set what is known of a return's variance: pooled squared deviations, and how many count."""
        self.noise_squares = squares
        self.noise_weight = weight
        self._noise = math.sqrt(squares / weight) if weight else 0.0

    def _finished(self) -> list[Trial]:
        return [trial for trial in self.trials.values() if trial.episodes >= self._enough]

    def _best(self, trials: list[Trial]) -> Trial | None:
        return max(trials, key=lambda trial: (trial.mean, trial.episodes), default=None)

    def _is_measured(self, need: str) -> bool:
        """Whether this turn is the measurement's."""
        measured, champion = self.measured, self.champion
        if measured is None or champion is None or need == "breadth":
            return False
        is_behind = measured.planned <= champion.planned and self._is_open(measured)
        return measured.planned < self._enough or (need == "title" and is_behind)

    def _is_open(self, trial: Trial) -> bool:
        """Whether a champion, or somebody better, may be played on."""
        return trial.planned < _TITLE_EPISODES * self._enough

    def _measured(self, ask: Ask) -> Trial | None:
        """The champion's measurement, if it is still the champion's whose episodes these are."""
        return (
            self.measured if self.measured is not None and self.measured.genome.id == ask.genome.id else None
        )

    def _measure(self, ask: Ask, returns: tuple[float, ...]) -> None:
        measured = self._measured(ask)
        if measured is not None:
            measured.in_flight = max(0, measured.in_flight - len(returns))
            for value in returns:
                measured.add(value)

    def _lead(self, trial: Trial) -> tuple[float, float, int]:
        """By how much a finished trial is surely better than the champion's; of equals, how good it is."""
        champion = self.champion
        if champion is None:
            return math.inf, trial.mean, trial.episodes
        luck = self._noise * math.sqrt(1 / trial.episodes + 1 / champion.episodes)
        return trial.mean - champion.mean - _SURE * luck, trial.mean, trial.episodes

    def _deepest(self) -> Genome | None:
        """The undecided trial that is most surely good."""
        trials = [trial for trial in self.trials.values() if trial.episodes and self._is_undecided(trial)]
        best = max(trials, key=self._sureness, default=None)
        return best.genome if best else None

    def _is_undecided(self, trial: Trial) -> bool:
        """Whether a trial has not played enough, or is better than the champion's and not surely so."""
        champion = self.champion
        is_better = champion is not None and trial is not champion and trial.mean > champion.mean
        return trial.planned < self._enough or (is_better and self._is_open(trial))

    def _broadest(self, window: Window) -> Genome | None:
        """The least played of the window's leaders, the best of equals; none beyond V episodes."""
        least = min(window.best(self._limit), key=lambda member: member.planned, default=None)
        return least.genome if least and least.planned < self._enough else None

    def _bound(self, trial: Trial, side: int) -> float:
        """The mean, one standard error below (-1) or above (+1) what the told episodes show."""
        return trial.mean + side * self._noise / math.sqrt(trial.episodes)

    def _sureness(self, trial: Trial) -> tuple[float, int]:
        """How surely good a trial is; of equals, the one that was played more."""
        return self._bound(trial, -1), trial.episodes

    def _learn_noise(self, growth: float, episodes: int) -> None:
        if episodes > 1:
            fade = 1 - 1 / _MEMORY
            self.know_noise(self.noise_squares * fade + growth, self.noise_weight * fade + 1)

    def _forget(self, finished: list[Trial]) -> None:
        """Give up trials that are beaten, and the least of too many."""
        if len(finished) > self._limit:
            runners_up = (trial for trial in finished if trial is not self.champion)
            self._drop([min(runners_up, key=lambda trial: trial.mean)])
        started = [t for t in self.trials.values() if 0 < t.episodes < self._enough]
        best = self._best(finished)
        if best is not None:
            self._drop(trial for trial in started if self._bound(trial, +1) < best.mean)
        if len(started) > _OPEN_TRIALS * self._limit:
            self._drop([min(started, key=self._sureness)])

    def _drop(self, trials: Iterable[Trial]) -> None:
        for trial in trials:
            self.trials.pop(trial.genome.id, None)
