"""`germline.sweep`: one spec under many settings, from a program or a notebook."""

from __future__ import annotations

import threading
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from germline.cli.axes import Axis, Choices, Search, read_axis
from germline.cli.crew import Crew, default_workers
from germline.cli.ending import Ending
from germline.cli.errors import CommandError, Exit, needs_extra
from germline.cli.folder import RunFolder
from germline.cli.many import Outcome, run_many
from germline.cli.preflight import check_hostable, check_not_own, check_playable
from germline.cli.settled import plan_of
from germline.cli.sweep_search import search_of
from germline.cli.trials import Plan, Tally, ranked
from germline.cli.verdict import Judge
from germline.cli.words import number
from germline.face import html
from germline.face.errors import in_words
from germline.face.objects import is_here
from germline.face.policy import Policy, load
from germline.face.run import SpecLike, read_spec, shown_of
from germline.spec import to_toml, with_settings
from germline.spec.load import is_text

if TYPE_CHECKING:
    from pandas import DataFrame

_SHOWN = 30  # trials of a notebook's table


@dataclass(frozen=True, slots=True)
class Trial:
    """One setting, and what came of it.

    Attributes:
        number: from 1, in the order in which trials began.
        settings: what it changes, by dotted path.
        value: the interquartile mean of its experiments' scores; None where one of them has none.
        values: the score of each experiment.
        folders: of its experiments.
    """

    number: int
    settings: Mapping[str, object]
    value: float | None
    values: tuple[float | None, ...]
    folders: tuple[Path, ...]

    @property
    def policy(self) -> Policy:
        """The champion of its first experiment. Raises GermlineError if there is none."""
        return load(self.folders[0])


@dataclass(frozen=True, slots=True)
class Sweep:
    """The trials of a sweep, best first; those without a value come last. A notebook shows a table.

    Attributes:
        trials: all of them.
        folder: where everything lies.
    """

    trials: tuple[Trial, ...]
    folder: Path

    @property
    def best(self) -> Trial:
        """The one with the highest value."""
        return self.trials[0]

    def __iter__(self) -> Iterator[Trial]:
        return iter(self.trials)

    def __len__(self) -> int:
        return len(self.trials)

    @in_words
    def frame(self) -> DataFrame:
        """A row for each trial, as a pandas table. Raises GermlineError where pandas is not installed."""
        with needs_extra("models"):
            from pandas import DataFrame
        rows = [{"trial": each.number, **each.settings, "value": each.value} for each in self.trials]
        return DataFrame(rows)

    def __repr__(self) -> str:
        return f"<germline sweep of {len(self)} trials in {self.folder}, best {number(self.best.value)}>"

    def _repr_html_(self) -> str:
        paths = [*dict.fromkeys(path for trial in self.trials for path in trial.settings)]
        rows = [
            [str(each.number), *(str(each.settings.get(path, "")) for path in paths), number(each.value)]
            for each in self.trials[:_SHOWN]
        ]
        return html.grid(f"sweep of {len(self)} trials", ["trial", *paths, "value"], rows)


@in_words
def sweep(
    spec: SpecLike,
    over: Mapping[str, Sequence[object] | str],
    *,
    random: int | None = None,
    optuna: int | None = None,
    replicates: int = 1,
    at_once: int = 4,
    evaluations: int | None = None,
    seed: int | None = None,
    workers: int | None = None,
    device: str = "auto",
    folder: str | Path | None = None,
    verdict: int = 0,
    progress: bool = True,
) -> Sweep:
    """Try a spec under many settings, as `germline sweep` does: experiments that share the workers evenly.

    Without `random` or `optuna`, every combination is tried. The same sweep in the same folder goes on where
    it was. An interrupt (Ctrl-C) lets workers hand back what they hold, and is raised then.

    Args:
        spec: a :class:`germline.Spec`, a message, the path of a spec, or its TOML text.
        over: what is varied: by dotted path a list of values, or a range as text, "0.001..0.3", with ":log"
            behind it where ratios count.
        random: so many draws.
        optuna: so many trials that Optuna chooses (extra `sweep`).
        replicates: experiments of each trial, each with the next seed.
        at_once: experiments that share the workers at a time.
        evaluations: each experiment is complete after so many, whatever the spec says.
        seed: of the first replicate, and of what is drawn; the spec's by default.
        workers: worker processes; one per core by default.
        device: where networks run: auto, cpu, cuda or mps.
        folder: where it lives; runs/NAME-sweep by default.
        verdict: fresh episodes that each champion plays at the end, whose mean is its score then.
        progress: show a live table on a terminal or in a notebook, lines elsewhere.

    Raises:
        SpecError: if the spec is wrong, or this machine cannot play it.
        GermlineError: if an argument is wrong, or no trial came to a score.
    """
    if random is not None and optuna is not None:
        raise CommandError("random and optuna exclude each other; allowed: one of them, or none")
    message, source = read_spec(spec)
    written = with_settings(tomllib.loads(to_toml(message)), {} if seed is None else {"seed": seed}, source)
    check_not_own(written, source)
    if is_here(written):
        raise CommandError("a sweep's workers are processes, which see nothing of germline.here: use a path")
    code = check_playable(written, source)
    check_hostable()
    place = RunFolder(Path(folder) if folder else Path("runs") / f"{written.name}-sweep")
    plan = plan_of(written, source, _folder_of(spec), replicates, evaluations)
    judge, crew = Judge(verdict, device, shown_of(progress)), Crew(workers or default_workers(), device)
    search = _search(over, random, optuna, plan, place)
    ending = Ending(says_so=False)

    def run() -> Outcome:
        return run_many(place, plan, search, crew, code, judge, at_once=at_once, ending=ending)

    return _result(_in_thread(run, ending), place)


def _search(
    over: Mapping[str, Sequence[object] | str],
    random: int | None,
    optuna: int | None,
    plan: Plan,
    place: RunFolder,
) -> Search:
    """Where the trials come from. Raises CommandError for what is no axis."""
    try:
        axes = [_axis(path, values) for path, values in over.items()]
        return search_of(axes, random, optuna, plan, place.path)
    except ValueError as error:
        raise CommandError(f"over {error}") from None


def _axis(path: str, values: Sequence[object] | str) -> Axis:
    if isinstance(values, str):
        return read_axis(f"{path}={values}")
    if not values:
        raise ValueError(f"{path} has no values; allowed: one or more, or a range such as '0.1..0.5'")
    return Choices(path, tuple(values))


def _folder_of(spec: SpecLike) -> Path:
    """From which the files that a spec names are seen."""
    is_path = isinstance(spec, Path) or (isinstance(spec, str) and not is_text(spec))
    return Path(str(spec)).parent if is_path else Path()


def _in_thread(run: Callable[[], Outcome], ending: Ending) -> Outcome:
    """Run it in a thread of its own, so that an interrupt here can ask for its end."""
    found: list[Outcome | BaseException] = []

    def caught() -> None:
        try:
            found.append(run())
        except BaseException as error:  # raised again where it is waited for
            found.append(error)

    thread = threading.Thread(target=caught, name="germline.sweep")
    thread.start()
    try:
        thread.join()
    except BaseException:
        ending.ask()
        thread.join()
        raise
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]


def _result(outcome: Outcome, place: RunFolder) -> Sweep:
    """Raises CommandError if there is nothing."""
    trials = tuple(_trial(tally, place.path) for tally in ranked(outcome.tallies))
    if outcome.exit is Exit.FAILED or not trials:
        raise CommandError(f"no trial came to a score; the logs are in {place.logs}", Exit.FAILED)
    return Sweep(trials, place.path)


def _trial(tally: Tally, folder: Path) -> Trial:
    names = [member.spec.name for member in tally.members]
    return Trial(
        tally.trial.number,
        dict(tally.trial.changes),
        tally.value,
        tuple(member.value for member in tally.members),
        tuple(folder / name for name in names),
    )
