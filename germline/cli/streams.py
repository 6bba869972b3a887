"""Standard output and error as they are found: a terminal of any encoding, and a reader that may be gone."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_NOBODY_LISTENS = (errno.EPIPE, errno.EIO)  # the end of a pipe, and of a terminal
_PLAINER = {"±": "+-", "·": "-"} | dict(zip("▁▂▃▄▅▆▇█", "_.-~=+*#", strict=True))


def speak_plainly() -> None:
    """Write what a terminal has no letter for in letters that it has, instead of raising an error."""
    codecs.register_error("plainer", _plainer)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plainer")


def _plainer(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(_PLAINER.get(letter, "?") for letter in letters), error.end


@contextmanager
def unheard() -> Iterator[None]:
    """Around what is said: what is done goes on, without a word, when nobody listens any more."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NOBODY_LISTENS:
            raise
        for stream in (sys.stdout, sys.stderr):
            _silence_if_broken(stream)


def _silence_if_broken(stream: TextIO) -> None:
    try:
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
