"""Whom a command talks to: a master, or a run's folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Protocol, TypeAlias

import click
import typer

from germline.cli.errors import CommandError, Exit
from germline.cli.folder import Archive, RunFolder
from germline.client import Client, Experiment, HistoryPoint, Individual
from germline.client.client import DEFAULT_ADDRESS

NameArgument: TypeAlias = Annotated[
    str | None,
    typer.Argument(help="The experiment; may be left out where there is only one.", show_default=False),
]
MasterOption: TypeAlias = Annotated[
    str, typer.Option("--master", envvar="GERMLINE_MASTER", help="Where the master listens, host:port.")
]
RunOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--run", help="A folder that `germline run` made, such as runs/pong, instead of a master."),
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Write JSON for a program.")]
TokenFileOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        envvar="GERMLINE_TOKEN_FILE",
        help="A file with the master's token; or set GERMLINE_TOKEN. Never a flag: others could read it.",
        exists=True,
        show_default=False,
    ),
]
TlsOption: TypeAlias = Annotated[
    bool, typer.Option("--tls", envvar="GERMLINE_TLS", help="Encrypt, trusting the system's certificates.")
]
CaOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--ca-certificate",
        envvar="GERMLINE_CA_CERTIFICATE",
        help="Encrypt, trusting this PEM file.",
        exists=True,
        show_default=False,
    ),
]

DEFAULT_MASTER = DEFAULT_ADDRESS


@dataclass(frozen=True, slots=True)
class Connection:
    """How to speak to a master, from the options before the command."""

    token: str | None = field(default=None, repr=False)
    tls: bool = False
    ca_certificate: Path | None = None

    @classmethod
    def of(cls, token_file: Path | None, tls: bool, ca_certificate: Path | None) -> Connection:
        """Read the token, from the file or from GERMLINE_TOKEN."""
        token = token_file.read_text().strip() if token_file else os.environ.get("GERMLINE_TOKEN")
        return cls(token or None, tls, ca_certificate)

    def open(self, address: str) -> Client:
        """A client; nothing is sent yet."""
        return Client(address, token=self.token, tls=self.tls, ca_certificate=self.ca_certificate)


class Source(Protocol):
    """Where a read-only command gets an experiment from."""

    def experiment(self) -> Experiment:
        """As it stands."""
        ...

    def individual(self, individual_id: int | None = None) -> Individual:
        """With its genome; without an id the champion, or the best while there is none."""
        ...

    def individuals(self, limit: int) -> list[Individual]:
        """The population, best first, with genomes."""
        ...

    def history(self) -> list[HistoryPoint]:
        """The curve of the run."""
        ...

    def centre(self) -> bytes:
        """An evolution strategy's stored centre, a safetensors file."""
        ...


class MasterSource:
    """One experiment on a master. A Source."""

    def __init__(self, client: Client, name: str) -> None:
        """Read from `client`."""
        self._client = client
        self._name = name

    def experiment(self) -> Experiment:
        """As it stands."""
        return self._client.experiment(self._name)

    def individual(self, individual_id: int | None = None) -> Individual:
        """With its genome."""
        return self._client.individual(self._name, individual_id)

    def individuals(self, limit: int) -> list[Individual]:
        """The population, with genomes."""
        return self._client.individuals(self._name, limit, with_genomes=True)

    def history(self) -> list[HistoryPoint]:
        """The curve of the run."""
        return self._client.history(self._name)

    def centre(self) -> bytes:
        """An evolution strategy's stored centre, a safetensors file."""
        return self._client.checkpoint(self._name).data


@contextmanager
def connect(master: str, run: Path | None) -> Iterator[Client]:
    """A client of the master, or of the folder's master, which must be up."""
    speaks = connection()
    if run is None:
        address = master
    else:
        folder = _existing(run)
        if not folder.is_running:
            raise CommandError(
                f"{run} has no master up; start it with: germline run {folder.spec}", Exit.UNREACHABLE
            )
        address, speaks = folder.master(), Connection(token=folder.token_file.read_text().strip())
    with speaks.open(address) as client:
        yield client


@contextmanager
def open_source(master: str, run: Path | None, name: str | None) -> Iterator[Source]:
    """The experiment of this name; of a folder without a master, what its run left behind."""
    if run is not None and not _existing(run).is_running:
        yield Archive(RunFolder(run))
        return
    with connect(master, run) as client:
        yield MasterSource(client, name_or_only(client, name))


def name_or_only(client: Client, name: str | None) -> str:
    """The name that was given, or that of the only experiment there is."""
    if name is not None:
        return name
    names = [experiment.name for experiment in client.experiments()]
    if len(names) == 1:
        return names[0]
    choice = f"name one of {', '.join(names)}" if names else "it has no experiment yet"
    raise CommandError(f"which experiment of {client.address}? {choice}", Exit.USAGE)


def _existing(run: Path) -> RunFolder:
    if not run.is_dir():
        raise CommandError(f"--run is {str(run)!r}; allowed: a folder that `germline run` made", Exit.USAGE)
    return RunFolder(run)


def connection() -> Connection:
    """What the options before the command said; typer keeps it for us."""
    context = click.get_current_context(silent=True)
    found = context.find_root().obj if context else None
    return found if isinstance(found, Connection) else Connection()
