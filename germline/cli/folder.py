"""A run's folder: what `germline run` keeps in runs/<name>, and what it leaves behind."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from germline.cli.errors import CommandError, Exit
from germline.cli.output import Json, experiment_json, history_json, individual_json
from germline.client import Client, Experiment, HistoryPoint, Individual, RefusedError, Unscored
from germline.genome import Genome, format_id, parse_id
from germline.spec import loads

_KEPT_INDIVIDUALS = 1_000
_KEPT_MUTATIONS = 2_000_000  # of all kept individuals together: 16 MB of genomes


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of one run, by name."""

    path: Path

    @property
    def store(self) -> Path:
        """Where the master's embedded server keeps the journal."""
        return self.path / "store"

    @property
    def logs(self) -> Path:
        """One file for each process."""
        return self.path / "logs"

    @property
    def spec(self) -> Path:
        """The spec with every default filled in."""
        return self.path / "spec.toml"

    @property
    def champion(self) -> Path:
        """The champion's policy card."""
        return self.path / "champion.toml"

    @property
    def centre(self) -> Path:
        """An evolution strategy's stored centre, a safetensors file."""
        return self.path / "centre.safetensors"

    @property
    def is_running(self) -> bool:
        """Whether a `germline run` is at work in it."""
        return self.path.is_dir() and not self._lock_is_free()

    @property
    def token_file(self) -> Path:
        """What this run's master wants to see; readable by its owner only."""
        return self.path / "token"

    def check_holds(self, experiment: str) -> None:
        """A folder is one run: what it keeps is of one experiment. Raises CommandError if that is another."""
        note = self.path / "run.json"
        held = str(_read_json(note)["experiment"]) if note.exists() else experiment
        if held != experiment:
            raise CommandError(
                f"{self.path} holds the run of {held!r} and nothing else; "
                f"give {experiment!r} a --folder of its own",
                Exit.USAGE,
            )

    def remember(self, address: str, experiment: str, stop: str) -> None:
        """Note where the run's master listens, and which stop conditions the person's spec had."""
        _write_json(self.path / "run.json", {"master": address, "experiment": experiment, "stop": stop})

    @property
    def last_stop(self) -> str | None:
        """The stop conditions of the person's spec when the run last began; None if nobody noted them."""
        note = self.path / "run.json"
        return _read_json(note).get("stop") if note.exists() else None

    def draw_token(self) -> str:
        """A token for this sitting: others on this machine could reach the port, too."""
        token = secrets.token_urlsafe(24)
        self.token_file.unlink(missing_ok=True)
        self.token_file.touch(mode=0o600)
        self.token_file.write_text(token + "\n")
        return token

    def master(self) -> str:
        """Where the run's master listens, or last did."""
        return str(_read_json(self.path / "run.json")["master"])

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs out of the folder; raises CommandError if one is in it."""
        self.path.mkdir(parents=True, exist_ok=True)
        with self._lock_file.open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise CommandError(
                    f"{self.path} is in use by process {lock.read().strip()}; watch it with: "
                    f"germline watch --run {self.path}"
                ) from None
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            yield

    @property
    def _lock_file(self) -> Path:
        return self.path / "lock"

    def _lock_is_free(self) -> bool:
        if not self._lock_file.exists():
            return True
        with self._lock_file.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    def save(self, client: Client, name: str) -> Individual | None:
        """Write down what read-only commands need when no master is up; returns the best individual."""
        experiment, best = client.experiment(name), _best(client, name)
        limit = min(_KEPT_INDIVIDUALS, _KEPT_MUTATIONS // max(1, experiment.lineage_depth))
        population = client.individuals(name, max(1, limit), with_genomes=True)
        known = {
            "best": individual_json(best) if best else None,
            "population": [individual_json(each) for each in population],
        }
        if experiment.spec.algorithm.HasField("eggroll"):
            self._save_centre(client, name)
        _write_json(self.path / "individuals.json", known)
        _write_json(self.path / "history.json", [history_json(point) for point in client.history(name)])
        _write_json(self.path / "experiment.json", experiment_json(experiment))
        return best

    def _save_centre(self, client: Client, name: str) -> None:
        try:
            data = client.checkpoint(name).data
        except RefusedError:  # none is stored yet
            return
        draft = self.centre.with_suffix(".new")
        draft.write_bytes(data)
        draft.replace(self.centre)


def _best(client: Client, name: str) -> Individual | None:
    """The champion, or the best of the population; None if nobody was evaluated yet."""
    try:
        return client.individual(name)
    except RefusedError as error:
        if error.code in ("NOT_FOUND", "FAILED_PRECONDITION"):
            return None
        raise


class Archive:
    """What a run left behind, read from its folder. A Source, as commands see it."""

    def __init__(self, folder: RunFolder, name: str | None = None) -> None:
        """Look whether there is anything, and of the experiment that is named.

        Raises:
            CommandError: if there is not.
        """
        self._path = folder.path
        if not (self._path / "experiment.json").exists():
            start = f"germline run {folder.spec} --folder {self._path}"
            hint = f"start it with: {start}" if folder.spec.exists() else "it is no folder of a run"
            raise CommandError(f"{self._path} has no master up and left no results; {hint}", Exit.UNREACHABLE)
        held = _read_json(self._path / "experiment.json")["name"]
        if name not in (None, held):
            raise CommandError(f"{self._path} holds the run of {held!r}, and none of {name!r}", Exit.REFUSED)

    def experiment(self) -> Experiment:
        """The experiment as it stood."""
        fields = _read_json(self._path / "experiment.json")
        champion, spec_format = fields["champion"], fields.pop("spec_format", 1)
        return Experiment(
            **{
                **fields,
                "spec": loads(fields["spec"], spec_format=spec_format),
                "created": datetime.fromisoformat(fields["created"]),
                "champion": _individual(champion) if champion else None,
                "fitness_quantiles": tuple(fields["fitness_quantiles"]),
                "set_aside": tuple(Unscored(**each) for each in fields.get("set_aside", ())),
            }
        )

    def individual(self, individual_id: int | None = None) -> Individual:
        """An individual with its genome; without an id the champion, or the best while there is none."""
        fields = _read_json(self._path / "individuals.json")
        kept = [fields["best"], *fields["population"]] if fields["best"] else []
        for each in kept:
            if individual_id is None or parse_id(each["id"]) == individual_id:
                return _individual(each)
        wanted = "nobody was evaluated yet" if individual_id is None else format_id(individual_id)
        raise CommandError(f"{wanted}: not among the {len(kept)} individuals of {self._path}", Exit.REFUSED)

    def individuals(self, limit: int) -> list[Individual]:
        """The population as it stood, best first, with genomes."""
        population = _read_json(self._path / "individuals.json")["population"]
        return [_individual(fields) for fields in population[:limit]]

    def centre(self) -> bytes:
        """An evolution strategy's stored centre, a safetensors file."""
        file = RunFolder(self._path).centre
        if not file.exists():
            raise CommandError(f"{self._path} holds no centre of an evolution strategy", Exit.REFUSED)
        return file.read_bytes()

    def history(self) -> list[HistoryPoint]:
        """The curve of the run."""
        points = _read_json(self._path / "history.json")
        return [
            HistoryPoint(**{**fields, "fitness_quantiles": tuple(fields["fitness_quantiles"])})
            for fields in points
        ]


def _individual(fields: Mapping[str, Any]) -> Individual:
    genome = fields["genome"]
    return Individual(
        **{
            **fields,
            "id": parse_id(fields["id"]),
            "genome": Genome.decode(base64.b64decode(genome)) if genome else None,
            "start_returns": tuple(fields.get("start_returns", ())),
        }
    )


def _read_json(path: Path) -> Any:
    """Files of ours: what is in them is what :meth:`RunFolder.save` wrote."""
    return json.loads(path.read_text())


def _write_json(path: Path, value: Json) -> None:
    """Whole or not at all: a reader never sees half a file."""
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(value, indent=1) + "\n")
    draft.replace(path)
