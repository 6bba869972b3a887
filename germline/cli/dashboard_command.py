"""`germline dashboard`: what a master does, in a browser."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from germline import logs
from germline.cli.errors import CommandError, Exit, needs_extra
from germline.cli.left_behind import LeftBehind
from germline.cli.output import emit
from germline.cli.protection import SERVING, ListenOption, Protection, protection, split_address
from germline.cli.taking import taking
from germline.cli.target import JsonOption, Target, client_of, target_of
from germline.connection import Security

if TYPE_CHECKING:
    from germline.dashboard.server import Dashboard
    from germline.dashboard.settings import DashboardSettings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(taking(target_of, protection)(dashboard))


def dashboard(
    target: Target,
    protection: Protection,
    listen: ListenOption = "localhost:7780",
    host_name: Annotated[
        list[str] | None,
        typer.Option(help="A name under which browsers come, besides localhost and addresses; repeatable.",
                     rich_help_panel=SERVING, show_default=False),
    ] = None,
    metrics: Annotated[
        str,
        typer.Option(rich_help_panel=SERVING, show_default=False,
                     help="Where the master's metrics are, such as http://localhost:7701, for Health."),
    ] = "",
    allow_control: Annotated[
        bool,
        typer.Option("--allow-control", rich_help_panel=SERVING,
                     help="Let visitors pause, resume and stop experiments; without it they only look."),
    ] = False,
    allow_code: Annotated[
        str,
        typer.Option(envvar="GERMLINE_ALLOW_CODE", rich_help_panel=SERVING, show_default=False,
                     help="Code that experiments of a master may have imported here, to be replayed."),
    ] = "",
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Show experiments, champions and workers in a browser. Ctrl-C ends the showing, nothing else.

    It listens on this machine alone unless it has a token and TLS, and changes nothing unless it may.

    Example: germline dashboard --run runs/pong
    Example: germline dashboard --master localhost:7700 --listen localhost:8080
    """
    with needs_extra("dashboard"):
        from germline.dashboard.metrics import MetricsReader
        from germline.dashboard.server import AddressError, serve
        from germline.dashboard.settings import DashboardSettings
    host, port = split_address(listen)
    folder = target.left_behind
    try:
        address, security = target.whom() if folder is None else ("", Security())
        source = client_of(address, security) if folder is None else LeftBehind(folder)
        serving = DashboardSettings(
            host=host.strip("[]"), port=port, tls_cert=protection.cert, tls_key=protection.key,
            token=protection.token or security.token,
            host_names=tuple(host_name or ()), insecure=protection.insecure, allow_control=allow_control,
            allow_code=allow_code if target.run is None else None,
            metrics=MetricsReader(metrics, security.token, security.ca) if metrics else None,
        )  # fmt: skip
    except ValueError as error:
        raise CommandError(str(error), Exit.USAGE) from None
    logs.configure()
    try:
        asyncio.run(serve(source, serving, lambda started: _say(started, serving, as_json=as_json)))
    except AddressError as error:
        raise CommandError(str(error)) from None
    finally:
        source.close()


def _say(started: Dashboard, serving: DashboardSettings, *, as_json: bool) -> None:
    if as_json:
        emit({"address": started.address, "link": started.link})
    else:
        may = "visitors may pause, resume and stop" if serving.allow_control else "it only shows"
        typer.echo(f"dashboard: {started.link} ({may}; Ctrl-C ends it)")
