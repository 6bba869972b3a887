"""Calls that run: how one is ended with a reason, and which streams are, since their tokens are gone.

A task that is cancelled says nothing of why. Whoever ends a call leaves the reason here, and what stands
around the call makes a status of it.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Any

from master.access import Tokens
from master.errors import MasterError

Task = asyncio.Task[Any]

_REASONS: weakref.WeakKeyDictionary[Task, MasterError] = weakref.WeakKeyDictionary()


def end_call(task: Task, reason: MasterError) -> None:
    """End the call that runs in a task; the first reason counts."""
    if task not in _REASONS:
        _REASONS[task] = reason
        task.cancel()


def why_ended() -> MasterError | None:
    """Why the call of this task was ended from here; None if it was not, as when its caller has gone."""
    task = asyncio.current_task()
    return None if task is None else _REASONS.get(task)


class OpenStreams:
    """Streams that were let in by a token: each ends when its token leaves the file, or changes its role."""

    def __init__(self, tokens: Tokens | None) -> None:
        """Know nobody; without tokens nobody has to go."""
        self._tokens = tokens
        self._seen = 0
        self._checks: dict[Task, Callable[[], object]] = {}

    def enter(self, check: Callable[[], object]) -> None:
        """The stream of this task begins; `check` raises MasterError when its caller may not go on."""
        task = asyncio.current_task()
        if task is not None and self._tokens is not None:
            self._checks[task] = check
            task.add_done_callback(self._checks.pop)

    def look_again(self) -> None:
        """About once a second: read files that changed, and end the streams of those who are not in them."""
        if self._tokens is None or (version := self._tokens.refresh()) == self._seen:
            return
        self._seen = version
        for task, check in list(self._checks.items()):
            try:
                check()
            except MasterError as error:
                end_call(task, error)
