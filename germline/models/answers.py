"""What a call brings from each model, and what it is called with."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field


class Status(enum.StrEnum):
    """What became of a call of one model."""

    OK = "ok"
    """It answered."""
    FAILED = "failed"
    """Its method raised, or returned what cannot travel or be read: the model's fault."""
    REFUSED = "refused"
    """It has no such method, or takes no such arguments: the caller's mistake."""
    LATE = "late"
    """It did not answer before the deadline."""
    BUSY = "busy"
    """It took no call before the deadline, because it had another one."""
    GONE = "gone"
    """Its node cannot be reached."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model that can be called.

    Attributes:
        model_id: who it is.
        name: for people; of `germline serve`, its experiment.
        infos: what else was announced of it.
    """

    model_id: str
    name: str
    infos: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call brought from one model.

    Attributes:
        model: who answered, or did not.
        status: what became of the call.
        value: what the method returned; None where it returned nothing, or did not return.
        latency_s: from the call to its answer, in seconds.
        detail: what went wrong, in words; empty where nothing did.
    """

    model: Model
    status: Status
    value: object
    latency_s: float
    detail: str = ""

    @property
    def is_ok(self) -> bool:
        """Whether the model answered."""
        return self.status is Status.OK


class Given:
    """Arguments for one call: `Given(1, scale=2)`."""

    __slots__ = ("named", "positional")

    def __init__(self, *positional: object, **named: object) -> None:
        """Arguments by place and by name."""
        self.positional, self.named = positional, named
