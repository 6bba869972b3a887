"""Who is the best, where every individual has finitely many episodes: its starts, each played at most once.

Then nothing is left to luck: a candidate's mean over all starts is its score, and the champion is the best of
these. What is left to decide is whom to play on, and the answer is a race. Candidates play the starts in one
order, the same for all, from rung to rung (1, 2, 4, 8, 15, all). From each rung those go on that are no worse
than the middle of the last that came there, by the same starts (asynchronous halving: Li et al. 2020, arXiv
1810.05934). Nobody goes on whose differences to the champion, start by start, leave no hope: the mean of n of
N differences has the standard error ``s / sqrt(n) * sqrt((N - n) / (N - 1))``, drawn without replacement.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from germline.algorithms.base import Ask, Champion, NewChampion, Purpose
from germline.algorithms.draws import Dice, below
from germline.algorithms.means import mean_of, standard_error
from germline.algorithms.window import Window
from germline.genome import Genome

RUNGS = (1, 2, 4, 8, 15)
_ORDER_TICKET = (1 << 64) - 1  # whose dice shuffle the starts; no ask has it
_HOPELESS = 2.5  # standard errors below the champion
_FEWEST_DIFFERENCES = 4  # that tell anything of their own spread
_LAST_CAME = 32  # whose middle is the bar of a rung
_OPEN_RACES = 3  # unfinished ones kept, for each candidate


@dataclass(slots=True)
class Runner:
    """One candidate's race.

    Attributes:
        genome: who it is.
        returns: what it has played, by the place of the start in the order of the races.
        in_flight: starts that are asked and not told.
        goal: it may play the first so many starts of the order.
        came: the highest rung whose starts are all told.
    """

    genome: Genome
    returns: dict[int, float]
    in_flight: set[int] = field(default_factory=set)
    goal: int = 0
    came: int = 0

    @property
    def mean(self) -> float:
        """Over the starts that it has played; minus infinity before the first."""
        return mean_of(list(self.returns.values())) if self.returns else -math.inf

    def mean_of_first(self, count: int) -> float:
        """Over the first starts of the order, all of which it has played."""
        return mean_of([self.returns[place] for place in range(count)])

    def unplanned(self, goal: int) -> list[int]:
        """What it has to play of the first so many starts, and was not asked for."""
        return [place for place in range(goal) if place not in self.returns and place not in self.in_flight]


class Races:
    """The candidates' races, what is known of everybody in the window, and the champion.

    Attributes:
        known: of each individual in the window or a race its returns, by the place of the start.
        racing: the races, the champion's among them.
        given_up: individuals that race no more.
        bars: for each rung the means of the last that came there, over its starts.
    """

    def __init__(
        self, limit: int, episodes: int, starts: Sequence[int], seed: int, *, common: bool = False
    ) -> None:
        """Begin without candidates.

        Args:
            limit: C, how many leaders of the window are candidates; bounds the races, too.
            episodes: of one ask.
            starts: an episode seed for each start of the protocol.
            seed: the experiment's; shuffles the order in which candidates play them.
            common: whether new individuals all play the first starts.
        """
        self._limit, self._episodes = limit, min(episodes, len(starts))
        self._starts, self._common = tuple(starts), common
        self._order = shuffled(starts, Dice(seed, _ORDER_TICKET).episode_seeds(len(starts)))
        self._place_of = {start: place for place, start in enumerate(self._order)}
        self.rungs = [*(rung for rung in RUNGS if rung < len(starts)), len(starts)]
        self.known: dict[int, dict[int, float]] = {}
        self.racing: dict[int, Runner] = {}
        self.given_up: set[int] = set()
        self.bars: dict[int, list[float]] = {rung: [] for rung in self.rungs}
        self.champion: Runner | None = None

    # What to play

    def first_seeds(self, dice: Dice) -> tuple[int, ...]:
        """Starts of a new individual: by its own dice, or the first ones, the same for all."""
        if self._common:
            return self._starts[: self._episodes]
        return shuffled(self._order, dice.episode_seeds(self._episodes))[: self._episodes]

    def choose(self, window: Window) -> tuple[Genome, Purpose] | None:
        """Who should be re-played next; None if nobody needs to be. Changes nothing.

        The purpose is always the same: what a start says decides and is reported, as all of them are exact.
        """
        runner = self._next_runner()
        genome = runner.genome if runner is not None else self._next_leader(window)
        return (genome, Purpose.VALIDATE) if genome is not None else None

    def _next_leader(self, window: Window) -> Genome | None:
        """The best of the window that never raced."""
        leaders = (member.genome for member in window.best(self._limit))
        return next((genome for genome in leaders if not self._is_decided(genome.id)), None)

    @property
    def elite(self) -> Genome | None:
        """Who breeds beside the population's best."""
        return self.champion.genome if self.champion else None

    def seeds(self, genome: Genome, dice: Dice) -> tuple[int, ...]:
        """The starts of this candidate's next re-play, as episode seeds; nothing is left to dice."""
        runner = self.racing.get(genome.id) or Runner(genome, self.known.get(genome.id, {}))
        wanted = runner.unplanned(runner.goal)
        goal = runner.goal
        while not wanted and goal < len(self._order):
            goal = self._next_rung(goal)
            wanted = runner.unplanned(goal)
        return tuple(self._order[place] for place in wanted[: self._episodes])

    def lend(self, ask: Ask, window: Window) -> None:
        """Note that a candidate's starts are on their way."""
        returns = self.known.setdefault(ask.genome.id, {})
        runner = self.racing.setdefault(ask.genome.id, Runner(ask.genome, returns))
        places = self._places(ask)
        while runner.goal <= max(places):
            runner.goal = self._next_rung(runner.goal)
        runner.in_flight.update(places)

    def give_back(self, ask: Ask, window: Window) -> None:
        """These starts of a candidate cannot be played: it can have no score."""
        runner = self.racing.get(ask.genome.id)
        if runner is not None:
            self._give_up(runner)

    # What came of it

    def explored(self, ask: Ask, returns: tuple[float, ...], window: Window) -> NewChampion | None:
        """A new individual has played its first starts, not to be played again; no returns if any was cut.

        Where these are all that there are, nothing is left to race for.
        """
        known = self.known.setdefault(ask.genome.id, {}) if returns else {}
        known.update(zip(self._places(ask), returns, strict=True) if returns else ())
        event = None
        if len(known) == len(self._order) and not self._is_decided(ask.genome.id):
            whole = len(self._order)
            self.racing[ask.genome.id] = Runner(ask.genome, known, set(), whole, whole)
            event = self._finish(self.racing[ask.genome.id])
        self._forget_strangers(window)
        return event

    def tell(self, ask: Ask, returns: tuple[float, ...]) -> NewChampion | None:
        """Take a candidate's starts in."""
        places = self._places(ask)
        self.known.setdefault(ask.genome.id, {}).update(zip(places, returns, strict=True))
        runner = self.racing.get(ask.genome.id)
        if runner is None:  # given up meanwhile
            return None
        runner.in_flight.difference_update(places)
        if len(runner.returns) == len(self._order):
            runner.goal = len(self._order)  # the starts of its last rungs were its first, and known
        self._note_rungs(runner)
        if runner.came == len(self._order):
            return self._finish(runner)
        if self._is_beaten(runner):
            self._give_up(runner)
        self._bound_races()
        return None

    def forget(self, individuals: Collection[int], window: Window) -> None:
        """What was told of these individuals does not count, nor does it bar others: they may race anew."""
        for individual in individuals:
            self.known.pop(individual, None)
            self.racing.pop(individual, None)
        self.given_up.difference_update(individuals)
        for rung in self.rungs:
            came = [runner.mean_of_first(rung) for runner in self.racing.values() if runner.came >= rung]
            self.bars[rung] = came[-_LAST_CAME:]
        if self.champion is not None and self.champion.genome.id not in self.racing:
            self.champion = self._next_champion(window)

    def _next_champion(self, window: Window) -> Runner | None:
        """The best of the window of those that played all starts: they may have lost to a false score."""
        whole = len(self._order)
        done = ((i, returns, window.find(i)) for i, returns in self.known.items() if len(returns) == whole)
        runners = [Runner(m.genome, returns, set(), whole, whole) for _, returns, m in done if m is not None]
        best = max(runners, key=self._standing, default=None)
        if best is not None:
            self.given_up.discard(best.genome.id)
            self.racing[best.genome.id] = best
        return best

    def report(self) -> Champion | None:
        """The champion, exactly."""
        return self._report(self.champion) if self.champion else None

    def leading(self) -> Champion | None:
        """The champion or, before there is one, who came furthest."""
        begun = [runner for runner in self.racing.values() if runner.returns]
        best = self.champion or max(begun, key=self._standing, default=None)
        return self._report(best) if best else None

    def find(self, individual_id: int) -> Genome | None:
        """The genome with this id, if it races."""
        runner = self.racing.get(individual_id)
        return runner.genome if runner else None

    def ids(self) -> Iterable[int]:
        """Of those that race."""
        return self.racing

    def returns_of(self, individual_id: int) -> dict[int, float]:
        """What is known of an individual: its returns of whole games, by the start's seed."""
        known = self.known.get(individual_id, {})
        return {self._order[place]: known[place] for place in sorted(known)}

    # Inside

    def _places(self, ask: Ask) -> list[int]:
        return [self._place_of[seed] for seed in ask.episode_seeds]

    def _is_decided(self, individual_id: int) -> bool:
        """Whether somebody races, or need race no more."""
        return individual_id in self.racing or individual_id in self.given_up

    def _next_rung(self, goal: int) -> int:
        return next(rung for rung in self.rungs if rung > goal)

    def _standing(self, runner: Runner) -> tuple[int, float, int]:
        return runner.goal, runner.mean, runner.genome.id

    def _next_runner(self) -> Runner | None:
        """The furthest that has starts to play, of its rung or, if it goes on, of the next one."""
        runners = self.racing.values()
        waiting = [runner for runner in runners if runner.unplanned(runner.goal)]
        going_on = [runner for runner in runners if self._goes_on(runner)]
        return max(waiting or going_on, key=self._standing, default=None)

    def _goes_on(self, runner: Runner) -> bool:
        """Whether it has come to its rung, is not yet done, and is no worse than the middle of the last."""
        if runner.came != runner.goal or runner.goal == len(self._order):
            return False
        bar = sorted(self.bars[runner.goal])
        return runner.mean_of_first(runner.goal) >= bar[(len(bar) - 1) // 2]

    def _note_rungs(self, runner: Runner) -> None:
        """Let a rung's bar know of whoever comes there."""
        for rung in self.rungs:
            if runner.came < rung <= runner.goal and not any(p not in runner.returns for p in range(rung)):
                runner.came = rung
                self.bars[rung] = [*self.bars[rung], runner.mean_of_first(rung)][-_LAST_CAME:]

    def _is_beaten(self, runner: Runner) -> bool:
        """Whether its differences to the champion, start by start, leave no hope (see the module)."""
        if self.champion is None or len(runner.returns) < _FEWEST_DIFFERENCES:
            return False
        known = self.champion.returns
        differences = [value - known[place] for place, value in runner.returns.items()]
        mean, error = _mean_and_error(differences, len(self._order))
        return mean + _HOPELESS * error < 0

    def _finish(self, runner: Runner) -> NewChampion | None:
        """All starts are played: the title changes hands, or the race is over."""
        former = self.champion
        if former is not None and runner.mean <= former.mean:
            self._give_up(runner)
            return None
        self.champion = runner
        if former is not None:
            self._give_up(former)
        return NewChampion(runner.genome, runner.mean, len(self._order))

    def _give_up(self, runner: Runner) -> None:
        """Race no more; what it has played stays known while it is in the window."""
        del self.racing[runner.genome.id]
        self.given_up.add(runner.genome.id)

    def _bound_races(self) -> None:
        """Give up the least of too many unfinished races."""
        unfinished = [runner for runner in self.racing.values() if runner is not self.champion]
        unfinished.sort(key=self._standing, reverse=True)
        for runner in unfinished[_OPEN_RACES * self._limit :]:
            self._give_up(runner)

    def _forget_strangers(self, window: Window) -> None:
        """Keep nothing of those that have left the window and do not race; seldom, as it looks at all."""
        if len(self.known) <= 2 * len(window) + 2 * len(self.racing):
            return
        here = {i for i in self.known if i in self.racing or window.find(i) is not None}
        self.known = {individual: self.known[individual] for individual in self.known if individual in here}
        self.given_up &= here

    def _report(self, runner: Runner) -> Champion:
        n, whole = len(runner.returns), len(self._order)
        mean, error = _mean_and_error(list(runner.returns.values()), whole)
        if n < whole:
            return Champion(runner.genome, mean, n, error, validated=False)
        returns = tuple(runner.returns[self._place_of[start]] for start in self._starts)
        return Champion(runner.genome, mean, n, error, validated=True, returns=returns, proven=mean)


def shuffled(starts: Sequence[int], words: Sequence[int]) -> tuple[int, ...]:
    """As many starts as there are words, drawn without putting back: each word decides one."""
    left = list(starts)
    return tuple(left.pop(below(word, len(left))) for word in words)


def _mean_and_error(values: Sequence[float], whole: int) -> tuple[float, float]:
    """The mean of some of `whole` values, and its standard error: 0 for all, NaN for one of many."""
    n = len(values)
    if n == whole:
        return mean_of(values), 0.0
    if n == 1:
        return values[0], math.nan
    return mean_of(values), standard_error(values) * math.sqrt((whole - n) / (whole - 1))
