"""Where read-only commands get an experiment from: a master, or what a run left in its folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from germline import stored_start
from germline.client import (
    Client,
    Experiment,
    ExperimentEvent,
    HistoryPoint,
    Individual,
    KnownReturns,
    Life,
    Worker,
)


class Source(Protocol):
    """Where a read-only command gets an experiment from."""

    is_up: bool
    """Whether a master is up that is asked."""

    def experiment(self) -> Experiment:
        """As it stands."""
        ...

    def individual(self, individual_id: int | None = None) -> Individual:
        """With its genome; without an id the champion, or the best while there is none."""
        ...

    def individuals(self, limit: int) -> list[Individual]:
        """The population, best first, with genomes."""
        ...

    def returns(self) -> Iterator[KnownReturns]:
        """What is known of individuals by their episodes."""
        ...

    def history(self) -> list[HistoryPoint]:
        """The curve of the run."""
        ...

    def centre(self) -> bytes:
        """An evolution strategy's stored centre, a safetensors file."""
        ...

    def watch(self, interval_s: float) -> Iterator[Experiment]:
        """As it stands, again and again, until it is over; once where nothing changes any more."""
        ...

    def workers(self) -> list[Worker]:
        """The workers that the master sees; none where no master is up."""
        ...

    def back_up(self) -> bytes:
        """All of it, for another store. Raises CommandError where no master is up."""
        ...


class ArchiveSource(Source, Protocol):
    """A source that has the archive, too, and what happened."""

    def events(self) -> list[ExperimentEvent]:
        """What happened to it, oldest first."""
        ...

    def life(self, individual_id: int) -> Life:
        """An individual of any time, from the archive."""
        ...

    def archive_parts(self) -> Iterator[bytes]:
        """Every evaluation, as parts of an archive."""
        ...


class MasterSource:
    """One experiment on a master. A Source."""

    is_up = True

    def __init__(self, client: Client, name: str) -> None:
        """Read from `client`."""
        self._client = client
        self._name = name

    def experiment(self) -> Experiment:
        """As it stands; the weights that its lines start from, if it names any, are at hand then."""
        found = self._client.experiment(self._name)
        digest = found.spec.policy.start
        if digest and stored_start.find(digest) is None:
            stored_start.keep(self._client.checkpoint(self._name).data)
        return found

    def individual(self, individual_id: int | None = None) -> Individual:
        """With its genome."""
        return self._client.individual(self._name, individual_id)

    def individuals(self, limit: int) -> list[Individual]:
        """The population, with genomes."""
        return self._client.individuals(self._name, limit, with_genomes=True)

    def returns(self) -> Iterator[KnownReturns]:
        """What is known of individuals by their episodes."""
        return self._client.returns(self._name)

    def history(self) -> list[HistoryPoint]:
        """The curve of the run."""
        return self._client.history(self._name)

    def events(self) -> list[ExperimentEvent]:
        """What happened to it, oldest first."""
        return self._client.events(self._name)

    def centre(self) -> bytes:
        """An evolution strategy's stored centre, a safetensors file."""
        return self._client.checkpoint(self._name).data

    def watch(self, interval_s: float) -> Iterator[Experiment]:
        """As it stands, again and again, until it is over."""
        return self._client.watch(self._name, interval_s)

    def workers(self) -> list[Worker]:
        """The workers that the master sees."""
        return self._client.workers()

    def life(self, individual_id: int) -> Life:
        """An individual of any time, from the archive."""
        return self._client.life(self._name, individual_id)

    def archive_parts(self) -> Iterator[bytes]:
        """Every evaluation, as parts of an archive."""
        return self._client.archive_parts(self._name)

    def back_up(self) -> bytes:
        """All of it, as it stands and is durable."""
        return self._client.back_up(self._name)
