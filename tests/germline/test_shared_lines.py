"""Whoever reads genomes of one family holds the line that they share once: long lines fill the memory."""

from collections.abc import Iterable

from germline.algorithms.base import Ask, Purpose
from germline.genome import Genome, Mutation
from germline.v1 import worker_pb2
from master.journal.codec import EntryReader, EntryWriter
from worker.connection.wire import KnownGenomes

STEM = Genome.founder(1).extended(Mutation(seed, 0.5) for seed in range(20))
PARENTS = [STEM.child(Mutation(100 + seed, 0.5)) for seed in range(3)]


def genomes_in_memory(genomes: Iterable[Genome]) -> int:
    return len({id(ancestor) for genome in genomes for ancestor in genome.ancestors()})


def test_a_worker_holds_the_line_of_relatives_once() -> None:
    leases = worker_pb2.Leases()
    for ticket, parent in enumerate(PARENTS):
        leases.known.add(id=parent.id, encoded=parent.encode())
        leases.leases.add(genome=parent.id).key.ticket = ticket
    individuals = [assignment.genome for assignment in KnownGenomes().read(leases)]
    assert individuals == PARENTS
    assert genomes_in_memory(i for i in individuals if isinstance(i, Genome)) == len(STEM) + 1 + len(PARENTS)


def test_a_replay_holds_the_line_of_relatives_once() -> None:
    children = [parent.child(Mutation(7, 0.5)) for parent in PARENTS]
    asks = [
        Ask(ticket, child, Purpose.EXPLORE, (), parent.id)
        for ticket, (child, parent) in enumerate(zip(children, PARENTS, strict=True))
    ]
    read = list(EntryReader().read(EntryWriter().write(asks)))
    assert read == asks
    found = [ask.genome for ask in read if isinstance(ask, Ask)]
    assert genomes_in_memory(found) == len(STEM) + 1 + 2 * len(PARENTS)
