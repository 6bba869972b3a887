"""Pages of what is known of an experiment's individuals by their episodes."""

from __future__ import annotations

import heapq

from germline.algorithms.known_returns import KnownReturns
from germline.v1 import experiment_pb2
from master.experiments.experiment import Experiment

_PAGE_BYTES = 4 << 20  # of genomes: lines may be long


def write_returns(experiment: Experiment, after: int, limit: int) -> experiment_pb2.ListReturnsResponse:
    """The next page: individuals in the order of their ids, those after this one, at most `limit`.

    Raises ConflictError for an evolution strategy, which has no individuals.
    """
    algorithm = experiment.algorithm
    page, size = experiment_pb2.ListReturnsResponse(), 0
    later = heapq.nsmallest(limit + 1, {i for i in algorithm.individual_ids() if i > after})
    for individual_id in later[:limit]:
        page.next = individual_id
        known = algorithm.known_returns(individual_id)
        if known is not None:
            page.individuals.append(_write(known))
            size += len(page.individuals[-1].genome)
        if size > _PAGE_BYTES:
            return page
    if len(later) <= limit:
        page.ClearField("next")
    return page


def _write(known: KnownReturns) -> experiment_pb2.KnownReturns:
    return experiment_pb2.KnownReturns(
        id=known.genome.id, genome=known.genome.encode(), seeds=known.seeds, returns=known.returns
    )
