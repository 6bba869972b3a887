"""Files that commands write for people: looked at before the work, whole, and never over another file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from germline.cli.errors import CommandError, Exit

ForceOption: TypeAlias = Annotated[bool, typer.Option("--force", help="Write over a file that is there.")]


def check_free(path: Path, suffixes: Sequence[str], *, force: bool) -> None:
    """Look whether a file can be written, before the work for it is done.

    Args:
        path: of the file.
        suffixes: what its name may end with.
        force: whether it may be written over.

    Raises:
        CommandError: if it cannot be.
    """
    problem = ""
    if path.is_dir():
        problem = "is a folder"
    elif path.suffix.lower() not in suffixes:
        problem = f"does not end with {' or '.join(suffixes)}"
    elif not path.parent.is_dir():
        problem = f"lies in {path.parent}, which is no folder"
    elif path.exists() and not force:
        problem = "is there already; write over it with --force"
    if problem:
        raise CommandError(f"{path} {problem}", Exit.USAGE)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all: a reader never sees half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        draft.write_bytes(data)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
