"""Whom a command talks to: a master, or a run's folder; and how, with the options that say so."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Concatenate, ParamSpec, TypeAlias

import typer

from germline import settings
from germline.cli.archive import Archive
from germline.cli.errors import CommandError, Exit
from germline.cli.folder import RunFolder
from germline.cli.source import ArchiveSource, MasterSource
from germline.cli.taking import taking
from germline.client import Client
from germline.client.client import DEFAULT_ADDRESS
from germline.connection import Security, check_addresses

_Own = ParamSpec("_Own")
_PANEL = "Connection"

NameArgument: TypeAlias = Annotated[
    str | None,
    typer.Argument(help="The experiment; may be left out where there is only one.", show_default=False),
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Write JSON for a program.")]
MasterOption: TypeAlias = Annotated[
    str,
    typer.Option(
        envvar="GERMLINE_MASTER",
        help="Where the master listens, host:port; of several on one store, all with commas between.",
        rich_help_panel=_PANEL,
    ),
]
RunOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="A folder that `germline run` made, such as runs/pong, instead of a master.",
        rich_help_panel=_PANEL,
    ),
]
# Their variables are read in one place, because a flag before the command goes before a variable.
TokenFileOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="A file with the master's token (GERMLINE_TOKEN_FILE; or GERMLINE_TOKEN, the token itself).",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
TlsOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--tls",
        help="Encrypt, trusting the system's certificates (GERMLINE_TLS).",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
CaOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="Encrypt, trusting this PEM file (GERMLINE_CA).", show_default=False, rich_help_panel=_PANEL
    ),
]
CertOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="Encrypt, showing this certificate chain, a PEM file (GERMLINE_TLS_CERT); needs --tls-key.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
KeyOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="Private key of the certificate, a PEM file (GERMLINE_TLS_KEY).",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a command talks to.

    Attributes:
        master: a master's address, if no folder is named.
        run: the folder of a run.
        security: how to talk to the master at that address; a run's own has a token of its own.
    """

    master: str
    run: Path | None
    security: Security

    @contextmanager
    def connect(self) -> Iterator[Client]:
        """A client of the master, or of the folder's master, which must be up."""
        with client_of(*self.whom()) as client:
            yield client

    @property
    def left_behind(self) -> RunFolder | None:
        """The folder, if no master is up in it."""
        folder = None if self.run is None else _existing(self.run)
        return None if folder is None or folder.is_running else folder

    def whom(self) -> tuple[str, Security]:
        """Where the master is, or the folder's master, which must be up; and how to talk to it."""
        if self.run is None:
            return self.master, self.security
        folder = _existing(self.run)
        if not folder.is_running:
            raise CommandError(f"{self.run} has no master up; {folder.how_to_start}", Exit.UNREACHABLE)
        return folder.master(), Security(token=folder.token())

    @contextmanager
    def source(self, name: str | None) -> Iterator[ArchiveSource]:
        """The experiment of this name; of a folder without a master, what its run left behind."""
        if self.run is not None and not _existing(self.run).is_running:
            yield Archive(RunFolder(self.run), name)
            return
        with self.connect() as client:
            yield MasterSource(client, name_or_only(client, name))


def with_target(command: Callable[Concatenate[Target, _Own], None]) -> Callable[..., None]:
    """A command that takes a target, with the options that name it beside its own."""
    return taking(target_of)(command)


def target_of(
    context: typer.Context,
    master: MasterOption = DEFAULT_ADDRESS,
    run: RunOption = None,
    token_file: TokenFileOption = None,
    tls: TlsOption = False,
    ca: CaOption = None,
    tls_cert: CertOption = None,
    tls_key: KeyOption = None,
) -> Target:
    """Whom these options name. Raises CommandError."""
    after = given(token_file, tls, ca, tls_cert, tls_key)
    before: Mapping[str, object] = context.find_root().obj
    chosen = {name: value if value is not None else before[name] for name, value in after.items()}
    try:
        check_addresses(master)
        return Target(master, run, settings.read(Security, chosen, os.environ))
    except ValueError as error:
        raise CommandError(str(error), Exit.USAGE) from None


def given(
    token_file: Path | None, tls: bool, ca: Path | None, tls_cert: Path | None, tls_key: Path | None
) -> dict[str, object]:
    """The options of one place by the names of settings; None for each that is not there."""
    return {"token": token_file, "tls": tls or None, "ca": ca, "tls_cert": tls_cert, "tls_key": tls_key}


def client_of(address: str, security: Security) -> Client:
    """A client; nothing is sent yet."""
    return Client(
        address,
        token=security.token,
        tls=security.tls,
        ca=security.ca,
        tls_cert=security.tls_cert,
        tls_key=security.tls_key,
    )


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
