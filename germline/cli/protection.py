"""Options of commands that serve others: where they listen, and who may come."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from germline import settings
from germline.cli.errors import CommandError, Exit

SERVING = "Serving"
"""The panel of these options."""

ListenOption: TypeAlias = Annotated[
    str,
    typer.Option(help="Where others come, host:port; port 0 takes a free one.", rich_help_panel=SERVING),
]


@dataclass(frozen=True, slots=True)
class Protection:
    """Who may come.

    Attributes:
        token_file: with the token that others show; None for none of its own.
        cert: a certificate chain to serve TLS with, a PEM file.
        key: its private key.
        insecure: whether a network is served without a token or without TLS, too.
    """

    token_file: Path | None
    cert: Path | None
    key: Path | None
    insecure: bool

    @property
    def token(self) -> str | None:
        """What the file holds; None without one. Raises ValueError for a file that holds none."""
        return settings.secret("serve_token", self.token_file, None)


def protection(
    serve_token_file: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=SERVING,
            show_default=False,
            help="A file with the token that others have to show; of a dashboard, the master's by default.",
        ),
    ] = None,
    serve_cert: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            rich_help_panel=SERVING,
            show_default=False,
            help="Serve TLS with this certificate chain, a PEM file; needs --serve-key.",
        ),
    ] = None,
    serve_key: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            rich_help_panel=SERVING,
            show_default=False,
            help="Private key of the certificate, a PEM file.",
        ),
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure", rich_help_panel=SERVING, help="Serve a network without a token or without TLS."
        ),
    ] = False,
) -> Protection:
    """What these options say."""
    return Protection(serve_token_file, serve_cert, serve_key, insecure)


def split_address(address: str) -> tuple[str, int]:
    """Host and port of what --listen says. Raises CommandError for what is none."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or int(port[:6]) > 65_535:
        raise CommandError(f"--listen is {address!r}; allowed: host:port, port 0 to 65535", Exit.USAGE)
    return host, int(port)
