"""`germline dashboard`: what a master does, in a browser."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from germline import logs, settings
from germline.cli.errors import CommandError, Exit, needs_extra
from germline.cli.left_behind import LeftBehind
from germline.cli.output import emit
from germline.cli.target import JsonOption, Target, client_of, with_target
from germline.connection import Security

if TYPE_CHECKING:
    from germline.dashboard.server import Dashboard
    from germline.dashboard.settings import DashboardSettings

_SERVING = "Serving"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(with_target(dashboard))


def dashboard(
    target: Target,
    listen: Annotated[
        str,
        typer.Option(help="Where browsers come, host:port; port 0 takes a free one.",
                     rich_help_panel=_SERVING),
    ] = "localhost:7780",
    host_name: Annotated[
        list[str] | None,
        typer.Option(help="A name under which browsers come, besides localhost and addresses; repeatable.",
                     rich_help_panel=_SERVING, show_default=False),
    ] = None,
    serve_token_file: Annotated[
        Path | None,
        typer.Option(rich_help_panel=_SERVING, show_default=False,
                     help="A file with the token that visitors show; the master's by default."),
    ] = None,
    serve_cert: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, rich_help_panel=_SERVING, show_default=False,
                     help="Serve HTTPS with this certificate chain, a PEM file; needs --serve-key."),
    ] = None,
    serve_key: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, rich_help_panel=_SERVING, show_default=False,
                     help="Private key of the certificate, a PEM file."),
    ] = None,
    metrics: Annotated[
        str,
        typer.Option(rich_help_panel=_SERVING, show_default=False,
                     help="Where the master's metrics are, such as http://localhost:7701, for Health."),
    ] = "",
    insecure: Annotated[
        bool,
        typer.Option("--insecure", rich_help_panel=_SERVING,
                     help="Serve a network without a token or without TLS."),
    ] = False,
    allow_control: Annotated[
        bool,
        typer.Option("--allow-control", rich_help_panel=_SERVING,
                     help="Let visitors pause, resume and stop experiments; without it they only look."),
    ] = False,
    allow_code: Annotated[
        str,
        typer.Option(envvar="GERMLINE_ALLOW_CODE", rich_help_panel=_SERVING, show_default=False,
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
    host, port = _split(listen)
    folder = target.left_behind
    try:
        address, security = target.whom() if folder is None else ("", Security())
        source = client_of(address, security) if folder is None else LeftBehind(folder)
        serving = DashboardSettings(
            host=host, port=port, tls_cert=serve_cert, tls_key=serve_key,
            token=settings.secret("serve_token", serve_token_file, None) or security.token,
            host_names=tuple(host_name or ()), insecure=insecure, allow_control=allow_control,
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


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or int(port[:6]) > 65_535:
        raise CommandError(f"--listen is {address!r}; allowed: host:port, port 0 to 65535", Exit.USAGE)
    return host.strip("[]"), int(port)
