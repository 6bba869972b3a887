"""`germline master` and `germline worker`: the services, with their own options."""

from __future__ import annotations

import os
import sys

import typer

_AS_GIVEN = {"allow_extra_args": True, "ignore_unknown_options": True}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (master, worker):
        app.command(context_settings=_AS_GIVEN, add_help_option=False)(command)


def master(context: typer.Context) -> None:
    """Host experiments and lend work to workers. `germline master --help` lists its options.

    Example: germline master --store-folder runs/master
    """
    _become("master", context.args)


def worker(context: typer.Context) -> None:
    """Play episodes for a master. `germline worker --help` lists its options.

    Example: germline worker --master localhost:7700
    """
    _become("worker", context.args)


def _become(module: str, arguments: list[str]) -> None:
    """Be replaced by the service, so that signals reach it as if it had been started directly."""
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606 - our own module
