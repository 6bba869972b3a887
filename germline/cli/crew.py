"""Who is at work in a run: a master with its own store, and workers, as processes of this machine."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import NamedTuple

from germline import machine_share
from germline.cli.errors import CommandError, Exit, needs_extra
from germline.cli.fleet import Child, Fleet
from germline.cli.folder import RunFolder
from germline.ports import free_port
from germline.settings import PREFIX

_LOGGING = (PREFIX + "LOG_LEVEL", PREFIX + "LOG_FORMAT")
_WORKER_BYTES = 1 << 30  # a worker with torch, its slots and its cache


class Hired(NamedTuple):
    """A fleet that is not started yet, and how to talk to its master."""

    fleet: Fleet
    address: str
    token: str


def hire(
    place: RunFolder, crew: Crew, code: Sequence[str], port: int = 0, *, dashboard: bool = False
) -> Hired:
    """Prepare a master and its workers.

    Args:
        place: where they live, locked.
        crew: the workers.
        code: import paths that they may import.
        port: the master's; 0 takes a free one.
        dashboard: whether a dashboard is wanted, too.

    Raises:
        CommandError: if no port is free, or what a dashboard needs is missing.
    """
    shown = _Shown.at(place) if dashboard else None
    token = place.draw_token()
    address = f"127.0.0.1:{port or _free_port()}"
    return Hired(_fleet(place, address, crew, _environment(token, code), shown), address, token)


def _environment(token: str, code: Sequence[str]) -> dict[str, str]:
    """Ours, without settings for other masters and workers; what the spec names may run."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    logging = {name: os.environ[name] for name in _LOGGING if name in os.environ}
    return kept | logging | {PREFIX + "TOKEN": token, PREFIX + "ALLOW_CODE": ",".join(code)}


class Crew(NamedTuple):
    """The workers of a run.

    Attributes:
        size: how many.
        device: where their networks run.
        parallelism: evaluations that they are to play at a time, all together; 0 leaves it to them.
    """

    size: int
    device: str
    parallelism: int = 0

    def arguments(self, name: str) -> tuple[str, ...]:
        """The command line of one of them, but for its master."""
        slots = math.ceil(self.parallelism / self.size)
        return ("--device", self.device, "--worker-id", name, *(("--slots", str(slots)) if slots else ()))


class _Shown(NamedTuple):
    """A dashboard of the run.

    Attributes:
        link: with what lets a browser in.
        arguments: of its process, but for its master.
    """

    link: str
    arguments: tuple[str, ...]

    @classmethod
    def at(cls, place: RunFolder) -> _Shown:
        """On this machine, for who has the link. Raises CommandError if it cannot be."""
        with needs_extra("dashboard"):
            import starlette  # noqa: F401 - before anything is started
            import uvicorn  # noqa: F401
        token, address = place.draw_dashboard_token(), f"127.0.0.1:{_free_port()}"
        arguments = ("--listen", address, "--serve-token-file", str(place.dashboard_token_file.absolute()))
        return cls(f"http://{address}/?token={token}", arguments)


def _fleet(
    place: RunFolder, address: str, crew: Crew, environment: dict[str, str], shown: _Shown | None
) -> Fleet:
    def child(name: str, module: str, *arguments: str) -> Child:
        return Child(name, module, arguments, place.logs / f"{name}.log", environment)

    stored = ("--store-folder", str(place.store), "--metrics-port", "-1")
    names = [f"worker-{number}" for number in range(1, crew.size + 1)]
    workers = [child(name, "worker", "--master", address, *crew.arguments(name)) for name in names]
    master = child("master", "master", "--listen", address, *stored)
    if shown is None:
        return Fleet(master, workers, place.store)
    dashboard = child("dashboard", "germline.dashboard", "--master", address, *shown.arguments)
    return Fleet(master, workers, place.store, dashboard, shown.link)


def default_workers() -> int:
    """One per core that we may use, and no more than fit into memory."""
    return max(1, min(machine_share.cores(), machine_share.memory_bytes() // _WORKER_BYTES))


def _free_port() -> int:
    try:
        return free_port()
    except OSError as error:
        raise CommandError(f"no port is free on 127.0.0.1: {error}", Exit.FAILED) from None
