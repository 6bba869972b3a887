"""Commands that keep experiments outside of a store, and bring them back: backup, restore, repair."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from germline import backup_file
from germline.backup_file import Backup, BackupError
from germline.cli.errors import CommandError, Exit
from germline.cli.files import ForceOption, check_free
from germline.cli.output import emit, experiment_json
from germline.cli.target import JsonOption, Target, with_target
from germline.cli.words import counted
from germline.client import Client

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
    force: ForceOption = False,
) -> None:
    """Write experiments into one file, as they stand and are durable. They go on meanwhile.

    Example: germline backup pong.backup pong
    """
    check_free(file, (_SUFFIX,), force=force)
    draft = file.with_name(f".{file.name}.new")
    try:
        with target.connect() as client, draft.open("wb") as output:
            count = backup_file.write(output, _backed_up(client, names or _all(client)))
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    typer.echo(f"{counted(count, 'experiment')} in {file}, {file.stat().st_size:,} bytes")


def _backed_up(client: Client, names: Iterable[str]) -> Iterator[Backup]:
    return (Backup(name, client.back_up(name)) for name in names)


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
) -> None:
    """Take experiments out of a file into a master, where they go on. What is there stays as it is.

    Example: germline restore pong.backup --master other:7700
    """
    try:
        found = {each.name: each for each in backup_file.read(file) if not names or each.name in names}
    except BackupError as error:
        raise CommandError(str(error), Exit.USAGE) from None
    missing = set(names or ()) - found.keys()
    if missing:
        raise CommandError(f"{file} has no experiment {', '.join(sorted(missing))}", Exit.USAGE)
    if called and len(found) != 1:
        raise CommandError(f"--as names one experiment, and there are {len(found)}: say which", Exit.USAGE)
    with target.connect() as client:
        for each in found.values():
            experiment = client.restore(each.data, called or "")
            evaluations = counted(experiment.evaluations, "evaluation")
            typer.echo(f"{experiment.name} is {experiment.state}, {evaluations}")


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
