"""Puts the commands together, and turns what they raise into sentences and exit codes."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from germline.cli import (
    bench_command,
    doctor,
    individuals,
    inspect,
    plot,
    policies,
    run_command,
    services,
    spec_command,
    steer,
)
from germline.cli.errors import CommandError, Exit
from germline.cli.target import CaOption, Connection, TlsOption, TokenFileOption
from germline.client import MasterError, NotReachableError, RefusedError
from germline.spec import SpecError

_EPILOG = (
    "Exit codes: 0 done, 1 failed, 2 wrong arguments or spec, 3 no master answers, 4 the master refused or "
    "knows no such thing, 5 a package is missing, 130 interrupted."
)

app = typer.Typer(
    name="germline",
    help="Neuroevolution as a service: every network is a line of seeds.",
    epilog=_EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
)


@app.callback()
def _connection(
    context: typer.Context,
    token_file: TokenFileOption = None,
    tls: TlsOption = False,
    ca_certificate: CaOption = None,
) -> None:
    context.obj = Connection.of(token_file, tls, ca_certificate)


for module in (
    run_command,
    services,
    steer,
    inspect,
    individuals,
    policies,
    plot,
    spec_command,
    doctor,
    bench_command,
):
    module.register(app)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    try:
        app(args=None if arguments is None else list(arguments), prog_name="germline")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else int(bool(done.code))
    except (CommandError, SpecError, MasterError, OSError) as error:
        typer.echo(f"germline: {error}", err=True)
        return int(_code_of(error))
    return Exit.OK


def _code_of(error: Exception) -> Exit:
    if isinstance(error, CommandError):
        return error.code
    codes = {SpecError: Exit.USAGE, NotReachableError: Exit.UNREACHABLE, RefusedError: Exit.REFUSED}
    return codes.get(type(error), Exit.FAILED)
