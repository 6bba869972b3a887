"""`germline certificates`: a small private authority, for those who have none."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from germline.cli.errors import CommandError, Exit, needs_extra
from germline.cli.files import ForceOption

if TYPE_CHECKING:
    from germline.cli.authority import Authority, Signed

_HERE = ("localhost", "127.0.0.1")
_HOST = re.compile(r"[A-Za-z0-9.:*-]{1,253}")
_ROLES = ("worker", "operator")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(certificates)


def certificates(
    folder: Annotated[
        Path, typer.Argument(help="Where they go; it is made, for you alone, if it is not there.")
    ],
    host: Annotated[
        list[str] | None,
        typer.Option(
            help="A name or an address by which the master is called; may be said several times. This "
            "machine's name, localhost and 127.0.0.1 go without saying.",
            show_default=False,
        ),
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="How long they are valid.")] = 365,
    force: ForceOption = False,
) -> None:
    """Make certificates: of an authority of your own, the master, workers and operators.

    Writes ca.pem, server.pem, worker.pem and operator.pem with a key beside each (ca-key.pem ...), which
    nobody else may read. An authority that is in the folder already signs again, so that callers need not be
    told of another: with --force, the others are made anew.

    Example: germline certificates certificates --host germline-master --host 10.0.0.7
    """
    hosts = [*(host or ()), platform.node() or "localhost", *_HERE]
    for each in hosts:
        if not _HOST.fullmatch(each):
            raise CommandError(f"--host is {each!r}; allowed: a name or an address", Exit.USAGE)
    with needs_extra("certificates"):
        from germline.cli.authority import Authority
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_free(folder, force=force)
    authority = _authority(folder) or Authority.new()
    made = {"ca": authority.stored, "server": authority.sign_server(list(dict.fromkeys(hosts)), days)}
    made |= {role: authority.sign_client(role, days) for role in _ROLES}
    for name, signed in made.items():
        _write(folder, name, signed)
    typer.echo(f"wrote {', '.join(f'{name}.pem' for name in made)} and their keys to {folder}")
    for line in _usage(folder):
        typer.echo(line)


def _usage(folder: Path) -> Iterator[str]:
    """Who is told what, beside tokens and in their place."""
    trusted = folder / "ca.pem"

    def shown(name: str) -> str:
        own, key = _paths(folder, name)
        return f"--tls-cert {own} --tls-key {key}"

    yield "with tokens:"
    yield f"  master    {shown('server')} --worker-tokens FILE --operator-tokens FILE"
    yield f"  others    --ca {trusted} --token-file FILE"
    yield "with certificates in place of tokens:"
    yield f"  master    {shown('server')} --tls-client-ca {trusted}"
    yield f"  worker    --ca {trusted} {shown('worker')}"
    yield f"  operator  --ca {trusted} {shown('operator')}"


def _check_free(folder: Path, *, force: bool) -> None:
    there = [path for name in ("server", *_ROLES) for path in _paths(folder, name) if path.exists()]
    if there and not force:
        raise CommandError(f"{there[0]} is there already; make it anew with --force", Exit.USAGE)


def _authority(folder: Path) -> Authority | None:
    """The one that lives in the folder, if there is one."""
    from germline.cli.authority import Authority, Signed

    certificate, key = _paths(folder, "ca")
    if not (certificate.exists() or key.exists()):
        return None
    try:
        return Authority.of(Signed(certificate.read_bytes(), key.read_bytes()))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise CommandError(
            f"the authority in {folder} cannot be used: {reason}; it is {certificate.name} and {key.name}"
        ) from None


def _paths(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / f"{name}.pem", folder / f"{name}-key.pem"


def _write(folder: Path, name: str, signed: Signed) -> None:
    certificate, key = _paths(folder, name)
    key.unlink(missing_ok=True)
    with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(signed.key)
    certificate.write_bytes(signed.certificate)
