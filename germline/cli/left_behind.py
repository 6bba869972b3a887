"""What a run left in its folder, as the dashboard reads it: what a master would say, if one were up."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import NoReturn, ParamSpec, TypeVar

from germline.cli.archive import Archive
from germline.cli.errors import CommandError
from germline.cli.folder import RunFolder
from germline.client import (
    Bands,
    Checkpoint,
    Experiment,
    ExperimentEvent,
    HistoryPoint,
    Individual,
    KnownReturns,
    QuarantinedWorker,
    RefusedError,
    Worker,
)
from germline.client.archive import Axis

_Asked = ParamSpec("_Asked")
_Answer = TypeVar("_Answer")


class LeftBehind:
    """A run's folder without a master. A Source, as the dashboard sees it."""

    def __init__(self, folder: RunFolder) -> None:
        """Look whether there is anything. Raises CommandError if there is not."""
        self.address = str(folder.path)
        self._folder, self._archive = folder, Archive(folder)

    def experiments(self) -> list[Experiment]:
        """The only one."""
        return [self._experiment()]

    def experiment(self, name: str) -> Experiment:
        """As it stood."""
        return self._only(name)

    def history(self, name: str) -> list[HistoryPoint]:
        """The curve of the run."""
        self._only(name)
        return _asked(self._archive.history)

    def bands(
        self, name: str, axis: Axis, low: float | None, high: float | None, points: int | None
    ) -> Bands:
        """Quantile bands of every evaluation, from the archive in the folder."""
        self._only(name)
        return _asked(self._archive.bands, axis, low, high, points)

    def events(self, name: str) -> list[ExperimentEvent]:
        """What happened to it."""
        self._only(name)
        return _asked(self._archive.events)

    def individuals(self, name: str, limit: int = 100) -> list[Individual]:
        """The population as it stood."""
        self._only(name)
        return _asked(self._archive.individuals, limit)

    def individual(self, name: str, individual_id: int | None = None) -> Individual:
        """One of those that were kept."""
        self._only(name)
        return _asked(self._archive.individual, individual_id)

    def returns(self, name: str) -> Iterator[KnownReturns]:
        """What was known of individuals by their episodes."""
        self._only(name)
        return iter(_asked(lambda: list(self._archive.returns())))

    def checkpoint(self, name: str) -> Checkpoint:
        """An evolution strategy's centre."""
        experiment = self._only(name)
        return Checkpoint(experiment.epochs, experiment.centre_digest, _asked(self._archive.centre))

    def workers(self) -> list[Worker]:
        """Nobody."""
        return []

    def quarantined(self) -> list[QuarantinedWorker]:
        """Nobody."""
        return []

    def watch(self, name: str, interval_s: float, *, patience_s: float) -> Iterator[Experiment]:
        """As it stood; whoever looks again sees what a run has written since."""
        del interval_s, patience_s
        yield self._only(name)

    def pause(self, name: str) -> Experiment:
        """Nobody is there to do it."""
        self._refuse(name)

    def resume(self, name: str) -> Experiment:
        """Nobody is there to do it."""
        self._refuse(name)

    def stop(self, name: str) -> Experiment:
        """Nobody is there to do it."""
        self._refuse(name)

    def close(self) -> None:
        """Nothing is open."""

    def _only(self, name: str) -> Experiment:
        experiment = self._experiment()
        if name != experiment.name:
            raise RefusedError("NOT_FOUND", f"{self.address} holds the run of {experiment.name!r} alone")
        return experiment

    def _experiment(self) -> Experiment:
        """As it stood; one that is not over waits for a master."""
        experiment = _asked(self._archive.experiment)
        if experiment.is_over:
            return dataclasses.replace(experiment, workers=0)
        why = f"no master is up, so this is how it stood; {self._folder.how_to_start}"
        return dataclasses.replace(
            experiment,
            state="paused",
            trouble=why,
            workers=0,
            frames_per_second=0.0,
            evaluations_per_second=0.0,
        )

    def _refuse(self, name: str) -> NoReturn:
        self._only(name)
        raise RefusedError("FAILED_PRECONDITION", f"no master is up; {self._folder.how_to_start}")


def _asked(question: Callable[_Asked, _Answer], *args: _Asked.args, **kwargs: _Asked.kwargs) -> _Answer:
    """What the folder says; what it does not say is a refusal."""
    try:
        return question(*args, **kwargs)
    except CommandError as error:
        raise RefusedError("NOT_FOUND", str(error)) from None
    except OSError as error:
        raise RefusedError("NOT_FOUND", f"{error.filename}: {error.strerror}") from None
