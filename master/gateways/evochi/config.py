"""Settings of the evochi gateway: those of evochi's own server, under its names, and a few of ours."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

from germline.settings import PREFIX, read
from master.gateways.house import GatewayError

logger = logging.getLogger(__name__)

THEIRS = "EVOCHI_"
_NOT_USED = {
    "EVOCHI_SERVER_PORT": "--gateway names the address",
    "EVOCHI_LOG_LEVEL": "--log-level says it for the whole master",
    "EVOCHI_JWT_SECRET": "each worker's token is drawn, and needs no key",
    "EVOCHI_JWT_EXPIRY": "a worker's token is valid for as long as it stays",
}
_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_MOST_MEMBERS = 1 << 20


@dataclass(frozen=True, kw_only=True)
class EvochiConfig:
    """What the gateway's experiment is, and how long it waits for a worker.

    Each is read from GERMLINE_EVOCHI_NAME, or from EVOCHI_NAME as evochi's own server reads it.
    """

    evochi_population_size: int = 0
    """Members of the population, 1 to 1,048,576; must be given."""

    evochi_max_epochs: int = 0
    """Epochs after which the experiment is complete; 0 is for ever. `germline extend` lets it go on."""

    evochi_worker_timeout: str = "1m"
    """How long a worker's machine may be silent: its connection is asked every half of that, and its
    heartbeats are as far apart. A worker that is busy answers all the same."""

    evochi_task_timeout: str = "1h"
    """How long one task may take; a worker that takes longer is sent away, and others do what it did. 0s is
    for ever."""

    evochi_max_workers: int = 0
    """Workers at a time; 0 is any number."""

    evochi_max_slices_per_eval: int = 0
    """Slices in one order to evaluate; 0 is any number."""

    evochi_experiment: str = "evochi"
    """Name of the experiment that clients of this gateway train; it is made unless there is one."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        for name, lowest, highest in (
            ("evochi_population_size", 1, _MOST_MEMBERS), ("evochi_max_epochs", 0, 2**31 - 1),
            ("evochi_max_workers", 0, 2**31 - 1), ("evochi_max_slices_per_eval", 0, 2**31 - 1),
        ):  # fmt: skip
            value = getattr(self, name)
            if not lowest <= value <= highest:
                raise ValueError(f"{name.upper()} is {value}; allowed: {lowest} to {highest:,}")
        if not 1.0 <= self.worker_timeout_s <= 86_400.0:
            raise ValueError(f"EVOCHI_WORKER_TIMEOUT is {self.evochi_worker_timeout!r}; allowed: 1s to 24h")
        _ = self.task_timeout_s

    @property
    def worker_timeout_s(self) -> float:
        """`evochi_worker_timeout` in seconds."""
        return duration_s("EVOCHI_WORKER_TIMEOUT", self.evochi_worker_timeout)

    @property
    def task_timeout_s(self) -> float:
        """`evochi_task_timeout` in seconds; infinite for 0."""
        return duration_s("EVOCHI_TASK_TIMEOUT", self.evochi_task_timeout) or float("inf")

    @property
    def heartbeat_s(self) -> int:
        """Seconds between two heartbeats of a client; never 0, at which it would do nothing else."""
        return max(1, int(self.worker_timeout_s / 2))

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> EvochiConfig:
        """Read the settings. Raises GatewayError, naming what is wrong."""
        for name, why in _NOT_USED.items():
            if name in environment:
                logger.info("%s is not used: %s", name, why)
        aliases = {PREFIX + name: value for name, value in environment.items() if name.startswith(THEIRS)}
        try:
            return read(cls, dict.fromkeys(field.name for field in fields(cls)), aliases | dict(environment))
        except ValueError as error:
            raise GatewayError(f"the evochi gateway cannot be opened: {error}") from None


def duration_s(name: str, text: str) -> float:
    """Seconds of a duration as Go writes it, such as 1m30s. Raises ValueError, naming the setting."""
    parts = _PART.findall(text)
    if text != "0" and (not parts or "".join(number + unit for number, unit in parts) != text):
        raise ValueError(f"{name} is {text!r}; allowed: a duration such as 90s, 1m30s or 1h")
    return sum(float(number) * _UNITS_S[unit] for number, unit in parts)
