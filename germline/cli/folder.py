"""A run's folder: what `germline run` keeps in runs/<name>, and what it leaves behind."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from germline.cli.errors import CommandError, Exit
from germline.cli.files import write_whole
from germline.cli.output import Json, event_json, experiment_json, history_json, individual_json, returns_json
from germline.client import Client, Individual, KnownReturns, RefusedError

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
    def returns(self) -> Path:
        """What is known of its individuals by their episodes."""
        return self.path / "returns.json"

    @property
    def events(self) -> Path:
        """What happened to it."""
        return self.path / "events.json"

    @property
    def is_running(self) -> bool:
        """Whether a `germline run` is at work in it."""
        return self.path.is_dir() and not self._lock_is_free()

    @property
    def token_file(self) -> Path:
        """What this run's master wants to see; readable by its owner only."""
        return self.path / "token"

    @property
    def dashboard_token_file(self) -> Path:
        """What browsers show this run's dashboard; readable by its owner only."""
        return self.path / "dashboard-token"

    def check_holds(self, experiment: str) -> None:
        """A folder is one run: what it keeps is of one experiment. Raises CommandError if that is another."""
        note = self.path / "run.json"
        if not note.exists():
            return
        with reading(note) as noted:
            held = str(noted["experiment"])
        if held != experiment:
            raise CommandError(
                f"{self.path} holds the run of {held!r} and nothing else; "
                f"give {experiment!r} a --folder of its own",
                Exit.USAGE,
            )

    def check_holds_many(self) -> None:
        """Many experiments have a folder each, below one that is no run's own. Raises CommandError."""
        if (self.path / "run.json").exists():
            raise CommandError(
                f"{self.path} holds a single run; give many a --folder of their own", Exit.USAGE
            )

    def remember(self, address: str, experiment: str, stop: str) -> None:
        """Note where the run's master listens, and which stop conditions the person's spec had."""
        _write_json(self.path / "run.json", {"master": address, "experiment": experiment, "stop": stop})

    @property
    def last_stop(self) -> str | None:
        """The stop conditions of the person's spec when the run last began; None if nobody noted them."""
        note = self.path / "run.json"
        if not note.exists():
            return None
        with reading(note) as noted:
            stop: str | None = noted.get("stop")
        return stop

    def draw_token(self) -> str:
        """A token for this sitting: others on this machine could reach the port, too."""
        return _drawn(self.token_file)

    def draw_dashboard_token(self) -> str:
        """The same for its dashboard, whose link is shown."""
        return _drawn(self.dashboard_token_file)

    @property
    def how_to_start(self) -> str:
        """What to do about a master that is not up, in words."""
        if not self.spec.exists():
            return "it is no folder of a run"
        return f"start it with: germline run {self.spec} --folder {self.path}"

    def token(self) -> str:
        """The token of this sitting."""
        return self.token_file.read_text(encoding="ascii").strip()

    def master(self) -> str:
        """Where the run's master listens, or last did."""
        with reading(self.path / "run.json") as noted:
            return str(noted["master"])

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs out of the folder; raises CommandError if one is in it."""
        self.path.mkdir(parents=True, exist_ok=True)
        self._refuse_files_of_others()
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

    def _refuse_files_of_others(self) -> None:
        """A folder that never was a run's must not hold what a run would write over."""
        ours = (self.spec, self.champion, self.centre, self.token_file, self.store, self.logs)
        there = [file.name for file in ours if file.exists()]
        if there and not self._lock_file.exists():
            raise CommandError(
                f"{self.path} is no folder of a run and holds {', '.join(there)}, which a run would write "
                "over; choose another --folder",
                Exit.USAGE,
            )

    @property
    def _lock_file(self) -> Path:
        return self.path / "lock"

    def _lock_is_free(self) -> bool:
        if not self._lock_file.exists():
            return True
        with self._lock_file.open() as lock:  # to read: a folder may be looked at that cannot be written to
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
        else:
            _write_json(self.returns, [returns_json(known) for known in _kept(client.returns(name))])
        _write_json(self.path / "individuals.json", known)
        _write_json(self.events, [event_json(each) for each in client.events(name)])
        _write_json(self.path / "history.json", [history_json(point) for point in client.history(name)])
        _write_json(self.path / "experiment.json", experiment_json(experiment))
        return best

    def note_judged(self, individual: Individual) -> None:
        """Let read-only commands find the run's verdict as the champion's score."""
        judged = individual_json(individual)
        for file, field in (("experiment.json", "champion"), ("individuals.json", "best")):
            with reading(self.path / file) as fields:
                noted = {**fields, field: judged}
            _write_json(self.path / file, noted)

    def verdict(self) -> dict[str, Any] | None:
        """What :meth:`note_verdict` was told; None if nothing was."""
        note = self.path / "verdict.json"
        if not note.exists():
            return None
        with reading(note) as noted:
            found: dict[str, Any] = noted
        return found

    def note_verdict(self, verdict: Json) -> None:
        """Keep what a verdict played."""
        _write_json(self.path / "verdict.json", verdict)

    def _save_centre(self, client: Client, name: str) -> None:
        try:
            data = client.checkpoint(name).data
        except RefusedError:  # none is stored yet
            return
        write_whole(self.centre, data)


def _drawn(file: Path) -> str:
    """A new token, in a file of its own."""
    token = secrets.token_urlsafe(24)
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_text(token + "\n", encoding="ascii")
    return token


def _kept(known: Iterable[KnownReturns]) -> Iterator[KnownReturns]:
    """As many as a folder keeps."""
    mutations = 0
    for each in islice(known, _KEPT_INDIVIDUALS):
        mutations += len(each.genome)
        if mutations > _KEPT_MUTATIONS:
            return
        yield each


def _best(client: Client, name: str) -> Individual | None:
    """The champion, or the best of the population; None if nobody was evaluated yet."""
    try:
        return client.individual(name)
    except RefusedError as error:
        if error.code in ("NOT_FOUND", "FAILED_PRECONDITION"):
            return None
        raise


@contextmanager
def reading(path: Path) -> Iterator[Any]:
    """What :meth:`RunFolder.save` wrote into a file; whatever else is in it is damage, which has a name.

    Raises:
        CommandError: if the file is damaged, or what the `with` block looks for is not in it.
    """
    try:
        yield json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise CommandError(
            f"{path} is damaged ({type(error).__name__}: {error}); "
            "delete it, and a run that goes on writes it anew"
        ) from None


def _write_json(path: Path, value: Json) -> None:
    write_whole(path, (json.dumps(value, indent=1) + "\n").encode())
