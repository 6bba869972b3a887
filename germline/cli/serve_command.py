"""`germline serve`: champions as models, which model-runner-client and `germline.models` find and call."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from germline import logs
from germline.cli.errors import CommandError, Exit, as_usage, needs_extra
from germline.cli.output import emit
from germline.cli.protection import SERVING, ListenOption, Protection, protection, split_address
from germline.cli.serving import Wanted
from germline.cli.taking import taking
from germline.cli.target import JsonOption, Target, target_of
from germline.cli.words import counted


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(taking(target_of, protection)(serve))


def serve(
    target: Target,
    protection: Protection,
    cards: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Policy cards, or exported centres; without any, --run or --master says what is followed.",
            exists=True,
            dir_okay=False,
            show_default=False,
        ),
    ] = None,
    experiment: Annotated[
        str | None,
        typer.Option("--experiment", help="One experiment; each one by default.", show_default=False),
    ] = None,
    best: Annotated[
        int, typer.Option(min=1, max=100, help="Serve the champion, and so many of the best in all.")
    ] = 1,
    listen: ListenOption = "localhost:9091",
    node_port: Annotated[
        int,
        typer.Option(min=0, max=65_000, rich_help_panel=SERVING,
                     help="The first model's port, others have the next ones; 0 takes free ones."),
    ] = 0,
    advertise: Annotated[
        str,
        typer.Option(help="Host under which clients reach the models; by default that by which they came.",
                     rich_help_panel=SERVING, show_default=False),
    ] = "",
    model: Annotated[
        str | None,
        typer.Option(rich_help_panel=SERVING, show_default=False,
                     help='A class of your own around each policy: "package.module:Class".'),
    ] = None,
    isolate: Annotated[
        bool,
        typer.Option("--isolate", rich_help_panel=SERVING,
                     help="A process for each model: one that ends its process ends no other."),
    ] = False,
    every: Annotated[
        float, typer.Option(min=0.1, help="Seconds between two looks for a new champion.",
                            rich_help_panel=SERVING)
    ] = 5.0,
    allow_code: Annotated[
        str,
        typer.Option(rich_help_panel=SERVING, show_default=False,
                     help="Code that experiments of a master may have imported here, as for a worker."),
    ] = "",
    gateway_keys: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, rich_help_panel=SERVING, show_default=False,
                     help="Take only calls signed by one of these RSA keys, public ones or certificates, as "
                     "model-runner-client signs them in its gateway mode."),
    ] = None,
    device: Annotated[str, typer.Option(help="Where networks run: auto, cpu, cuda or mps.")] = "auto",
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Serve champions as models that others call: by model-runner-client, or by germline.models.

    A new champion is announced when it is crowned, and the old one leaves. Ctrl-C ends.

    Example: germline serve runs/pong/champion.toml
    Example: germline serve --run runs/pong --best 5
    Example: germline serve --master localhost:7700 --listen 0.0.0.0:9091 --insecure
    """
    with needs_extra("models"):
        import pandas  # noqa: F401 - or a caller's table would find out
        import pyarrow  # noqa: F401
        import websockets  # noqa: F401
    with needs_extra("worker"):
        from worker.allowed_code import AllowedCode
        from worker.serving import service
    if cards and (target.run is not None or experiment is not None or best > 1):
        raise CommandError("cards need no --run, --experiment or --best: it is all there", Exit.USAGE)
    host, port = split_address(listen)
    try:
        serving = service.ServingSettings(
            host=host, port=port, node_port=node_port, advertise=advertise, token=protection.token or "",
            tls_cert=protection.cert, tls_key=protection.key, gateway_keys=gateway_keys,
            insecure=protection.insecure, every_s=every,
        )  # fmt: skip
        with needs_extra("certificates"):
            serving.protection()  # which looks at its files
        is_own = bool(cards) or target.run is not None
        allowed = None if is_own else AllowedCode.of(allow_code)
    except ValueError as error:
        raise CommandError(str(error), Exit.USAGE) from None
    wanted = Wanted(target, tuple(cards or ()), experiment, best, device, allowed)
    logs.configure()
    logging.getLogger("websockets").setLevel(logging.WARNING)  # who comes and goes is told here
    try:
        with as_usage():
            kind, isolated = _kind(model), (model or "") if isolate else None
            asyncio.run(service.serve(serving, wanted.look, _started(as_json), kind, isolated))
    except service.LookError as error:
        raise (error.__cause__ or error) from None  # a sentence with its own exit code


def _started(as_json: bool) -> Callable[[str, list[str]], None]:
    def say(address: str, served: list[str]) -> None:
        if as_json:
            emit({"listen": address, "models": served})
        else:
            names = ", ".join(served) or "nobody yet"
            typer.echo(f"serving {counted(len(served), 'model')} on {address}: {names}")

    return say


def _kind(path: str | None) -> Callable[..., object] | None:
    """The class that is put around each policy."""
    from worker.plugins import imported
    from worker.tasks.base import SetupError

    if path is None:
        return None
    found = imported("model", path)
    if not callable(found):
        raise SetupError(f"model is {path!r}, which names {found!r}; allowed: a class")
    return found
