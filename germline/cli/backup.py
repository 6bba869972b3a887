"""Commands that keep experiments outside of a store, and bring them back: backup, restore, repair."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from germline import backup_file
from germline.backup_file import Backup, BackupError, Place
from germline.cli.errors import CommandError, Exit
from germline.cli.files import ForceOption, check_free
from germline.cli.output import emit, experiment_json
from germline.cli.target import JsonOption, Target, with_target
from germline.cli.words import counted
from germline.client import Client, RefusedError

_SUFFIX = ".backup"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (backup, restore, repair):
        app.command()(with_target(command))


def backup(
    target: Target,
    file: Annotated[Path, typer.Argument(help=f"The file to write, *{_SUFFIX}.")],
    names: Annotated[
        list[str] | None, typer.Argument(help="The experiments; all without a name.", show_default=False)
    ] = None,
    with_archive: Annotated[
        bool, typer.Option("--archive/--no-archive", help="Whether every evaluation goes into the file, too.")
    ] = True,
    force: ForceOption = False,
) -> None:
    """Write experiments into one file, as they stand and are durable. They go on meanwhile.

    The archive of evaluations comes along, if the master keeps one.

    Example: germline backup pong.backup pong
    """
    check_free(file, (_SUFFIX,), force=force)
    draft = file.with_name(f".{file.name}.new")
    try:
        with target.connect() as client, draft.open("wb") as output:
            found = _backed_up(client, names or _all(client), with_archive=with_archive)
            count = backup_file.write(output, found, with_archives=with_archive)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    typer.echo(f"{counted(count, 'experiment')} in {file}, {file.stat().st_size:,} bytes")


def _backed_up(client: Client, names: Iterable[str], *, with_archive: bool) -> Iterator[Backup]:
    """Experiments, and parts of their archives: one at a time, so that little is in memory."""
    for name in names:
        yield Backup(name, client.back_up(name))
        if with_archive:
            yield from (Backup(name, part, is_archive=True) for part in _archive_of(client, name))


def _archive_of(client: Client, name: str) -> Iterator[bytes]:
    """The parts of an archive; of a master that keeps none it is said, and there are none."""
    try:
        yield from client.archive_parts(name)
    except RefusedError as error:
        if error.code != "FAILED_PRECONDITION":
            raise
        typer.echo(f"germline: no archive of {name} is in the backup: {error}", err=True)


def _all(client: Client) -> list[str]:
    """All experiments that can be read; of the others it is said that they are left out."""
    found = client.experiments()
    for each in found:
        if each.state == "damaged":
            typer.echo(f"germline: {each.name} is damaged and left out: {each.trouble}", err=True)
    return [each.name for each in found if each.state != "damaged"]


def restore(
    target: Target,
    file: Annotated[Path, typer.Argument(help="What `germline backup` wrote.", exists=True, dir_okay=False)],
    names: Annotated[
        list[str] | None, typer.Argument(help="The experiments; all without a name.", show_default=False)
    ] = None,
    called: Annotated[
        str | None, typer.Option("--as", help="A new name, for a single one.", show_default=False)
    ] = None,
    with_archive: Annotated[
        bool, typer.Option("--archive/--no-archive", help="Whether every evaluation of it comes, too.")
    ] = True,
) -> None:
    """Take experiments out of a file into a master, where they go on. What is there stays as it is.

    Example: germline restore pong.backup --master other:7700
    """
    found = _places(file, names)
    missing = set(names or ()) - found.keys()
    if missing:
        raise CommandError(f"{file} has no experiment {', '.join(sorted(missing))}", Exit.USAGE)
    if called and len(found) != 1:
        raise CommandError(f"--as names one experiment, and there are {len(found)}: say which", Exit.USAGE)
    with target.connect() as client:
        for place, *parts in found.values():
            archive = partial(_loaded, file, parts if with_archive else ())
            experiment = client.restore(backup_file.load(file, place), called or "", archive)
            evaluations = counted(experiment.evaluations, "evaluation")
            typer.echo(f"{experiment.name} is {experiment.state}, {evaluations}")


def _places(file: Path, names: list[str] | None) -> dict[str, list[Place]]:
    """Where a file holds experiments and what of their archives; all of it checked. Raises CommandError."""
    found: dict[str, list[Place]] = {}
    try:
        for place in backup_file.places(file):
            if place.is_archive:
                found[place.name].append(place)
            else:
                found[place.name] = [place]
    except BackupError as error:
        raise CommandError(str(error), Exit.USAGE) from None
    return {name: each for name, each in found.items() if not names or name in names}


def _loaded(file: Path, places: Sequence[Place]) -> Iterator[bytes]:
    return (backup_file.load(file, place) for place in places)


def repair(
    target: Target,
    name: Annotated[str, typer.Argument(help="The experiment, which `germline list` shows as damaged.")],
    as_json: JsonOption = False,
) -> None:
    """Bring a damaged experiment back as it was before the first damage; what came behind it is forgotten.

    Example: germline repair pong
    """
    with target.connect() as client:
        repaired = client.repair(name)
    if as_json:
        emit(
            {
                "experiment": experiment_json(repaired.experiment),
                "kept_entries": repaired.kept_entries,
                "lost_entries": repaired.lost_entries,
            }
        )
        return
    evaluations = counted(repaired.experiment.evaluations, "evaluation")
    lost = f"entries of its journal that are forgotten: {repaired.lost_entries:,}"
    typer.echo(f"{name} is {repaired.experiment.state}, {evaluations}; {lost}")
