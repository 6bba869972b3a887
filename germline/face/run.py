"""`germline.run`, from its arguments to a run that goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias, overload

from germline.cli.beginning import Wanted
from germline.cli.crew import Crew, default_workers
from germline.cli.errors import CommandError
from germline.cli.folder import RunFolder
from germline.cli.output import Shown, console
from germline.cli.preflight import check_hostable, check_not_own, check_playable
from germline.cli.verdict import DEFAULT_EPISODES, Judge
from germline.client import HistoryPoint, Individual
from germline.face.errors import in_words
from germline.face.objects import is_here
from germline.face.running import Callbacks, Job, Running, RunResult
from germline.spec import Spec, load
from germline.spec.load import TEXT, is_text
from germline.v1 import spec_pb2

SpecLike: TypeAlias = "Spec | spec_pb2.ExperimentSpec | str | Path"
"""A spec as an object or a message, as TOML text, or as the path of its file."""


@overload
def run(
    spec: SpecLike,
    *,
    workers: int | None = None,
    device: str = "auto",
    folder: str | Path | None = None,
    evaluations: int | None = None,
    seconds: float | None = None,
    verdict: int = DEFAULT_EPISODES,
    progress: bool = True,
    on_champion: Callable[[Individual], object] | None = None,
    on_point: Callable[[HistoryPoint], object] | None = None,
    on_end: Callable[[RunResult], object] | None = None,
    blocking: Literal[True] = True,
) -> RunResult: ...


@overload
def run(
    spec: SpecLike,
    *,
    workers: int | None = None,
    device: str = "auto",
    folder: str | Path | None = None,
    evaluations: int | None = None,
    seconds: float | None = None,
    verdict: int = DEFAULT_EPISODES,
    progress: bool = True,
    on_champion: Callable[[Individual], object] | None = None,
    on_point: Callable[[HistoryPoint], object] | None = None,
    on_end: Callable[[RunResult], object] | None = None,
    blocking: Literal[False],
) -> Running: ...


def run(
    spec: SpecLike,
    *,
    workers: int | None = None,
    device: str = "auto",
    folder: str | Path | None = None,
    evaluations: int | None = None,
    seconds: float | None = None,
    verdict: int = DEFAULT_EPISODES,
    progress: bool = True,
    on_champion: Callable[[Individual], object] | None = None,
    on_point: Callable[[HistoryPoint], object] | None = None,
    on_end: Callable[[RunResult], object] | None = None,
    blocking: bool = True,
) -> RunResult | Running:
    """Evolve on this machine, as `germline run` does: a master with its own store, and workers.

    The same spec in the same folder goes on where it was. An interrupt (Ctrl-C) lets workers hand back what
    they hold, and is raised then.

    Args:
        spec: a :class:`germline.Spec`, a message, the path of a spec, or its TOML text.
        workers: worker processes; one per core by default.
        device: where networks run: auto, cpu, cuda or mps.
        folder: where the run lives; runs/NAME by default.
        evaluations: complete after so many, whatever the spec says.
        seconds: end this sitting after so many; run again to go on.
        verdict: fresh episodes that a complete run's champion plays, whose mean is its score; 0 for none.
        progress: show a live display on a terminal or in a notebook, lines elsewhere.
        on_champion: called with each new champion.
        on_point: called with each new point of the curve.
        on_end: called with the result.
        blocking: wait until the run is over. Without it, what comes back is a :class:`.running.Running`:
            iterate over it for the points of the curve.

    Raises:
        SpecError: if the spec is wrong, or this machine cannot play it.
        GermlineError: if nothing came of it; the sentence says why.
    """
    job = _job(spec, workers, device, folder, evaluations, seconds, verdict, progress)
    running = Running(job, Callbacks(on_champion, on_point, on_end))
    return running.result() if blocking else running


@in_words
def _job(
    spec: SpecLike,
    workers: int | None,
    device: str,
    folder: str | Path | None,
    evaluations: int | None,
    seconds: float | None,
    verdict: int,
    progress: bool,
) -> Job:
    """Everything checked before anything is started."""
    if workers is not None and workers < 1:
        raise CommandError(f"workers is {workers}; allowed: 1 or more")
    written, source = read_spec(spec)
    wanted = Wanted.of(written, evaluations, source)
    check_not_own(wanted.spec, source)
    code = check_playable(wanted.spec, source)
    check_hostable()
    place = RunFolder(Path(folder) if folder else Path("runs") / wanted.spec.name)
    size = workers or (1 if is_here(wanted.spec) else default_workers())  # threads share one interpreter
    crew = Crew(size, device, wanted.spec.parallelism)
    return Job(place, wanted, crew, tuple(code), Judge(verdict, device, shown_of(progress)), seconds)


def read_spec(spec: SpecLike) -> tuple[spec_pb2.ExperimentSpec, str]:
    """The spec as a message, and what it is called in problems."""
    if isinstance(spec, Spec):
        return spec.message, "the spec"
    if isinstance(spec, spec_pb2.ExperimentSpec):
        return spec, "the spec"
    return load(spec), TEXT if isinstance(spec, str) and is_text(spec) else str(spec)


def shown_of(progress: bool) -> Shown:
    """What a run shows while it lasts."""
    if not progress:
        return Shown.NOTHING
    return Shown.DISPLAY if console.is_terminal or console.is_jupyter else Shown.LINES
