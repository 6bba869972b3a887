"""What a run left in its folder, for the commands that look while no master is up."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import numpy as np

from germline import stored_start
from germline.archive.files import ArchiveFiles
from germline.behaviour import pack
from germline.cli import archived
from germline.cli.errors import CommandError, Exit
from germline.cli.folder import RunFolder, reading
from germline.client import (
    Bands,
    Experiment,
    ExperimentEvent,
    HistoryPoint,
    Individual,
    KnownReturns,
    Life,
    Unscored,
    Verification,
    Worker,
)
from germline.client.archive import Axis
from germline.genome import Genome, format_id, parse_id
from germline.normalisation import Normalisation, Version
from germline.spec import loads


class Archive:
    """What a run left behind, read from its folder. A Source, as commands see it."""

    is_up = False

    def __init__(self, folder: RunFolder, name: str | None = None) -> None:
        """Look whether there is anything, and of the experiment that is named.

        Raises:
            CommandError: if there is not.
        """
        self._path, self._store = folder.path, folder.store
        self._files: ArchiveFiles | None = None
        if not (self._path / "experiment.json").exists():
            raise CommandError(
                f"{self._path} has no master up and left no results; {folder.how_to_start}", Exit.UNREACHABLE
            )
        with reading(self._path / "experiment.json") as fields:
            held = self._name = str(fields["name"])
        if name not in (None, held):
            raise CommandError(f"{self._path} holds the run of {held!r}, and none of {name!r}", Exit.REFUSED)

    def experiment(self) -> Experiment:
        """The experiment as it stood."""
        with reading(self._path / "experiment.json") as fields:
            found = _experiment(fields)
        stored_start.look_in(self._path, found.spec.policy.start)
        return found

    def individual(self, individual_id: int | None = None) -> Individual:
        """An individual with its genome; without an id the champion, or the best while there is none."""
        with reading(self._path / "individuals.json") as fields:
            kept = [fields["best"], *fields["population"]] if fields["best"] else []
            for each in kept:
                if individual_id is None or parse_id(each["id"]) == individual_id:
                    return _individual(each)
        wanted = "nobody was evaluated yet" if individual_id is None else format_id(individual_id)
        raise CommandError(f"{wanted}: not among the {len(kept)} individuals of {self._path}", Exit.REFUSED)

    def individuals(self, limit: int) -> list[Individual]:
        """The population as it stood, best first, with genomes."""
        with reading(self._path / "individuals.json") as fields:
            return [_individual(each) for each in fields["population"][:limit]]

    def returns(self) -> Iterator[KnownReturns]:
        """What was known of individuals by their episodes."""
        file = RunFolder(self._path).returns
        if not file.exists():
            raise CommandError(
                f"{self._path} does not say which episode gave which return: only a run of the genetic "
                "algorithm does",
                Exit.REFUSED,
            )
        with reading(file) as found:
            for each in found:
                genome = Genome.decode(base64.b64decode(each["genome"]))
                yield KnownReturns(genome, tuple(each["seeds"]), tuple(each["returns"]))

    def centre(self) -> bytes:
        """An evolution strategy's stored centre, a safetensors file."""
        file = RunFolder(self._path).centre
        if not file.exists():
            raise CommandError(f"{self._path} holds no centre of an evolution strategy", Exit.REFUSED)
        return file.read_bytes()

    def watch(self, _interval_s: float) -> Iterator[Experiment]:
        """The experiment as it stood: it does not change any more."""
        yield self.experiment()

    def workers(self) -> list[Worker]:
        """Nobody is at work."""
        return []

    def life(self, individual_id: int) -> Life:
        """An individual of any time, from the archive."""
        return archived.life_of(self._store, self._name, individual_id)

    def archive_parts(self) -> Iterator[bytes]:
        """Every evaluation, as parts of an archive."""
        return archived.parts_of(self._store, self._name)

    def events(self) -> list[ExperimentEvent]:
        """What happened to it; a run of an earlier version noted nothing."""
        file = RunFolder(self._path).events
        if not file.exists():
            return []
        with reading(file) as found:
            return [
                ExperimentEvent(**{**each, "time": each["time"] and datetime.fromisoformat(each["time"])})
                for each in found
            ]

    def bands(self, axis: Axis, low: float | None, high: float | None, points: int | None) -> Bands:
        """Quantile bands of every evaluation, from the archive."""
        self._files = self._files or archived.files_of(self._store, self._name)
        return archived.bands_of(self._files, axis, low, high, points)

    def back_up(self) -> bytes:
        """Only a master can."""
        raise CommandError(f"{self._path} has no master up, which a backup needs", Exit.UNREACHABLE)

    def history(self) -> list[HistoryPoint]:
        """The curve of the run."""
        with reading(self._path / "history.json") as points:
            return [
                HistoryPoint(**{**fields, "fitness_quantiles": tuple(fields["fitness_quantiles"])})
                for fields in points
            ]


def _experiment(fields: Mapping[str, Any]) -> Experiment:
    champion, spec_format = fields["champion"], fields.get("spec_format", 1)
    return Experiment(
        **{
            **{name: value for name, value in fields.items() if name != "spec_format"},
            "spec": loads(fields["spec"], spec_format=spec_format),
            "created": datetime.fromisoformat(fields["created"]),
            "champion": _individual(champion) if champion else None,
            "fitness_quantiles": tuple(fields["fitness_quantiles"]),
            "kernels": tuple(fields.get("kernels", ())),
            "set_aside": tuple(Unscored(**each) for each in fields.get("set_aside", ())),
            "verification": Verification(**fields.get("verification", {})),
            "normalisations": tuple(map(_version, fields.get("normalisations", ()))),
        }
    )


def _version(fields: Mapping[str, Any]) -> Version:
    numbers = Normalisation(tuple(fields["mean"]), tuple(fields["deviation"]))
    return Version(numbers, fields["first_epoch"])


def _individual(fields: Mapping[str, Any]) -> Individual:
    genome = fields["genome"]
    return Individual(
        **{
            **fields,
            "id": parse_id(fields["id"]),
            "genome": Genome.decode(base64.b64decode(genome)) if genome else None,
            "start_returns": tuple(fields.get("start_returns", ())),
            "behaviour": pack(np.array(fields.get("behaviour", ()), np.uint16)),
        }
    )
