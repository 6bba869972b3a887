"""Which kernels played an experiment's scores: told, and said aloud where they are of several families."""

import logging
from collections.abc import Callable, Collection
from typing import cast

import pytest

from germline.algorithms.base import Result
from germline.spec import loads
from master.experiments import recovery
from master.experiments.events import Created, Event
from master.experiments.experiment import Experiment
from master.experiments.settings import ExperimentSettings
from master.experiments.workers import WorkerIdentity
from master.journal.codec import Snapshot
from master.journal.journal import Journal, WriteEvent
from master.wire.experiment_messages import write_experiment
from master.work.leases import Key, Start

SPEC = (
    'name = "a"\n[task.gym]\nid = "CartPole-v1"\n[policy]\nname = "mlp"\n[evaluation]\nprecision = "{}"\n'
    "[algorithm.ga]\nwindow = 10\nparents = 2\ncandidates = 0\nvalidation_share = 0.0\n"
)


class Book:
    """What an experiment needs of a journal."""

    store_id = 7

    def when_durable(self, callback: Callable[[], None], numbers: Collection[int]) -> None:
        callback()

    def attach(
        self, number: int, name: str, head: int, take_snapshot: Callable[[int], Snapshot]
    ) -> WriteEvent:
        return cast(list[Event], []).append


def experiment_in(precision: str) -> Experiment:
    settings = ExperimentSettings.of(loads(SPEC.format(precision)))
    created, journal = Created(1, settings.encoded, 0.0), cast(Journal, Book())
    made = Experiment(settings, created, journal, lambda: 0.0, [Start(1, 0)])
    recovery.begin(made)
    return made


def tell(experiment: Experiment, worker: str, libraries: dict[str, str]) -> None:
    ((ask, lease),) = experiment.lend(worker, 1, (), 0)
    told = Key(1, ask.ticket, lease.attempt), Result(ask.ticket, (1.0,), 7, 5)
    assert experiment.tell(WorkerIdentity(worker, "cpu", libraries), [told]) == []


@pytest.mark.parametrize(
    ("precision", "families"), [("float32", ["aa"]), ("bfloat16", ["bb", "cc"]), ("int8", [])]
)
def test_an_experiment_says_which_kernels_played_its_scores(
    precision: str, families: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    experiment = experiment_in(precision)
    with caplog.at_level(logging.WARNING):
        tell(experiment, "w1", {"kernels float32": "aa", "kernels bfloat16": "cc"})
        tell(experiment, "w2", {"kernels float32": "aa", "kernels bfloat16": "bb"})
        tell(experiment, "of-an-earlier-build", {"torch": "2.9"})

    assert list(write_experiment(experiment).kernels) == families
    said = "worker w2 plays by kernels of family bb, those before it by cc" in caplog.text
    assert said == (len(families) > 1)
