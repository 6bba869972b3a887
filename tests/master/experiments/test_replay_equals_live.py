"""An experiment that comes back from its journal is the one that wrote it."""

import math
from collections.abc import Callable, Collection
from typing import cast

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from germline.algorithms.base import Result
from germline.archive.record import RECORD
from germline.observed import Observed, is_observed
from germline.spec import behaviour_dimensions, loads
from germline.v1 import spec_pb2
from master.centres.consequences import discredit
from master.experiments import recovery
from master.experiments.distrust import distrust, trust_again
from master.experiments.events import Created, Event, cap_of, evaluations_of, returns_of
from master.experiments.experiment import Experiment
from master.experiments.settings import ExperimentSettings
from master.experiments.workers import WorkerIdentity
from master.journal.codec import EntryReader, EntryWriter, Snapshot, read_snapshot, write_snapshot
from master.journal.journal import Journal, WriteEvent
from master.work.leases import Key, Start
from master.work.pending_work import Work

WORKERS = "abc"
BOWL = """
name = "bowl"
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[evaluation]
max_attempts = 2
[algorithm.eggroll]
pairs = 5
slice_pairs = 2
validation_epochs = 2
validation_episodes = 2
close_share = 0.5
close_after_s = 1.0
"""
POPULATION = """
name = "population"
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[evaluation]
verify_share = 0.5
[algorithm.ga]
window = 8
parents = 3
candidates = 2
validation_episodes = 2
"""
_BEHAVED = """
[behaviour]
descriptor = "task"
dimensions = 2
low = [-1.0]
high = [1.0]
"""
NOVEL = f"""{POPULATION}
selection = "tournament"
[algorithm.ga.novelty]
objective = "adaptive"
archive_share = 0.5
archive_size = 3
neighbours = 2
patience = 3
{_BEHAVED}"""
NOVEL_BOWL = f"""{BOWL.replace("validation_epochs = 2", "validation_epochs = 1")}
[algorithm.eggroll.novelty]
objective = "adaptive"
centres = 2
neighbours = 2
archive_size = 3
patience = 2
{_BEHAVED}"""
MAP = f"""{POPULATION.partition("[algorithm.ga]")[0]}
[algorithm.map_elites]
grid = [3, 2]
founders = 4
candidates = 2
validation_episodes = 2
{_BEHAVED}"""
_NORMALISED = """
[task.gym]
id = "Pendulum-v1"
[policy]
name = "mlp"
normalise_observations = true
[evaluation]"""
NORMALISED, NORMALISED_BOWL = (
    text.partition("[task.function]")[0] + _NORMALISED + text.partition("[evaluation]")[2]
    for text in (POPULATION, BOWL)
)
CAPPED = """
name = "capped"
[task.gym]
id = "CartPole-v1"
[policy]
name = "mlp"
[evaluation]
cap_frames = 50
episodes = 2
[algorithm.ga]
window = 8
parents = 3
candidates = 2
validation_episodes = 2
"""


class Book:
    """What an experiment needs of a journal, and the events that it got."""

    store_id = 7

    def when_durable(self, callback: Callable[[], None], numbers: Collection[int]) -> None:
        callback()

    def __init__(self) -> None:
        self.events: list[Event] = []

    def attach(
        self, number: int, name: str, head: int, take_snapshot: Callable[[int], Snapshot]
    ) -> WriteEvent:
        return self.events.append


class Rebirth(RuleBasedStateMachine):
    """Workers play, fail, leave, die and are discredited, epochs close early, the end comes and goes.

    A replay comes to the same at any time.
    """

    spec = BOWL

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.book = Book()
        self.snapshot: bytes | None = None
        self.written = 0  # events before the snapshot
        self.recorded = np.zeros(0, RECORD)
        self.work: list[tuple[str, Work]] = []
        settings = ExperimentSettings.of(loads(self.spec))
        self.created = Created(1, settings.encoded, 0.0)
        self.live = self.make()
        recovery.begin(self.live)

    def make(self) -> Experiment:
        settings = ExperimentSettings.of(loads(self.spec))
        journal = cast(Journal, self.book)
        experiment = Experiment(settings, self.created, journal, lambda: self.now, [Start(1, 0)])
        experiment.recorder.is_kept = True
        return experiment

    @precondition(lambda self: not self.live.state.is_final)
    @rule(worker=st.sampled_from(WORKERS), evaluations=st.integers(1, 8))
    def lend(self, worker: str, evaluations: int) -> None:
        self.work += [(worker, piece) for piece in self.live.lend(worker, evaluations, (), 0)]

    @rule(worker=st.sampled_from(WORKERS))
    def lend_twins(self, worker: str) -> None:
        self.work += [(worker, piece) for piece in self.live.lend_twins(worker, 4)]

    @precondition(lambda self: self.work)
    @rule(data=st.data(), score=st.floats(-1e3, 1e3))
    def tell(self, data: st.DataObject, score: float) -> None:
        place = data.draw(st.integers(0, len(self.work) - 1))
        worker, (ask, lease) = self.work.pop(place)
        returns = tuple(score + number for number in range(returns_of(ask)))
        cut = data.draw(st.integers(0, len(returns))) if cap_of(ask) else None
        size = evaluations_of(ask) * 2 * behaviour_dimensions(self.live.settings.spec)
        behaviour = data.draw(st.binary(min_size=size, max_size=size))
        asked = self.live.settings.spec.policy.normalise_observations and is_observed(ask.ticket)
        seen = Observed(2, np.array([score, 1.0]), np.array([score**2, 1.0])).pack() if asked else b""
        result = Result(ask.ticket, returns, 7, 5, cut=cut, behaviour=behaviour, observed=seen)
        self.live.tell(WorkerIdentity(worker, "cpu", {}), [(Key(1, ask.ticket, lease.attempt), result)])

    @precondition(lambda self: self.work)
    @rule(data=st.data(), score=st.floats(-1e3, 1e3))
    def fail(self, data: st.DataObject, score: float) -> None:
        place = data.draw(st.integers(0, len(self.work) - 1))
        worker, (ask, lease) = self.work.pop(place)
        scores = st.lists(st.sampled_from([score, math.nan]), min_size=1)
        returns = tuple(data.draw(scores))[: returns_of(ask)]
        result = Result(ask.ticket, returns, 7, 5, failure="it broke")
        self.live.tell(WorkerIdentity(worker, "cpu", {}), [(Key(1, ask.ticket, lease.attempt), result)])

    @rule(worker=st.sampled_from(WORKERS))
    def die(self, worker: str) -> None:
        tickets = self.live.pending_work.tickets_of(worker)
        self.live.lose(worker, "it is gone", tickets, len(tickets))
        self.live.pending_work.give_back(worker)

    @rule(worker=st.sampled_from(WORKERS))
    def discredit(self, worker: str) -> None:
        discredit(self.live, worker)

    @rule(seconds=st.floats(0, 2))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.live.tick()

    @rule(worker=st.sampled_from(WORKERS))
    def leave(self, worker: str) -> None:
        self.live.pending_work.give_back(worker)

    @rule()
    def stop(self) -> None:
        self.live.stop()

    @rule(evaluations=st.integers(1, 9))
    def extend(self, evaluations: int) -> None:
        stop = spec_pb2.Stop(evaluations=self.live.progress.evaluations + evaluations)
        self.live.extend(self.live.settings.with_stop(stop.SerializeToString()))

    @precondition(lambda self: not self.live.state.is_final)
    @rule()
    def pause_or_resume(self) -> None:
        (self.live.pause if self.live.is_running else self.live.resume)()

    @rule()
    def take_snapshot(self) -> None:
        self.snapshot = write_snapshot(recovery.take_snapshot(self.live, 1))
        self.written = len(self.book.events)

    @invariant()
    def a_replay_is_the_same(self) -> None:
        again = self.make()
        if self.snapshot is not None:
            recovery.restore(again, read_snapshot(self.snapshot))
        entry = EntryWriter().write(self.book.events[self.written :])
        for event in EntryReader().read(entry):
            recovery.replay(again, event)
        recovery.want_checkpoints(again)
        self._check_records(again)
        assert self._essence(again) == self._essence(self.live)

    def _check_records(self, again: Experiment) -> None:
        """The archive gets the very bytes again that it had, under the same numbers."""
        self.recorded = np.concatenate([self.recorded, self.live.recorder.take().records])
        first, records = again.recorder.take()
        assert first + len(records) == self.live.recorder.count == len(self.recorded)
        assert records.tobytes() == self.recorded[first:].tobytes()

    def _essence(self, experiment: Experiment) -> tuple[object, ...]:
        snapshot = recovery.take_snapshot(experiment, 1).written()
        progress = {k: v for k, v in snapshot.progress.items() if k not in ("starts", "running_s")}
        pending = sorted(ask.ticket for ask in experiment.search.pending())
        asked = [] if experiment.state.is_final else sorted(experiment.pending_work._pending)
        wanted = experiment.centre.wanted if experiment.centre is not None else None
        epochs = [repr(closed) for closed in snapshot.epochs]  # a missing score equals itself only so
        return (
            snapshot.state, snapshot.trouble, snapshot.algorithm, progress, snapshot.workers,
            snapshot.closed_epochs, epochs, sorted(snapshot.told), pending, asked, wanted,
            experiment.settings,
        )  # fmt: skip


class RebirthOfAPopulation(Rebirth):
    """The same for a genetic algorithm, whose workers also check each other and are proven wrong."""

    spec = POPULATION

    @rule(worker=st.sampled_from(WORKERS))
    def lend_checks(self, worker: str) -> None:
        self.work += [(worker, piece) for piece in self.live.checks.lend(worker, 4)]

    @rule(worker=st.sampled_from(WORKERS))
    def distrust(self, worker: str) -> None:
        distrust(self.live, worker, "it lies")

    @rule(worker=st.sampled_from(WORKERS))
    def trust_again(self, worker: str) -> None:
        trust_again(self.live, worker)

    def _essence(self, experiment: Experiment) -> tuple[object, ...]:
        numbers = [seen.number for seen in experiment.workers.values()]
        doubtful = [set(experiment.tally.tellers.told_by(number)) for number in numbers]
        return *super()._essence(experiment), experiment.quarantined, doubtful


class RebirthOfAPopulationThatLooksForNovelty(RebirthOfAPopulation):
    """The same where parents are chosen by what they did, and the past counts."""

    spec = NOVEL


class RebirthOfNovelCentres(Rebirth):
    """The same where centres take turns, moved by what members did."""

    spec = NOVEL_BOWL


class RebirthOfAMap(RebirthOfAPopulation):
    """The same where the population is the elites of cells."""

    spec = MAP


class RebirthOfACappedPopulation(Rebirth):
    """The same where new individuals play games that are cut."""

    spec = CAPPED


class RebirthOfAPopulationWhoseCapGrows(Rebirth):
    """The same where the cap grows."""

    spec = CAPPED.replace("cap_frames = 50", 'cap_frames = 50\ncap_schedule = "progressive"')


class RebirthOfAPopulationThatNormalises(RebirthOfAPopulation):
    """The same where what was seen decides by what observations are normalised."""

    spec = NORMALISED


class RebirthOfACentreThatNormalises(Rebirth):
    """The same where that changes at an epoch's beginning."""

    spec = NORMALISED_BOWL


TestRebirth = Rebirth.TestCase
TestRebirth.settings = settings(max_examples=20, stateful_step_count=40, deadline=None)
TestRebirthOfAPopulation = RebirthOfAPopulation.TestCase
TestRebirthOfAPopulation.settings = settings(max_examples=10, stateful_step_count=40, deadline=None)
TestRebirthOfAPopulationThatLooksForNovelty = RebirthOfAPopulationThatLooksForNovelty.TestCase
TestRebirthOfAPopulationThatLooksForNovelty.settings = settings(
    max_examples=10, stateful_step_count=40, deadline=None
)
TestRebirthOfNovelCentres = RebirthOfNovelCentres.TestCase
TestRebirthOfNovelCentres.settings = settings(max_examples=20, stateful_step_count=40, deadline=None)
TestRebirthOfAMap = RebirthOfAMap.TestCase
TestRebirthOfAMap.settings = settings(max_examples=10, stateful_step_count=40, deadline=None)
TestRebirthOfACappedPopulation = RebirthOfACappedPopulation.TestCase
TestRebirthOfACappedPopulation.settings = settings(max_examples=10, stateful_step_count=40, deadline=None)
TestRebirthOfAPopulationWhoseCapGrows = RebirthOfAPopulationWhoseCapGrows.TestCase
TestRebirthOfAPopulationWhoseCapGrows.settings = settings(
    max_examples=10, stateful_step_count=40, deadline=None
)
for _rebirth in (RebirthOfAPopulationThatNormalises, RebirthOfACentreThatNormalises):
    _rebirth.TestCase.settings = settings(max_examples=15, stateful_step_count=60, deadline=None)
TestRebirthOfAPopulationThatNormalises = RebirthOfAPopulationThatNormalises.TestCase
TestRebirthOfACentreThatNormalises = RebirthOfACentreThatNormalises.TestCase
