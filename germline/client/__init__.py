"""A small client for a master's ExperimentService: typed, synchronous, with deadlines.

Example::

    with Client("localhost:7700") as client:
        client.create("experiments/pong.toml")
        for experiment in client.watch("pong"):
            print(experiment.evaluations, experiment.best_fitness)
        print(client.individual("pong").genome)
"""

from germline.client.archive_views import (
    Ancestors,
    Ancestry,
    Bands,
    BehaviourAxes,
    BehaviourMap,
    Evaluations,
    EvaluationsPage,
    Life,
)
from germline.client.client import Client
from germline.client.errors import MasterError, NotReachableError, RefusedError
from germline.client.views import (
    Checkpoint,
    Experiment,
    ExperimentEvent,
    HistoryPoint,
    Individual,
    KnownReturns,
    QuarantinedWorker,
    Repaired,
    State,
    Unscored,
    Verification,
    Worker,
)

__all__ = [
    "Ancestors",
    "Ancestry",
    "Bands",
    "BehaviourAxes",
    "BehaviourMap",
    "Checkpoint",
    "Client",
    "Evaluations",
    "EvaluationsPage",
    "Experiment",
    "ExperimentEvent",
    "HistoryPoint",
    "Individual",
    "KnownReturns",
    "Life",
    "MasterError",
    "NotReachableError",
    "QuarantinedWorker",
    "RefusedError",
    "Repaired",
    "State",
    "Unscored",
    "Verification",
    "Worker",
]
