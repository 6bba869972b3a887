"""The same for programs without an event loop: it runs in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Coroutine, Mapping
from types import TracebackType
from typing import Self, TypeVar

from germline.connection import Security
from germline.models.answers import Answer, Given, Model
from germline.models.tracking import DEADLINE_S, AsyncModels

Result = TypeVar("Result")


class Models:
    """The models of one experiment, or of all, for as long as the context lasts. Safe for several threads.

    Example::

        with Models("localhost:9091", "pong") as models:
            for answer in models.call("act", observation, deadline_s=0.5).values():
                print(answer.model.model_id, answer.status, answer.value)
    """

    def __init__(
        self,
        address: str = "localhost:9091",
        experiment: str = "all",
        *,
        class_name: str = "Model",
        given: Given | None = None,
        security: Security | None = None,
        patience_s: float = 10.0,
    ) -> None:
        """Prepare; entering the context connects. The arguments are those of :class:`AsyncModels`."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="germline-models", daemon=True)

        async def make() -> AsyncModels:
            return AsyncModels(
                address, experiment,
                class_name=class_name, given=given, security=security, patience_s=patience_s,
            )  # fmt: skip

        self._thread.start()
        try:
            self._models = self._do(make())
        except BaseException:
            self._stop()
            raise

    def __enter__(self) -> Self:
        """Connect, and wait for the models that are announced. Raises ModelsError."""
        try:
            self._do(self._models.__aenter__())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give all connections up."""
        self.close()

    def close(self) -> None:
        """Give all connections up."""
        if self._thread.is_alive():
            self._do(self._models.close())
            self._stop()

    @property
    def models(self) -> tuple[Model, ...]:
        """The models that can be called now."""
        return self._models.models

    @property
    def waiting(self) -> Mapping[str, str]:
        """The models that are announced and cannot be called yet, by id, with the reason."""
        return self._models.waiting

    @property
    def trouble(self) -> str:
        """Why announcements do not arrive now; empty if they do."""
        return self._models.trouble

    def until(self, count: int, timeout_s: float = 60.0) -> None:
        """Wait until so many models, or more, can be called. Raises TimeoutError."""
        self._do(self._models.until(count, timeout_s))

    def call(
        self,
        method: str,
        *arguments: object,
        deadline_s: float = DEADLINE_S,
        only: Collection[str] | None = None,
        **named: object,
    ) -> dict[str, Answer]:
        """Call a method of all models at once, with the same arguments. See :meth:`AsyncModels.call`."""
        return self._do(self._models.call(method, *arguments, deadline_s=deadline_s, only=only, **named))

    def call_each(
        self,
        method: str,
        given_for: Callable[[Model], Given],
        *,
        deadline_s: float = DEADLINE_S,
        only: Collection[str] | None = None,
    ) -> dict[str, Answer]:
        """Call a method of all models at once, each with arguments of its own."""
        return self._do(self._models.call_each(method, given_for, deadline_s=deadline_s, only=only))

    def report(self, model_id: str, code: str = "MULTIPLE_TIMEOUT", reason: str = "") -> bool:
        """Say that a model is of no use. See :meth:`AsyncModels.report`."""
        return self._do(self._models.report(model_id, code, reason))

    def _do(self, work: Coroutine[object, object, Result]) -> Result:
        """Have the loop do something, and wait for it; Ctrl-C takes it back."""
        done = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return done.result()
        except BaseException:
            done.cancel()
            raise

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
