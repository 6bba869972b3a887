"""Puts the commands together, and turns what they raise into sentences and exit codes."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from typing import Annotated, Protocol

import typer
from typer.core import TyperGroup

from germline.cli import (
    archive_commands,
    backup,
    bench_command,
    certificates,
    clean_command,
    compare_command,
    curve_command,
    dashboard_command,
    doctor,
    elites,
    events_command,
    individuals,
    init_command,
    inspect,
    plot,
    policies,
    publish,
    run_command,
    seeds_command,
    serve_command,
    services,
    spec_command,
    steer,
    sweep_command,
    track_command,
    verify,
)
from germline.cli.errors import CommandError, Exit
from germline.cli.once import OnceCommand, OnceGroup
from germline.cli.streams import speak_plainly
from germline.cli.target import CaOption, CertOption, KeyOption, TlsOption, TokenFileOption, given
from germline.client import MasterError, NotReachableError, RefusedError
from germline.spec import SpecError


class Commands(Protocol):
    """A module of commands."""

    def register(self, app: typer.Typer) -> None:
        """Put them into the program."""


_EPILOG = (
    "Exit codes: 0 done, 1 failed, 2 wrong arguments or spec, 3 no master answers, 4 the master refused or "
    "knows no such thing, 5 a package is missing, 130 interrupted."
)

app = typer.Typer(
    name="germline",
    cls=OnceGroup,
    help="Neuroevolution as a service: every network is a line of seeds.",
    epilog=_EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"germline {importlib.metadata.version('germline')}")
        raise typer.Exit


@app.callback()
def _connection(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version, and no more."),
    ] = False,
    token_file: TokenFileOption = None,
    tls: TlsOption = False,
    ca: CaOption = None,
    tls_cert: CertOption = None,
    tls_key: KeyOption = None,
) -> None:
    context.obj = given(token_file, tls, ca, tls_cert, tls_key)
    if any(context.obj.values()) and not _talks_to_a_master(context):
        name = context.invoked_subcommand
        raise CommandError(
            f"no option may stand before `{name}`; its own stand behind it: germline {name} --help",
            Exit.USAGE,
        )


def _talks_to_a_master(context: typer.Context) -> bool:
    """Whether the command takes what protects the talk; no other one may swallow it."""
    group, name = context.command, context.invoked_subcommand
    command = group.get_command(context, name) if isinstance(group, TyperGroup) and name else None
    return command is not None and any(parameter.name == "token_file" for parameter in command.params)


_PANELS = {
    "Run on this machine": (init_command, spec_command, run_command, sweep_command, clean_command, doctor),
    "Run on many machines": (services, steer, backup, certificates),
    "Look at a run": (
        inspect, events_command, individuals, archive_commands, plot, curve_command, compare_command, elites,
        dashboard_command, track_command,
    ),
    "Use what was found": (policies, verify, publish, serve_command, seeds_command),
    "Measure": (bench_command,),
}  # fmt: skip
"""What the help shows together, in this order."""


def _register(panel: str, module: Commands) -> None:
    """Put a module's commands into the program, under a heading of its help."""
    commands, groups = len(app.registered_commands), len(app.registered_groups)
    module.register(app)
    for command in app.registered_commands[commands:]:
        command.rich_help_panel = panel
    for group in app.registered_groups[groups:]:
        group.rich_help_panel = panel


for title, modules in _PANELS.items():
    for each in modules:
        _register(title, each)
for group in (app, bench_command.bench):
    for command in group.registered_commands:
        command.cls = OnceCommand


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    speak_plainly()
    try:
        app(args=None if arguments is None else list(arguments), prog_name="germline")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else int(bool(done.code))
    except (CommandError, SpecError, MasterError, OSError) as error:
        typer.echo(f"germline: {_sentence(error)}", err=True)
        return int(_code_of(error))
    return Exit.OK


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _code_of(error: Exception) -> Exit:
    if isinstance(error, CommandError):
        return error.code
    codes = {SpecError: Exit.USAGE, NotReachableError: Exit.UNREACHABLE, RefusedError: Exit.REFUSED}
    return codes.get(type(error), Exit.FAILED)
