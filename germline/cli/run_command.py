"""`germline run`: a master with its own store and workers, until the experiment is complete."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from germline import machine_share
from germline.cli.beginning import Wanted
from germline.cli.errors import CommandError, Exit
from germline.cli.fleet import Child, Fleet
from germline.cli.folder import RunFolder
from germline.cli.output import Shown, console
from germline.cli.preflight import check_hostable, check_not_own, check_playable
from germline.cli.sitting import Sitting
from germline.cli.target import JsonOption
from germline.cli.verdict import DEFAULT_EPISODES, Judge
from germline.client import Client
from germline.ports import free_port
from germline.settings import PREFIX
from germline.spec import load

_LOGGING = (PREFIX + "LOG_LEVEL", PREFIX + "LOG_FORMAT")
_WORKER_BYTES = 1 << 30  # a worker with torch, its slots and its cache


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(run)


def run(
    spec: Annotated[Path, typer.Argument(help="The spec, a TOML file.", exists=True, dir_okay=False)],
    evaluations: Annotated[
        int | None,
        typer.Option(
            min=1, help="Complete after so many evaluations, whatever the spec says.", show_default=False
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=0, help="End this sitting after so many seconds; run again to go on.", show_default=False
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Worker processes; one per core by default.", show_default=False)
    ] = None,
    device: Annotated[str, typer.Option(help="Where networks run: auto, cpu, cuda or mps.")] = "auto",
    folder: Annotated[
        Path | None, typer.Option(help="Where the run lives; runs/NAME by default.", show_default=False)
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The master's port; 0 takes a free one.")] = 0,
    verdict: Annotated[
        int,
        typer.Option(
            min=0,
            help="Fresh episodes of the champion once the run is complete, where its protocol's starts are "
            "without end, else all starts; 0 plays none.",
        ),
    ] = DEFAULT_EPISODES,
    plain: Annotated[
        bool, typer.Option("--plain", help="Lines instead of a live display; the default without a terminal.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Evolve on this machine: all in one, with a live display.

    Ctrl-C drains and leaves everything resumable; a second Ctrl-C kills. Run again to go on: a complete run
    does so once its spec stops later, or with more --evaluations. A complete run ends with a verdict: its
    champion is played anew, apart from what selection saw, and that is its score, on its policy card
    runs/NAME/champion.toml, too. With --json the last line of standard output is one JSON object.

    Example: germline run experiments/pong.toml
    Example: germline run experiments/function.toml --evaluations 2000 --workers 2 --json
    """
    wanted = Wanted.of(load(spec), evaluations, str(spec))
    check_not_own(wanted.spec, str(spec))
    code = check_playable(wanted.spec, str(spec))
    check_hostable()
    place = RunFolder(folder or Path("runs") / wanted.spec.name)
    shown = Shown.NOTHING if as_json else Shown.LINES if plain or not console.is_terminal else Shown.DISPLAY
    with place.locked():
        place.check_holds(wanted.spec.name)
        token = place.draw_token()
        address = f"127.0.0.1:{port or _free_port()}"
        crew = Crew(workers or default_workers(), device, wanted.spec.parallelism)
        fleet = _fleet(place, address, crew, _environment(token, code))
        sitting = Sitting(place, wanted, fleet, Judge(verdict, device, shown), seconds=seconds)
        with Client(address, token=token) as client:
            raise typer.Exit(sitting.sit(client))


def _environment(token: str, code: list[str]) -> dict[str, str]:
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


def _fleet(place: RunFolder, address: str, crew: Crew, environment: dict[str, str]) -> Fleet:
    def child(name: str, module: str, *arguments: str) -> Child:
        return Child(name, module, arguments, place.logs / f"{name}.log", environment)

    stored = ("--store-folder", str(place.store), "--metrics-port", "-1")
    names = [f"worker-{number}" for number in range(1, crew.size + 1)]
    workers = [child(name, "worker", "--master", address, *crew.arguments(name)) for name in names]
    return Fleet(child("master", "master", "--listen", address, *stored), workers, place.store)


def default_workers() -> int:
    """One per core that we may use, and no more than fit into memory."""
    return max(1, min(machine_share.cores(), machine_share.memory_bytes() // _WORKER_BYTES))


def _free_port() -> int:
    try:
        return free_port()
    except OSError as error:
        raise CommandError(f"no port is free on 127.0.0.1: {error}", Exit.FAILED) from None
