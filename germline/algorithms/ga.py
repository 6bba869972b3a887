"""The genetic algorithm of Such et al. 2018 (arXiv 1712.06567, algorithm 1) without generations.

The population is the sliding window of the last P results; the T best of it and the champion breed; a child
is its parent and one mutation. A share of asks re-plays the leading candidates on fresh episode seeds, and
the champion has the best *mean* over at least V of those, so that a lucky run cannot rule. What is reported
of it comes from episodes of their own, which decide nothing. Under a cap, parents are chosen by games that
are cut short, all at the same frame; candidates and the champion play whole games.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from germline.algorithms import ga_snapshot as codec
from germline.algorithms import known_returns
from germline.algorithms.base import (
    Ask,
    Champion,
    Event,
    JsonValue,
    NewChampion,
    Purpose,
    Result,
    check_cut,
    check_result,
)
from germline.algorithms.caps import Caps
from germline.algorithms.champion import Candidates
from germline.algorithms.draws import Dice
from germline.algorithms.elites import Elites
from germline.algorithms.ga_settings import GaSettings
from germline.algorithms.ga_snapshot import GenomeShelf
from germline.algorithms.known_returns import KnownReturns
from germline.algorithms.likeness import Likeness
from germline.algorithms.novelty import Novelty
from germline.algorithms.novelty_snapshot import (
    freeze_novelty,
    read_behaviours,
    read_novelty,
    write_behaviours,
)
from germline.algorithms.power import power_rule
from germline.algorithms.races import Races
from germline.algorithms.races_snapshot import read_trials, write_trials
from germline.algorithms.selection import anybody, contestants, tournament, truncation
from germline.algorithms.tickets import TicketBook
from germline.algorithms.window import Member, Window
from germline.behaviour import BYTES
from germline.genome import Genome, Mutation, check_seed

_COUNTS = ("evaluations", "episodes", "frames", "steps", "founders_asked")
_FIELDS = (
    *("format", "seed", "settings", "genomes", "tickets", "window", "candidates", "counts"),
    *("validation_credit", "litter_left", "litter_parent"),
)
_LATER = (
    "again",
    "likeness",
    "caps",
    "novelty",
    "behaviours",
)  # which the first snapshots did not know, and many searches have none of


class GeneticAlgorithm:
    """Steady-state neuroevolution; see :class:`germline.algorithms.base.Algorithm` for what it promises.

    Attributes:
        settings: what shapes the search.
        seed: the experiment's uint64; with a ticket it fixes every die.
        evaluations: results counted so far.
        episodes: episodes in them.
        frames: emulator frames in them.
        steps: agent actions in them.
        founders_asked: random individuals asked so far.
        likeness: which share of the children acts differently from their parents.
    """

    def __init__(self, settings: GaSettings, seed: int) -> None:
        check_seed("seed", seed)
        self.settings = settings
        self.seed = seed
        self.evaluations = self.episodes = self.frames = self.steps = 0
        self._tickets = TicketBook()
        self._window = (
            Elites(settings.cells.make()) if settings.cells else Window(settings.window, settings.replacement)
        )
        self._novelty = Novelty(settings.novelty) if settings.novelty else None
        self._candidates = _candidates(settings, seed)
        self._power = power_rule(settings)
        grows = settings.cap_schedule == "progressive"
        self._caps = Caps(settings.cap_frames, grows=grows, window=settings.window)
        self.founders_asked = 0
        self._validation_credit = 0.0
        self._litter_parent: Genome | None = None
        self._litter_left = 0
        self.likeness = Likeness()
        self._again: dict[int, Genome] = {}  # by id: to be asked once more, as if they were new

    def ask(self, n: int) -> list[Ask]:
        """Hand out n pieces of work."""
        return [self._ask_one() for _ in range(n)]

    def tell(self, result: Result) -> list[Event]:
        """Take one result in; see the protocol for what is refused."""
        ask = self._tickets.get(result.ticket)
        check_result(result, len(ask.episode_seeds))
        check_cut(result, ask.cap_frames)
        self._check_behaviour(result.behaviour)
        self._tickets.close(result.ticket)
        self._count(result)
        if self.settings.starts:
            self.likeness.tell(ask, result)
            self.likeness.forget_strangers(len(self._window), self.knows)
        if ask.purpose is not Purpose.EXPLORE:
            self._revise(ask, result.returns)
            event = self._candidates.tell(ask, result.returns)
        else:
            self._caps.tell(ask, result)
            self._settle(ask, self._scores(result), result.behaviour)
            event = self._score(ask, result)
        if self._novelty is not None:
            self._novelty.reward.told(self._novelty.settings, is_new_champion=event is not None)
        return [event] if event is not None else []

    def set_aside(self, ticket: int) -> None:
        """Wait for this ticket no more: it cannot be scored. Raises as :meth:`tell` does."""
        ask = self._tickets.get(ticket)
        self._tickets.close(ticket)
        if ask.purpose is not Purpose.EXPLORE:
            self._candidates.give_back(ask, self._window)

    def forget(self, individuals: Collection[int]) -> None:
        """Let nothing count that was told of these individuals; those that are known are asked anew."""
        genomes = {i: self._candidates.find(i) for i in individuals}
        genomes |= {member.genome.id: member.genome for member in self._window.forget(individuals)}
        self._candidates.forget(individuals, self._window)
        if self._novelty is not None:
            self._novelty.forget(individuals)
        self.likeness.forget(individuals)
        self._again |= {i: genome for i, genome in genomes.items() if genome is not None}

    def knows(self, individual_id: int) -> bool:
        """Whether a score of this individual still counts: it is in the population, or in validation."""
        return (
            self._window.find(individual_id) is not None or self._candidates.find(individual_id) is not None
        )

    def adopt(self, ask: Ask) -> None:
        """Take back an Ask made before a restart."""
        self._lend(ask)

    def skip_to(self, ticket: int) -> None:
        """Use no ticket below this one for new work: a worker may hold it since before a restart."""
        self._tickets.skip_to(ticket)

    @property
    def dimensions(self) -> int:
        """Whole numbers of the behaviours that the search needs; 0: it needs none."""
        needs = self.settings.novelty or self.settings.cells
        return needs.dimensions if needs else 0

    @property
    def reward_weight(self) -> int | None:
        """How much reward counts beside novelty, in 64ths; None where it counts alone."""
        return self._novelty.reward.weight if self._novelty is not None else None

    @property
    def next_ticket(self) -> int:
        """The ticket of whatever is asked next."""
        return self._tickets.next_ticket

    def pending(self) -> list[Ask]:
        """The asks not yet told, in order of their tickets."""
        return self._tickets.pending()

    @property
    def champion(self) -> Champion | None:
        """The individual with the best validated mean; None before there is one.

        Without candidates nobody is validated, and it is the individual with the best single evaluation.
        """
        best = self._candidates.report()
        return best if best is None or self.settings.validates else best._replace(validated=False)

    def leader(self) -> Champion | None:
        """The champion or, before there is one, whoever looks best so far; None before the first result."""
        return self.champion or self._candidates.leading() or self._best_member()

    def find(self, individual_id: int) -> Genome | None:
        """The genome with this id, if it is in the population, in validation or a litter's parent."""
        member = self._window.find(individual_id)
        found = member.genome if member is not None else self._candidates.find(individual_id)
        parent = self._litter_parent
        return found or (parent if parent is not None and parent.id == individual_id else None)

    def individual_ids(self) -> Iterator[int]:
        """Ids of all that are in the population or in validation; some come twice."""
        yield from (member.genome.id for member in self._window)
        yield from self._candidates.ids()

    def known_returns(self, individual_id: int) -> KnownReturns | None:
        """By which episodes an individual can be held to its score; None if by none, or if it is unknown."""
        if isinstance(self._candidates, Races):
            genome = self.find(individual_id)
            return None if genome is None else known_returns.by_start(self._candidates, genome)
        member = self._window.find(individual_id)
        if member is None:
            return None
        return known_returns.of_first_evaluation(self.settings, self.seed, member)

    def population(self) -> Iterator[Member]:
        """The members of the window from worst to best."""
        return iter(self._window)

    def best(self, limit: int) -> list[Member]:
        """The best members of the window, best first."""
        return self._window.best(limit)

    def member(self, individual_id: int) -> Member | None:
        """The member of the window with this id."""
        return self._window.find(individual_id)

    @property
    def population_size(self) -> int:
        """How many members the window has."""
        return len(self._window)

    @property
    def lineage_depth(self) -> int:
        """Mutations of the longest line in the window."""
        return self._window.longest_line

    @property
    def cap_frames(self) -> int:
        """Frames after which the episodes of a new individual are cut; 0: they are whole games."""
        return self._caps.now

    @property
    def compared_cap_frames(self) -> int:
        """Under which cap those played who may be parents, and of whom the quantiles are."""
        return self._window.cap_frames

    def fitness_quantiles(self, fractions: Sequence[float]) -> list[float]:
        """Fitness at these fractions of those that are compared, 0 the worst and 1 the best."""
        last = self._window.comparable - 1
        return [self._window.ranked(round(f * last)).fitness for f in fractions] if last >= 0 else []

    def snapshot(self) -> dict[str, JsonValue]:
        """The whole state as JSON values."""
        return self.freeze()()

    def freeze(self) -> Callable[[], dict[str, JsonValue]]:
        """The state as it is now, and what writes it as :meth:`snapshot` does; that may be later, elsewhere.

        Taking it costs a fraction of writing it: a large population is written on a thread of its own.
        """
        shelf, members = GenomeShelf(), self._window.freeze()
        written: dict[str, JsonValue] = {
            "format": codec.FORMAT_VERSION,
            "seed": self.seed,
            "settings": codec.write_settings(self.settings),
            "tickets": codec.write_tickets(self._tickets, shelf),
            "window": [],  # in its place, and written below
            "candidates": write_trials(self._candidates, shelf),
            "counts": {field: getattr(self, field) for field in _COUNTS},
            "validation_credit": self._validation_credit,
            "litter_left": self._litter_left,
            "litter_parent": shelf.place(self._litter_parent) if self._litter_parent is not None else None,
        }
        if self.settings.starts:  # where children can be held against their parents
            written["likeness"] = self.likeness.rows()
        if self._again:
            written["again"] = [shelf.place(genome) for genome in self._again.values()]
        if self.settings.cap_schedule == "progressive":
            written["caps"] = list(self._caps.snapshot())

        write_novelty = freeze_novelty(self._novelty) if self._novelty is not None else None

        def write() -> dict[str, JsonValue]:
            window = codec.write_window(members(), shelf)
            told = {"behaviours": write_behaviours(members())} if self.dimensions else {}
            told |= {"novelty": write_novelty()} if write_novelty else {}
            return written | {"window": window, "genomes": shelf.write()} | told

        return write

    def restore(self, snapshot: dict[str, JsonValue]) -> None:
        """Become what :meth:`snapshot` wrote; raises ValueError, naming the field, and stays as it was."""
        restored = GeneticAlgorithm(self.settings, self.seed)
        restored._load(snapshot)
        self.__dict__.update(restored.__dict__)

    def _load(self, snapshot: dict[str, Any]) -> None:
        version = snapshot.get("format")
        if not isinstance(version, int) or not 1 <= version <= codec.FORMAT_VERSION:
            raise ValueError(
                f"format is {version!r}; this build reads snapshots of formats 1 to {codec.FORMAT_VERSION}"
            )
        codec.only(snapshot, "snapshot", (*_FIELDS, *(field for field in _LATER if field in snapshot)))
        if snapshot["seed"] != self.seed:
            raise ValueError(f"seed is {snapshot['seed']!r} in the snapshot, {self.seed} here")
        codec.check_settings(snapshot["settings"], self.settings)
        shelf = GenomeShelf.read(codec.value(snapshot, "snapshot", "genomes", str))
        codec.read_tickets(self._tickets, snapshot["tickets"], shelf)
        self._load_window(snapshot, shelf)
        read_trials(self._candidates, snapshot["candidates"], shelf, version)
        if "likeness" in snapshot:
            codec.read_likeness(self.likeness, snapshot["likeness"])
        codec.only(snapshot["counts"], "counts", _COUNTS)
        for field in _COUNTS:
            setattr(self, field, codec.value(snapshot["counts"], "counts", field, int))
        self._validation_credit = codec.value(snapshot, "snapshot", "validation_credit", float)
        self._litter_left = codec.value(snapshot, "snapshot", "litter_left", int)
        parent = snapshot["litter_parent"]
        self._litter_parent = None if parent is None else shelf.at(parent, "litter_parent")
        again = codec.rows(snapshot, "snapshot", "again") if "again" in snapshot else []
        places = codec.row(again, "again", *[int] * len(again))
        if "caps" in snapshot:
            self._caps.restore(codec.row(snapshot["caps"], "caps", *[int] * 5))
        self._again = {genome.id: genome for genome in (shelf.at(place, "again") for place in places)}

    def _load_window(self, snapshot: dict[str, Any], shelf: GenomeShelf) -> None:
        """The population, with its behaviours where the search knows of them."""
        if not self.dimensions:
            codec.read_window(self._window, snapshot, shelf)
            return
        codec.only(
            {field: snapshot[field] for field in ("behaviours", "novelty") if field in snapshot},
            "snapshot",
            ("behaviours", "novelty") if self._novelty is not None else ("behaviours",),
        )
        count = len(codec.rows(snapshot, "snapshot", "window"))
        behaviours = read_behaviours(snapshot["behaviours"], self.dimensions, count)
        members = codec.read_window(self._window, snapshot, shelf, behaviours)
        if self._novelty is not None:
            read_novelty(self._novelty, snapshot["novelty"], members)

    def _best_member(self) -> Champion | None:
        """The window's best, as far as single evaluations tell; under a cap they tell nothing of its mean."""
        if not len(self._window):
            return None
        best = self._window.ranked(-1)
        if best.cap_frames:
            return Champion(best.genome, math.nan, 0, math.nan, validated=False)
        return Champion(best.genome, best.fitness, best.episodes, math.nan, validated=False)

    def _ask_one(self) -> Ask:
        """Decide on the next piece of work from the state and the ticket, then note it."""
        ticket = self._tickets.next_ticket
        dice = Dice(self.seed, ticket)
        again = next(iter(self._again.values()), None)
        candidate = self._candidate_due()
        if again is not None:
            seeds = self._candidates.first_seeds(dice)
            ask = Ask(ticket, again, Purpose.EXPLORE, seeds, cap_frames=self._caps.now)
        elif candidate is not None:
            genome, purpose = candidate
            ask = Ask(ticket, genome, purpose, self._candidates.seeds(genome, dice))
        else:
            parent = self._litter_parent if self._litter_left else self._select(dice)
            genome = self._breed(ticket, parent, dice)
            seeds = self._candidates.first_seeds(dice)
            parent_id = None if parent is None else parent.id
            ask = Ask(ticket, genome, Purpose.EXPLORE, seeds, parent_id, self._caps.now)
        self._lend(ask)
        return ask

    def _candidate_due(self) -> tuple[Genome, Purpose] | None:
        if not self.settings.validates or self._litter_left:
            return None
        if self._validation_credit + self.settings.validation_share < 1:
            return None
        return self._candidates.choose(self._window)

    def _breed(self, ticket: int, parent: Genome | None, dice: Dice) -> Genome:
        if parent is None:
            return Genome.founder(dice.seed)
        return parent.child(Mutation(dice.seed, self._power(ticket, parent, dice), self.settings.rank))

    def _select(self, dice: Dice) -> Genome | None:
        """A parent for the next litter; None while founders are due or if nobody may breed."""
        settings = self.settings
        if not (settings.parents and len(self._window)) or self.founders_asked < settings.founder_count:
            return None
        if settings.cells is not None:
            return anybody(self._window, dice.parent)
        if self._novelty is not None and self._novelty.settings.chooses:
            drawn = contestants(self._window, dice.contest(settings.tournament_size))
            return self._novelty.best(drawn).genome
        if settings.selection == "tournament":
            return tournament(self._window, settings.tournament_size, dice.parent)
        return truncation(self._window, settings.parents, self._candidates.elite, dice.parent)

    def _lend(self, ask: Ask) -> None:
        """Note an Ask as made: all that asking changes, so that adopting one changes the same."""
        self._tickets.issue(ask)
        share = self.settings.validation_share
        self._validation_credit = min(self._validation_credit + share, 1 + share * self.settings.litter)
        if ask.purpose is not Purpose.EXPLORE:
            self._validation_credit -= 1
            self._candidates.lend(ask, self._window)
        elif self._again.pop(ask.genome.id, None) is not None:
            return
        elif not len(ask.genome):
            self.founders_asked += 1
        elif self._litter_left:
            self._litter_left -= 1
        elif self.settings.litter > 1:
            self._litter_left = self.settings.litter - 1
            self._litter_parent = ask.genome.parent()

    def _scores(self, result: Result) -> tuple[float, ...]:
        """What selection sees in a new individual's episodes: their returns, and a bonus for lasting."""
        if not self.settings.frame_bonus:
            return result.returns
        bonus = self.settings.frame_bonus * result.frames / len(result.returns)
        return tuple(value + bonus for value in result.returns)

    def _settle(self, ask: Ask, scores: tuple[float, ...], behaviour: bytes) -> None:
        """Give a newly scored individual its place in the population; equal genomes are one individual."""
        known = self._window.find(ask.genome.id)
        if known is not None and known.cap_frames == ask.cap_frames:
            self._revise_member(known.genome.id, scores)
            return
        if known is not None:  # under another cap
            self._window.forget([known.genome.id])
        fitness = sum(scores) / len(scores)
        member = Member(ask.genome, ask.ticket, fitness, len(scores), cap_frames=ask.cap_frames)
        if self.dimensions:
            member = member._replace(behaviour=behaviour, novelty=self._novelty_of(member, behaviour))
        gone = self._window.add(member)
        if self._novelty is not None:
            self._novelty.add(member, gone, Dice(self.seed, ask.ticket))

    def _novelty_of(self, member: Member, behaviour: bytes) -> int:
        """What breaks a new individual's ties of fitness, as the others stand when it comes."""
        if self._novelty is None or self._novelty.settings.chooses:
            return 0
        return self._novelty.of(member.genome.id, behaviour)

    def _revise_member(self, individual_id: int, scores: tuple[float, ...]) -> None:
        """A member played more episodes."""
        self._window.revise(individual_id, scores)
        member = self._window.find(individual_id)
        if self._novelty is not None and member is not None:
            self._novelty.revise(individual_id, member.fitness)

    def _check_behaviour(self, behaviour: bytes) -> None:
        """Raise ValueError unless a result's behaviour is what this search needs."""
        size = BYTES * self.dimensions
        if size and len(behaviour) != size:
            raise ValueError(f"behaviour has {len(behaviour)} bytes; allowed: {size}")

    def _score(self, ask: Ask, result: Result) -> NewChampion | None:
        """A new individual was scored: crowned at once only where nobody is validated."""
        if isinstance(self._candidates, Candidates) and not self.settings.validates:
            return self._candidates.score(ask.genome, result.returns)
        whole_games = () if result.cut else result.returns
        self._candidates.explored(ask, whole_games, self._window)
        return None

    def _revise(self, ask: Ask, returns: tuple[float, ...]) -> None:
        """Let a re-played individual's fitness be what all its episodes say that may decide anything.

        Under a cap that is nothing: whole games are other numbers than those that chose the parents.
        """
        member = self._window.find(ask.genome.id) if ask.purpose is Purpose.VALIDATE else None
        if member is not None and not member.cap_frames:
            self._window.plan(member.genome.id, -len(returns))
            self._revise_member(member.genome.id, returns)

    def _count(self, result: Result) -> None:
        self.evaluations += 1
        self.episodes += len(result.returns)
        self.frames += result.frames
        self.steps += result.steps


def _candidates(settings: GaSettings, seed: int) -> Candidates | Races:
    """Who finds the champion: races where episodes are finitely many, trials on fresh episodes elsewhere."""
    if settings.starts:
        common = settings.common_starts
        return Races(settings.candidates, settings.episodes, settings.starts, seed, common=common)
    return Candidates(settings.candidates, settings.validation_episodes, settings.episodes)
