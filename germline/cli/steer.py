"""Commands that change what a master does: submit, pause, resume, stop, extend, delete."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from germline.cli.errors import CommandError, Exit
from germline.cli.folder import RunFolder
from germline.cli.output import emit, experiment_json
from germline.cli.target import JsonOption, NameArgument, Target, name_or_only, with_target
from germline.cli.words import counted, until_text
from germline.client import Client, Experiment
from germline.spec import load
from germline.v1 import spec_pb2


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (submit, pause, resume, stop, extend, delete):
        app.command()(with_target(command))


def submit(
    target: Target,
    spec: Annotated[Path, typer.Argument(help="The spec, a TOML file.", exists=True, dir_okay=False)],
    as_json: JsonOption = False,
) -> None:
    """Start an experiment on a running master. The same spec twice is one experiment.

    Example: germline submit experiments/cartpole.toml --master localhost:7700
    """
    complete = load(spec)
    if target.run is not None:
        RunFolder(target.run).check_holds(complete.name)
    with target.connect() as client:
        _say(client.create(complete), as_json)


def pause(target: Target, name: NameArgument = None, as_json: JsonOption = False) -> None:
    """Lend no more work of an experiment, until it is resumed.

    Example: germline pause cartpole
    """
    _steer(Client.pause, target, name, as_json)


def resume(target: Target, name: NameArgument = None, as_json: JsonOption = False) -> None:
    """Go on with a paused experiment.

    Example: germline resume cartpole
    """
    _steer(Client.resume, target, name, as_json)


def stop(target: Target, name: NameArgument = None, as_json: JsonOption = False) -> None:
    """End an experiment. What it found stays.

    Example: germline stop cartpole
    """
    _steer(Client.stop, target, name, as_json)


def extend(
    target: Target,
    name: NameArgument = None,
    evaluations: Annotated[
        int | None, typer.Option(min=1, help="Complete after so many in all.", show_default=False)
    ] = None,
    frames: Annotated[
        int | None, typer.Option(min=1, help="Complete after so many in all.", show_default=False)
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0, help="Complete after so much running time.", show_default=False)
    ] = None,
    fitness: Annotated[
        float | None,
        typer.Option(help="Complete when the champion's mean has come so far.", show_default=False),
    ] = None,
    only: Annotated[bool, typer.Option("--only", help="Forget the conditions that are not named.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Change when an experiment is complete. One that is complete or stopped goes on from where it ended.

    Example: germline extend pong --evaluations 5000
    Example: germline extend pong --fitness 20 --only
    """
    stop = spec_pb2.Stop(evaluations=evaluations, frames=frames, seconds=seconds, fitness=fitness)
    if not stop.ListFields() and not only:
        raise CommandError(
            "say how far: --evaluations, --frames, --seconds or --fitness; or --only for no end at all",
            Exit.USAGE,
        )
    _steer(lambda client, name: client.extend(name, stop, only=only), target, name, as_json)


def delete(
    target: Target,
    name: Annotated[str, typer.Argument(help="The experiment; it must be complete or stopped.")],
) -> None:
    """Forget an experiment, with everything that the master stored of it. There is no way back.

    Example: germline delete cartpole
    """
    with target.connect() as client:
        client.delete(name)
    typer.echo(f"{name} is deleted")


def _steer(
    order: Callable[[Client, str], Experiment], target: Target, name: str | None, as_json: bool
) -> None:
    """Give an order about the experiment that is named, or the only one, and say what became of it."""
    with target.connect() as client:
        _say(order(client, name_or_only(client, name)), as_json)


def _say(experiment: Experiment, as_json: bool) -> None:
    if as_json:
        emit(experiment_json(experiment))
    else:
        evaluations, until = counted(experiment.evaluations, "evaluation"), until_text(experiment.spec)
        typer.echo(f"{experiment.name} is {experiment.state}, {evaluations}, {until}")
