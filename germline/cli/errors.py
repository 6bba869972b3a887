"""How commands fail: one sentence on standard error, and an exit code that a script can read."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from contextlib import contextmanager


class Exit(enum.IntEnum):
    """The exit codes of every command."""

    OK = 0
    FAILED = 1
    """The command ran and what it was asked for did not come about."""
    USAGE = 2
    """Wrong arguments, or a spec that is refused."""
    UNREACHABLE = 3
    """No master answers."""
    REFUSED = 4
    """The master said no, or knows no such experiment or individual."""
    MISSING_EXTRA = 5
    """A package is not installed; the message has the pip command."""
    INTERRUPTED = 130
    """Ctrl-C or SIGTERM; `run` leaves everything resumable."""


class CommandError(Exception):
    """Ends a command with a sentence and an exit code."""

    def __init__(self, sentence: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(sentence)
        self.code = code


@contextmanager
def as_usage() -> Iterator[None]:
    """Around what builds a task or a network: what cannot be built was asked for wrongly."""
    from worker.tasks.base import SetupError

    try:
        yield
    except SetupError as error:
        raise CommandError(str(error), Exit.USAGE) from None


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Around lazy imports: a missing package becomes one sentence with the command that helps."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise CommandError(
            f"this needs {error.name}, which is not installed: pip install 'germline[{extra}]'",
            Exit.MISSING_EXTRA,
        ) from None
