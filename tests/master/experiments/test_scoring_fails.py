"""An individual that cannot be scored costs itself; if too many cannot, the experiment pauses."""

import math
from collections.abc import Callable, Collection
from typing import cast

import pytest

from germline.algorithms.base import Ask, Result
from germline.genome import format_id
from germline.spec import loads
from master.errors import Refusal
from master.experiments import recovery
from master.experiments.events import Created, Event, SetAside, State
from master.experiments.experiment import Experiment
from master.experiments.outcomes import FEW_FAILED, LAST, Outcomes
from master.experiments.settings import ExperimentSettings
from master.experiments.workers import WorkerIdentity
from master.journal.codec import Snapshot
from master.journal.journal import Journal, WriteEvent
from master.work.leases import Key, Start
from master.work.pending_work import Work

NAN = math.nan
SPEC = """
name = "one"
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[evaluation]
max_attempts = 2
[algorithm.{algorithm}]
[stop]
evaluations = {evaluations}
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


class Run:
    """An experiment, and workers that score what they are told to score."""

    def __init__(self, algorithm: str, settings: str, evaluations: int = 1_000) -> None:
        text = SPEC.format(algorithm=algorithm, evaluations=evaluations)
        head, line, tail = text.partition(f"[algorithm.{algorithm}]\n")
        made = ExperimentSettings.of(loads(head + line + settings + "\n" + tail))
        self.book = Book()
        created = Created(1, made.encoded, 0.0)
        self.experiment = Experiment(made, created, cast(Journal, self.book), lambda: 0.0, [Start(1, 0)])
        recovery.begin(self.experiment)

    def lend(self, worker: str, evaluations: int) -> list[Work]:
        return self.experiment.lend(worker, evaluations, (), 0, crew=("a", "b"))

    def tell(self, work: Work, returns: tuple[float, ...], failure: str = "") -> list[tuple[Refusal, str]]:
        result = Result(work.ask.ticket, returns, 40, 10, failure)
        key = Key(1, work.ask.ticket, work.lease.attempt)
        refused = self.experiment.tell(WorkerIdentity(work.lease.worker, "cpu", {}), [(key, result)])
        return [(refusal.code, refusal.message) for refusal in refused]

    def fail(self, evaluations: int) -> None:
        """Two workers cannot score so many individuals."""
        for worker in ("a", "b"):
            for work in self.lend(worker, evaluations):
                self.tell(work, (), "it broke")

    def set_aside(self) -> list[SetAside]:
        return [event for event in self.book.events if isinstance(event, SetAside)]


def ga(**settings: int) -> Run:
    return Run("ga", "window = 20\nparents = 5\ncandidates = 0", **settings)


def eggroll(**settings: int) -> Run:
    return Run(
        "eggroll",
        "pairs = 4\nslice_pairs = 2\nvalidation_epochs = 1\nvalidation_episodes = 2\nreported_episodes = 0",
        **settings,
    )


def test_an_individual_that_fails_on_enough_workers_is_set_aside_by_name() -> None:
    run = ga()
    (work,) = run.lend("a", 1)
    assert run.tell(work, (), "FloatingPointError: diverged") == [
        (Refusal.FAILED, "FloatingPointError: diverged")
    ]
    assert run.set_aside() == []
    (again,) = run.lend("b", 1)
    assert again.ask == work.ask
    run.tell(again, (), "it diverged here too")
    assert isinstance(work.ask, Ask)
    name = f"individual {format_id(work.ask.genome.id)}"
    assert list(run.experiment.progress.set_aside) == [(name, "it diverged here too", 2, "b")]
    assert (run.experiment.progress.failed, run.experiment.progress.evaluations) == (1, 0)
    assert work.ask not in run.experiment.search.pending()
    ((code, message),) = run.tell(again, (1.0,))
    assert code is Refusal.ALREADY_TOLD
    assert "set aside" in message


@pytest.mark.parametrize("returns", [(NAN,), (math.inf,), (), (1.0, 2.0)])
def test_a_result_that_is_no_score_is_a_failed_attempt(returns: tuple[float, ...]) -> None:
    run = ga()
    for worker in ("a", "b"):
        (work,) = run.lend(worker, 1)
        assert run.tell(work, returns)
    assert len(run.set_aside()) == 1


def test_an_epoch_drops_the_pairs_that_cannot_be_scored_and_closes() -> None:
    run = eggroll()
    centre, bad, good = run.lend("a", 9)
    run.tell(centre, (1.0, 1.0))
    run.tell(good, (1.0, 2.0, 3.0, 4.0))
    run.tell(bad, (5.0, NAN, 7.0, 8.0), "member 0.0-: it broke")
    (again,) = run.lend("b", 9)
    run.tell(again, (NAN, NAN, 7.0, 8.0), "it broke")
    assert run.experiment.centre is not None
    (closed,) = run.experiment.centre.closed
    assert [math.isnan(score) for score in closed.fitness] == [True, True] + [False] * 6
    assert closed.fitness[2:] == (7.0, 8.0, 1.0, 2.0, 3.0, 4.0)
    progress = run.experiment.progress
    assert (progress.evaluations, progress.failed) == (1 + 4 + 2, 2)
    assert [each.name for each in progress.set_aside] == ["pair 0.0"]


def test_what_attempts_score_between_them_counts() -> None:
    run = eggroll()
    _, work, _ = run.lend("a", 9)
    run.tell(work, (5.0, NAN, 7.0, 8.0), "it broke")
    (again,) = run.lend("b", 2)
    run.tell(again, (NAN, 6.0, NAN, NAN), "it broke")
    assert [event.returns for event in run.set_aside()] == [(5.0, 6.0, 7.0, 8.0)]
    assert (run.experiment.progress.evaluations, run.experiment.progress.failed) == (4, 0)


def test_a_centre_that_cannot_be_measured_is_not_measured() -> None:
    run = eggroll()
    for worker in ("a", "b"):
        centre, *_ = run.lend(worker, 1)
        run.tell(centre, (), "it broke")
    assert [each.name for each in run.experiment.progress.set_aside] == ["the centre of epoch 0"]
    for work in run.lend("a", 9):
        run.tell(work, (1.0, 2.0, 3.0, 4.0))
    assert isinstance(run.experiment.search.pending(), list)
    assert run.experiment.centre is not None
    assert len(run.experiment.centre.closed) == 1


def test_an_experiment_of_which_too_much_fails_pauses_and_says_why() -> None:
    run = ga()
    run.fail(FEW_FAILED - 1)
    assert run.experiment.is_running
    run.fail(1)
    assert run.experiment.state is State.PAUSED
    assert run.experiment.standing.trouble.startswith(
        "20 of the last 20 individuals could not be scored; the last, "
    )
    assert run.experiment.standing.trouble.endswith("failed 2 times, then on b: it broke")


def test_an_experiment_goes_on_while_half_of_it_can_be_scored() -> None:
    run = ga()
    for _ in range(2 * FEW_FAILED):
        (work,) = run.lend("a", 1)
        run.tell(work, (1.0,))
        run.fail(1)
    assert run.experiment.is_running


def test_whoever_resumes_starts_with_a_clean_record() -> None:
    run = ga()
    run.fail(FEW_FAILED)
    run.experiment.resume()
    assert run.experiment.standing.trouble == ""
    run.fail(FEW_FAILED - 1)
    assert run.experiment.is_running
    run.fail(1)
    assert not run.experiment.is_running


def test_pairs_that_are_scored_of_work_set_aside_may_complete_the_experiment() -> None:
    run = eggroll(evaluations=2)
    _, work, *_ = run.lend("a", 9)
    run.tell(work, (5.0, NAN, 7.0, 8.0), "it broke")
    (again,) = run.lend("b", 2)
    run.tell(again, (NAN, NAN, 7.0, 8.0), "it broke")
    assert run.experiment.state is State.COMPLETE


def test_old_outcomes_are_forgotten() -> None:
    outcomes = Outcomes()
    for _ in range(FEW_FAILED):
        outcomes.note(0, 1)
    for _ in range(LAST - FEW_FAILED):
        outcomes.note(1)
    assert (outcomes.scored, outcomes.failed) == (LAST - FEW_FAILED, FEW_FAILED)
    assert not outcomes.are_hopeless
    for _ in range(FEW_FAILED):
        outcomes.note(1)
    assert (outcomes.scored, outcomes.failed) == (LAST, 0)


def test_a_slice_counts_with_all_of_its_members() -> None:
    outcomes = Outcomes()
    outcomes.note(scored=18, failed=19)
    assert not outcomes.are_hopeless
    outcomes.note(scored=0, failed=1)
    assert outcomes.are_hopeless
