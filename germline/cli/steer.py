"""Commands that change what a master does: submit, pause, resume, stop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from germline.cli.folder import RunFolder
from germline.cli.output import emit, experiment_json
from germline.cli.target import JsonOption, NameArgument, Target, name_or_only, with_target
from germline.client import Client, Experiment
from germline.spec import load


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (submit, pause, resume, stop):
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
    """End an experiment for good. What it found stays.

    Example: germline stop cartpole
    """
    _steer(Client.stop, target, name, as_json)


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
        typer.echo(f"{experiment.name} is {experiment.state}, {experiment.evaluations:,} evaluations")
