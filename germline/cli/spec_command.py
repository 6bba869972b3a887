"""`germline spec`: check spec files, or explain every field of one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from germline.cli.errors import CommandError, Exit
from germline.cli.output import console, emit
from germline.cli.preflight import check_playable
from germline.cli.target import JsonOption
from germline.spec import Row, Section, SpecError, explain, load, loads, to_toml
from germline.spec.presets import Budget, preset
from germline.v1 import spec_pb2


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(spec)


def spec(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Spec files to check.", exists=True, dir_okay=False, show_default=False),
    ] = None,
    show_explanation: Annotated[
        bool, typer.Option("--explain", help="Print every field with unit, default, range and meaning.")
    ] = False,
    complete: Annotated[
        bool, typer.Option("--complete", help="Print the specs with every default filled in.")
    ] = False,
    for_frames: Annotated[
        Budget | None,
        typer.Option("--for-frames", help="Write a spec for so many frames of --game.", show_default=False),
    ] = None,
    game: Annotated[
        str, typer.Option("--game", help="An Atari game in snake case, for --for-frames.", show_default=False)
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Check spec files: fields, ranges, contradictions, and that this machine can play them.

    Exit code 2 if one is refused, after all of them were looked at.

    Example: germline spec experiments/pong.toml
    Example: germline spec --explain
    Example: germline spec --for-frames 10M --game frostbite
    """
    if for_frames is not None or game:
        _write(for_frames, game)
    elif show_explanation:
        _explain(as_json)
    elif files:
        _check(files, complete, as_json)
    else:
        raise CommandError("name a spec file, or ask for --explain or --for-frames", Exit.USAGE)


def _write(budget: Budget | None, game: str) -> None:
    """A spec for a budget, which this machine can play."""
    if budget is None or not game:
        raise CommandError("--for-frames and --game go together; name both", Exit.USAGE)
    text = preset(game, budget)
    _tried(loads(text, "--game"), Path("--game"))
    typer.echo(text, nl=False)


def _check(files: list[Path], complete: bool, as_json: bool) -> None:
    refused = False
    for path in files:
        try:
            checked = load(path)
            note = _tried(checked, path)
        except SpecError as error:
            refused = True
            if as_json:
                emit({"file": str(path), "problems": [dataclasses.asdict(each) for each in error.problems]})
            else:
                typer.echo(f"germline: {error}", err=True)
            continue
        if as_json:
            emit({"file": str(path), "problems": [], "complete": to_toml(checked)})
        else:
            typer.echo(to_toml(checked) if complete else f"{path}: good{note}")
    if refused:
        raise typer.Exit(Exit.USAGE)


def _tried(spec: spec_pb2.ExperimentSpec, path: Path) -> str:
    """Try to play it; what kept us from trying, as a remark."""
    try:
        check_playable(spec, str(path))
    except CommandError as error:
        return f" (not tried: {error})"
    return ""


def _explain(as_json: bool) -> None:
    if as_json:
        emit([dataclasses.asdict(section) for section in explain()])
        return
    for section in explain():
        if section.rows:
            _print_section(section)


def _print_section(section: Section) -> None:
    header = Text(f"[{section.path}]" if section.path else "top of the file", style="bold")
    console.print(header, Text(section.text, style="dim"))
    for row in section.rows:
        console.print(_row(row), soft_wrap=False)
    console.print()


def _row(row: Row) -> Text:
    """One field: its key, what it takes, its default, then its words."""
    text = Text("  ")
    text.append(row.path.rpartition(".")[2], style="cyan")
    text.append(f"  {row.allowed}; {_default(row)}\n", style="green")
    text.append(f"      {row.text}")
    for word, meaning in row.words.items():
        text.append(f'\n        "{word}"', style="cyan")
        text.append(f": {meaning}")
    return text


def _default(row: Row) -> str:
    if row.required:
        return "must be given"
    return f"default {row.default}" if row.default is not None else "may be left out"
