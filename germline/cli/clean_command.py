"""`germline clean`: free the space that runs take which are over."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from germline.cli.errors import CommandError, Exit
from germline.cli.folder import RunFolder
from germline.cli.output import emit
from germline.cli.target import JsonOption

_MIB = 1 << 20


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(clean)


def clean(
    folders: Annotated[list[Path], typer.Argument(help="Folders of runs.", show_default=False)],
    everything: Annotated[
        bool, typer.Option("--everything", help="The whole folders, cards and curves among them.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it; without this, it is only said what would go.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete what nobody needs of runs that are over: the journal and the logs.

    Cards, centres, curves and specs stay, so `status`, `plot`, `compare` and `evaluate` go on working. A run
    whose journal is gone cannot be gone on with. Nothing is deleted without --yes.

    Example: germline clean runs/pong --yes
    """
    for path in folders:
        _check(path)
    found = [part for path in folders for part in _parts(path, everything)]
    sizes = {part: _bytes(part) for part in found}
    for part in found if yes else ():
        _delete(part)
    if as_json:
        emit({"deleted": yes, "bytes": sum(sizes.values()), "paths": [str(part) for part in found]})
        return
    for part, size in sizes.items():
        typer.echo(f"{'deleted' if yes else 'would delete'} {part}, {size / _MIB:,.1f} MiB")
    total = f"{sum(sizes.values()) / _MIB:,.1f} MiB"
    typer.echo(f"{total} in all" + ("" if yes or not found else "; do it with --yes"))


def _check(path: Path) -> None:
    """Raises CommandError unless this is a run's folder, and nobody is at work in it."""
    if not (path / "lock").is_file() or path.is_symlink():
        raise CommandError(
            f"{path} is no folder of a run; allowed: what `germline run` or `sweep` made", Exit.USAGE
        )
    if RunFolder(path).is_running:
        raise CommandError(f"{path} is in use; end its run first", Exit.REFUSED)


def _parts(path: Path, everything: bool) -> Iterator[Path]:
    """What goes: all of it, or what the run alone needs."""
    if everything:
        yield path
        return
    folder = RunFolder(path)
    yield from (part for part in (folder.store, folder.logs, folder.token_file) if part.exists())


def _bytes(part: Path) -> int:
    files = part.rglob("*") if part.is_dir() else [part]
    return sum(file.lstat().st_size for file in files if file.is_file() and not file.is_symlink())


def _delete(part: Path) -> None:
    if part.is_dir():
        shutil.rmtree(part)
    else:
        part.unlink()
