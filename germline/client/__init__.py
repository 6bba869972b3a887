"""A small client for a master's ExperimentService: typed, synchronous, with deadlines.

Example::

    with Client("localhost:7700") as client:
        client.create(germline.spec.load(Path("experiments/pong.toml")))
        for experiment in client.watch("pong"):
            print(experiment.evaluations, experiment.best_fitness)
        print(client.individual("pong").genome)
"""

from germline.client.client import Client
from germline.client.errors import MasterError, NotReachableError, RefusedError
from germline.client.views import (
    Checkpoint,
    Experiment,
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
    "Checkpoint",
    "Client",
    "Experiment",
    "HistoryPoint",
    "Individual",
    "KnownReturns",
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
