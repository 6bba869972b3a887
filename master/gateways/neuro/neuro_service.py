"""neuroevolution.Neuro: decode, call, encode; in the proto's order."""

from __future__ import annotations

import math
from typing import TypeAlias

import grpc.aio
from google.protobuf import empty_pb2

from germline.peers import neuro_pb2 as pb
from germline.peers import neuro_pb2_grpc
from master.errors import ConflictError, InvalidFieldError, UnknownNameError
from master.experiments.experiment import Experiment
from master.experiments.guests import guest_search, take_nobodys, take_score
from master.experiments.registry import Registry
from master.experiments.workers import WorkerIdentity
from master.gateways.neuro.breeding import MOST_SEEDS, genome_of, next_seeds, seeds_of
from master.gateways.neuro.config import NeuroConfig
from master.journal.journal import Journal

Context: TypeAlias = "grpc.aio.ServicerContext[object, object]"

_MOST_ITERATIONS = 2**31 - 1


class NeuroService(neuro_pb2_grpc.NeuroServicer):
    """Lets workers of cshenton/neuroevolution play. What it answers a Show is durable."""

    def __init__(self, registry: Registry, journal: Journal, config: NeuroConfig) -> None:
        self._registry = registry
        self._journal = journal
        self._config = config

    async def Seek(self, request: empty_pb2.Empty, context: Context) -> pb.Individual:
        experiment = self.find_experiment()
        if experiment.state.is_final:  # at an error a worker ends, and it has nothing more to do
            raise ConflictError(f"experiment {experiment.settings.name} is {experiment.state.name.lower()}")
        return pb.Individual(seeds=next_seeds(experiment.algorithm))

    async def Show(self, request: pb.Evaluation, context: Context) -> empty_pb2.Empty:
        seeds = request.individual.seeds
        if len(seeds) > MOST_SEEDS:
            raise InvalidFieldError(f"individual has {len(seeds):,} seeds; allowed: up to {MOST_SEEDS:,}")
        experiment, identity = self.find_experiment(), _identity(context)
        if identity.worker_id in self._registry.quarantined:
            return empty_pb2.Empty()
        if request.HasField("individual"):
            strength = experiment.settings.spec.algorithm.ga.power
            genome = genome_of(seeds, strength, experiment.algorithm.find)
            take_score(experiment, identity, genome, request.score)
        else:
            take_nobodys(experiment, identity, "a score came without an individual")
        await self._journal.durable((experiment.number,))
        return empty_pb2.Empty()

    async def Status(self, request: empty_pb2.Empty, context: Context) -> pb.Top:
        experiment = self.find_experiment()
        shown = min(experiment.progress.evaluations + experiment.progress.failed, _MOST_ITERATIONS)
        champion = experiment.algorithm.champion
        if champion is None:
            return pb.Top(top_individual=pb.Individual(), top_score=-math.inf, num_iter=shown)
        best = pb.Individual(seeds=seeds_of(champion.genome))
        return pb.Top(top_individual=best, top_score=champion.known_mean, num_iter=shown)

    def find_experiment(self) -> Experiment:
        """What workers play here; it is made if there is none of this name.

        Raises MasterError: the one of this name is of another kind, or damaged; or a setting is not allowed.
        """
        try:
            experiment = self._registry.named(self._config.neuro_experiment)
        except UnknownNameError:
            experiment = self._registry.create(self._config.spec())
        guest_search(experiment)
        return experiment


def _identity(context: Context) -> WorkerIdentity:
    """Who calls, as far as such a worker can be told: the machine that it calls from."""
    kind, _, rest = str(context.peer()).partition(":")
    host = rest.rpartition(":")[0] if kind in ("ipv4", "ipv6") else kind
    return WorkerIdentity(f"neuro:{host}", "", {})
