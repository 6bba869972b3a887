"""What the Python face raises: sentences for people, as one kind of exception."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from germline.cli.errors import CommandError

_Arguments = ParamSpec("_Arguments")
_Answer = TypeVar("_Answer")


class GermlineError(Exception):
    """Something that cannot be done as it was asked for; the text says why, and what is allowed."""


def in_words(function: Callable[_Arguments, _Answer]) -> Callable[_Arguments, _Answer]:
    """A function of the command line for people who write Python: its sentences come as GermlineError."""

    @functools.wraps(function)
    def told(*arguments: _Arguments.args, **named: _Arguments.kwargs) -> _Answer:
        try:
            return function(*arguments, **named)
        except CommandError as error:
            raise GermlineError(str(error)) from None

    return told
