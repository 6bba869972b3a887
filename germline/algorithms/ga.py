"""The genetic algorithm of Such et al. 2018 (arXiv 1712.06567, algorithm 1) without generations.

The population is the sliding window of the last P results; the T best of it and the champion breed; a child
is its parent and one mutation. A share of asks re-plays the leading candidates on fresh episode seeds, and
the champion has the best *mean* over at least V of those, so that a lucky run cannot rule. What is reported
of it comes from episodes of their own, which decide nothing. Under a cap, parents are chosen by games that
are cut short, all at the same frame; candidates and the champion play whole games.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from germline.algorithms import ga_snapshot
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
from germline.algorithms.breeding import Breeding
from germline.algorithms.caps import Caps
from germline.algorithms.draws import Dice
from germline.algorithms.ga_settings import GaSettings
from germline.algorithms.ga_snapshot import GaState
from germline.algorithms.known_returns import KnownReturns
from germline.algorithms.likeness import Likeness
from germline.algorithms.population import Population
from germline.algorithms.tickets import TicketBook
from germline.algorithms.validation import Validation
from germline.algorithms.window import Member
from germline.genome import Genome, check_seed
from germline.normalisation import Version


class GeneticAlgorithm:
    """Steady-state neuroevolution; see :class:`germline.algorithms.base.Algorithm` for what it promises.

    ::

        ask: is a re-play due? --yes--> the leading candidate, on fresh episodes --+
                |                                                                  |
                +--no--> a founder, or a parent and one mutation ------------------+--> Ask, and its ticket

        tell: of a new individual --> population (and a place among the parents)
              of a re-play -------> the candidate's trial (and perhaps the title), and its fitness

    Attributes:
        settings: what shapes the search.
        seed: the experiment's uint64; with a ticket it fixes every die.
        evaluations: results counted so far.
        episodes: episodes in them.
        frames: emulator frames in them.
        steps: agent actions in them.
        likeness: which share of the children acts differently from their parents.
    """

    def __init__(self, settings: GaSettings, seed: int) -> None:
        check_seed("seed", seed)
        self.settings = settings
        self.seed = seed
        self.evaluations = self.episodes = self.frames = self.steps = 0
        self.likeness = Likeness()
        self._tickets = TicketBook()
        self._population = Population(settings, seed)
        self._breeding = Breeding(settings)
        self._validation = Validation(settings, seed)
        grows = settings.cap_schedule == "progressive"
        self._caps = Caps(settings.cap_frames, grows=grows, window=settings.window)

    # Asking

    def ask(self, n: int) -> list[Ask]:
        """Hand out n pieces of work."""
        return [self._ask_one() for _ in range(n)]

    def adopt(self, ask: Ask) -> None:
        """Take back an Ask made before a restart."""
        self._lend(ask)

    def skip_to(self, ticket: int) -> None:
        """Use no ticket below this one for new work: a worker may hold it since before a restart."""
        self._tickets.skip_to(ticket)

    @property
    def next_ticket(self) -> int:
        """The ticket of whatever is asked next."""
        return self._tickets.next_ticket

    def pending(self) -> list[Ask]:
        """The asks not yet told, in order of their tickets."""
        return self._tickets.pending()

    def _ask_one(self) -> Ask:
        """Decide on the next piece of work from the state and the ticket, then note it."""
        ticket = self._tickets.next_ticket
        dice = Dice(self.seed, ticket)
        replay = None if self._breeding.is_due else self._validation.due(self._population.members)
        ask = self._replay(ticket, dice, *replay) if replay else self._new_individual(ticket, dice)
        self._lend(ask)
        return ask

    def _replay(self, ticket: int, dice: Dice, candidate: Genome, purpose: Purpose) -> Ask:
        """Further episodes of a candidate."""
        return Ask(ticket, candidate, purpose, self._validation.candidates.seeds(candidate, dice))

    def _new_individual(self, ticket: int, dice: Dice) -> Ask:
        """A founder's or a child's first episodes."""
        candidates = self._validation.candidates
        genome, parent_id = self._breeding.next(ticket, dice, self._population, candidates.elite)
        seeds = candidates.first_seeds(dice)
        return Ask(ticket, genome, Purpose.EXPLORE, seeds, parent_id, self._caps.now)

    def _lend(self, ask: Ask) -> None:
        """Note an Ask as made: all that asking changes, so that adopting one changes the same."""
        self._tickets.issue(ask)
        self._validation.earn()
        if ask.purpose is Purpose.EXPLORE:
            self._breeding.lend(ask)
        else:
            self._validation.lend(ask, self._population.members)

    # Telling

    def tell(self, result: Result) -> list[Event]:
        """Take one result in; see the protocol for what is refused."""
        ask = self._tickets.get(result.ticket)
        check_result(result, len(ask.episode_seeds))
        check_cut(result, ask.cap_frames)
        self._population.check_behaviour(result.behaviour)
        # Nothing has changed so far, and nothing fails from here on.
        self._tickets.close(result.ticket)
        self._count(result)
        self._compare(ask, result)
        event = self._explored(ask, result) if ask.purpose is Purpose.EXPLORE else self._replayed(ask, result)
        self._population.told(is_new_champion=event is not None)
        if self._breeding.normalisation is not None:
            self._breeding.normalisation.tell(result.observed)
            self._breeding.normalisation.freeze(self.evaluations)
        return [event] if event is not None else []

    @property
    def normalisations(self) -> Sequence[Version]:
        """What observations were normalised by so far, oldest first."""
        return self._breeding.normalisation.versions if self._breeding.normalisation is not None else ()

    def set_aside(self, ticket: int) -> None:
        """Wait for this ticket no more: it cannot be scored. Raises as :meth:`tell` does."""
        ask = self._tickets.get(ticket)
        self._tickets.close(ticket)
        if ask.purpose is not Purpose.EXPLORE:
            self._validation.candidates.give_back(ask, self._population.members)

    def forget(self, individuals: Collection[int]) -> None:
        """Let nothing count that was told of these individuals; those that are known are asked anew."""
        candidates = self._validation.candidates
        known = {individual: candidates.find(individual) for individual in individuals}
        known |= {member.genome.id: member.genome for member in self._population.forget(individuals)}
        candidates.forget(individuals, self._population.members)
        self.likeness.forget(individuals)
        self._breeding.ask_again(genome for genome in known.values() if genome is not None)

    def _explored(self, ask: Ask, result: Result) -> NewChampion | None:
        """A new individual was scored."""
        self._caps.tell(ask, result)
        self._population.explored(ask, result)
        return self._validation.explored(ask, result, self._population.members)

    def _replayed(self, ask: Ask, result: Result) -> NewChampion | None:
        """A candidate, or the champion, has played on."""
        self._population.replayed(ask, result.returns)
        return self._validation.candidates.tell(ask, result.returns)

    def _count(self, result: Result) -> None:
        self.evaluations += 1
        self.episodes += len(result.returns)
        self.frames += result.frames
        self.steps += result.steps

    def _compare(self, ask: Ask, result: Result) -> None:
        """Hold a child against its parent, where both can have played the same start."""
        if self.settings.starts:
            self.likeness.tell(ask, result)
            self.likeness.forget_strangers(self.population_size, self.knows)

    # What is known

    @property
    def champion(self) -> Champion | None:
        """The individual with the best validated mean; None before there is one.

        Without candidates nobody is validated, and it is the individual with the best single evaluation.
        """
        return self._validation.champion

    def leader(self) -> Champion | None:
        """The champion or, before there is one, whoever looks best so far; None before the first result."""
        return self.champion or self._validation.candidates.leading() or self._population.best()

    def knows(self, individual_id: int) -> bool:
        """Whether a score of this individual still counts: it is in the population, or in validation."""
        if self._population.members.find(individual_id) is not None:
            return True
        return self._validation.candidates.find(individual_id) is not None

    def find(self, individual_id: int) -> Genome | None:
        """The genome with this id, if it is in the population, in validation or a litter's parent."""
        member = self.member(individual_id)
        found = member.genome if member is not None else self._validation.candidates.find(individual_id)
        return found or self._breeding.find(individual_id)

    def member(self, individual_id: int) -> Member | None:
        """The member of the population with this id."""
        return self._population.members.find(individual_id)

    def known_returns(self, individual_id: int) -> KnownReturns | None:
        """By which episodes an individual can be held to its score; None if by none, or if it is unknown."""
        return self._validation.known_returns(self.find(individual_id), self.member(individual_id))

    def individual_ids(self) -> Iterator[int]:
        """Ids of all that are in the population or in validation; some come twice."""
        yield from (member.genome.id for member in self._population.members)
        yield from self._validation.candidates.ids()

    def population(self) -> Iterator[Member]:
        """The members of the population from worst to best."""
        return iter(self._population.members)

    def best(self, limit: int) -> list[Member]:
        """The best members of the population, best first."""
        return self._population.members.best(limit)

    def fitness_quantiles(self, fractions: Sequence[float]) -> list[float]:
        """Fitness at these fractions of those that are compared, 0 the worst and 1 the best."""
        return self._population.fitness_quantiles(fractions)

    @property
    def population_size(self) -> int:
        """How many members the population has."""
        return len(self._population.members)

    @property
    def lineage_depth(self) -> int:
        """Mutations of the longest line in the population."""
        return self._population.members.longest_line

    @property
    def founders_asked(self) -> int:
        """Random individuals asked so far."""
        return self._breeding.founders_asked

    @property
    def cap_frames(self) -> int:
        """Frames after which the episodes of a new individual are cut; 0: they are whole games."""
        return self._caps.now

    @property
    def compared_cap_frames(self) -> int:
        """Under which cap those played who may be parents, and of whom the quantiles are."""
        return self._population.members.cap_frames

    @property
    def dimensions(self) -> int:
        """Whole numbers of the behaviours that the search needs; 0: it needs none."""
        return self._population.dimensions

    @property
    def reward_weight(self) -> int | None:
        """How much reward counts beside novelty, in 64ths; None where it counts alone."""
        novelty = self._population.novelty
        return novelty.reward.weight if novelty is not None else None

    # Writing down

    def snapshot(self) -> dict[str, JsonValue]:
        """The whole state as JSON values."""
        return self.freeze()()

    def freeze(self) -> Callable[[], dict[str, JsonValue]]:
        """The state as it is now, and what writes it as :meth:`snapshot` does; that may be later, elsewhere.

        Taking it costs a fraction of writing it: a large population is written on a thread of its own.
        """
        return ga_snapshot.freeze(self.settings, self.seed, self._state())

    def restore(self, snapshot: dict[str, JsonValue]) -> None:
        """Become what :meth:`snapshot` wrote; raises ValueError, naming the field, and stays as it was."""
        restored = GeneticAlgorithm(self.settings, self.seed)
        counts = ga_snapshot.read(snapshot, self.settings, self.seed, restored._state())
        restored.evaluations, restored.episodes, restored.frames, restored.steps = counts
        self.__dict__.update(restored.__dict__)

    def _state(self) -> GaState:
        counts = (self.evaluations, self.episodes, self.frames, self.steps)
        parts = (self._tickets, self._population, self._breeding, self._validation, self._caps)
        return GaState(*parts, self.likeness, counts)
