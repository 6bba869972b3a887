"""What a run looks like on a terminal: facts, workers, and a small curve."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from germline.bottleneck import sentence
from germline.cli.streams import unheard
from germline.cli.words import (
    counted,
    cut_text,
    duration,
    line_text,
    mean_text,
    number,
    played_text,
    played_word,
    selection_text,
    until_text,
)
from germline.client import Experiment, HistoryPoint, Worker
from germline.genome import format_id

_BARS = "▁▂▃▄▅▆▇█"
_CURVE_WIDTH = 60
_MOST_WORKERS = 12


class Display:
    """A live display on a terminal; use it in a `with` statement."""

    def __init__(self, console: Console, link: str = "") -> None:
        """Show nothing yet; `link` leads to the dashboard, if there is one."""
        self._link = link
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._note = ""

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with unheard():
            self._live.stop()

    def show(
        self,
        experiment: Experiment,
        workers: Sequence[Worker],
        history: Sequence[HistoryPoint],
        note: str = "",
    ) -> None:
        """Draw the newest look; a note stays until the next one."""
        self._note = note or self._note
        width = self._live.console.width - len("^C")  # which a terminal writes there; it must not wrap
        box = picture(experiment, workers, history, self._note, width, self._link)
        self._live.update(box, refresh=True)


def picture(
    experiment: Experiment,
    workers: Sequence[Worker],
    history: Sequence[HistoryPoint],
    note: str = "",
    width: int | None = None,
    link: str = "",
) -> Panel:
    """One look: facts, curves, workers, and the way to a dashboard, in a box."""
    parts: list[RenderableType] = [facts(experiment), curves(history)]
    parts.append(worker_table(workers, played_word(experiment.spec)))
    if link:
        parts.append(Text.assemble(("dashboard  ", "dim"), (link, f"link {link}")))
    title = Text.assemble((experiment.name, "bold"), f" · {experiment.state}")
    return Panel(Group(*parts), title=title, subtitle=Text(note) if note else None, width=width)


def facts(experiment: Experiment, *, is_up: bool = True) -> Table:
    """An experiment as a table of two columns; `is_up` says whether a master is at work on it."""
    table = _two_columns()
    state = experiment.state if is_up or experiment.is_over else "not complete"
    table.add_row(Text("experiment", "dim"), f"{experiment.name}, {state}")
    for label, value in [*_troubles(experiment), *_facts(experiment, is_up)]:
        table.add_row(Text(label, "dim"), value)
    return table


def _two_columns() -> Table:
    return Table(box=None, show_header=False, padding=(0, 2, 0, 0))


def _facts(experiment: Experiment, is_up: bool) -> list[tuple[str, str]]:
    champion = experiment.champion
    if experiment.state == "damaged":  # nothing else is known
        return []
    rows = [
        ("progress", _progress(experiment)),
        ("speed", _speed(experiment, is_up)),
        ("population", _population(experiment)),
    ]
    if is_up and experiment.state == "running":
        rows.insert(2, ("workers", f"{experiment.workers}, and it can use {experiment.workers_wanted:,}"))
    if experiment.cap_frames != experiment.compared_cap_frames:
        rows.append(("cap", _new_cap(experiment)))
    if experiment.best_fitness is not None:
        best = number(experiment.best_fitness)
        cut = cut_text(experiment.best_cap_frames, played_word(experiment.spec))
        rows.append(("best score", f"{best} of a single evaluation{cut}, the luckiest"))
    if experiment.differing_share is not None:
        compared = f"{experiment.compared_children:,} that played a start of its"
        text = f"{100 * experiment.differing_share:.0f} % act differently from their parent, of {compared}"
        rows.append(("children", text))
    if len(experiment.kernels) > 1:
        families = f"{len(experiment.kernels)} families, {', '.join(experiment.kernels)}"
        rows.append(("kernels", f"{families}: only scores of one are equal to the last bit"))
    if checked := verification_text(experiment):
        rows.append(("checked", checked))
    if champion is not None:
        where = f"{format_id(champion.id)}, {line_text(experiment, champion)}"
        rows.append(("champion", f"{mean_text(champion)}, {where}"))
    if experiment.epochs:
        rows.append(("epochs", f"{experiment.epochs:,}, centre {experiment.centre_digest or '-'}"))
    return rows


def _troubles(experiment: Experiment) -> list[tuple[str, str | Text]]:
    """What keeps it from going on, and who could not be scored."""
    rows: list[tuple[str, str | Text]] = []
    if experiment.trouble:
        rows.append(("trouble", Text(experiment.trouble, "red")))
    if experiment.failed:
        rows.append(("set aside", set_aside_text(experiment)))
    return rows


def set_aside_text(experiment: Experiment) -> str:
    """How many individuals could not be scored, and the last of them by name."""
    text = f"{experiment.failed:,} that could not be scored"
    for last in experiment.set_aside[-1:]:
        failed = f"failed {counted(last.attempts, 'time')}, then on {last.worker}"
        text += f"; the last, {last.name}, {failed}: {last.reason}"
    return text


def verification_text(experiment: Experiment) -> str:
    """What came of results that were played again, or why none were; empty before the first."""
    checks = experiment.verification
    came = ((checks.agreed, "agreed"), (checks.close, "close"), (checks.differed, "differed"))
    played = sum(count for count, _ in came)
    if not played:
        return checks.note
    results = ", ".join(f"{count:,} {word}" for count, word in came if count)
    text = f"{counted(played, 'result')} by another worker: {results}"
    text += f"; {checks.frames:,} {played_word(experiment.spec)} beside"
    return f"{text}; {checks.note}" if checks.note else text


def why_nothing(experiment: Experiment) -> str:
    """That nothing was ever evaluated, and why, as far as is known; empty if something was."""
    if experiment.evaluations:
        return ""
    why = experiment.trouble or (set_aside_text(experiment) if experiment.failed else "")
    return "nothing was ever evaluated" + (f"; {why}" if why else "")


def _progress(experiment: Experiment) -> str:
    counts = f"{counted(experiment.evaluations, 'evaluation')}, {played_text(experiment)}"
    left_s = seconds_left(experiment)
    left = "" if left_s is None else f", about {duration(left_s)} to go"
    return f"{counts} in {duration(experiment.running_s)}, {until_text(experiment.spec)}{left}"


def seconds_left(experiment: Experiment) -> float | None:
    """Until the first countable stop condition holds, at the speed of now; None if nobody knows."""
    if experiment.state != "running":
        return None
    stop = experiment.spec.stop
    counts = (
        (stop.evaluations, experiment.evaluations, experiment.evaluations_per_second),
        (stop.frames, experiment.frames, experiment.frames_per_second),
        (stop.seconds, experiment.running_s, 1.0),
    )
    left = [max(0.0, (end - now) / speed) for end, now, speed in counts if end and speed > 0]
    return min(left, default=None)


def _speed(experiment: Experiment, is_up: bool) -> str:
    evaluations = number(experiment.evaluations_per_second)
    lost = counted(experiment.leases_lost, "lease")
    returned = f", {lost} ran out or came back" if experiment.leases_lost and is_up else ""
    return f"{_frames_per_second(experiment)}, {evaluations} evaluations/s{returned}"


def _frames_per_second(experiment: Experiment) -> str:
    return f"{number(experiment.frames_per_second, 0)} {played_word(experiment.spec)}/s"


def _population(experiment: Experiment) -> str:
    if not experiment.fitness_quantiles:
        return "nobody yet"
    quantiles = " | ".join(number(value) for value in experiment.fitness_quantiles)
    text = f"{experiment.population:,}: {quantiles} (0, 10, 50, 90, 100 %{selection_text(experiment)})"
    if experiment.spec.algorithm.WhichOneof("kind") not in ("ga", "map_elites"):  # whose members are no lines
        return text
    depth = counted(experiment.lineage_depth, "mutation")
    return f"{text}, lines up to {depth}" if experiment.lineage_depth else f"{text}, all founders"


def _new_cap(experiment: Experiment) -> str:
    """That those who are chosen among did not play as those who are made now."""
    new = cut_text(experiment.cap_frames, played_word(experiment.spec)).removeprefix(", ") or "whole games"
    return f"{new} from now on, to choose by once half a window has played them"


def worker_table(workers: Sequence[Worker], played: str = "played") -> RenderableType:
    """The workers, one a line; `played` says what they play, where that is one thing."""
    if not workers:
        return Text("no worker is connected", "dim")
    columns = ("worker", "device", "slots", "leased", "evaluations", "busy", f"{played}/s")
    table = Table(*columns, box=None, header_style="dim")
    for worker in workers[:_MOST_WORKERS]:
        busy = f"{100 * worker.busy_share:.0f} %"
        counts = (str(worker.slots), str(worker.leased), f"{worker.evaluations:,}")
        table.add_row(worker.worker_id, worker.device, *counts, busy, number(worker.frames_per_second, 0))
    if len(workers) > _MOST_WORKERS:
        table.add_row(Text(f"and {len(workers) - _MOST_WORKERS} more", "dim"))
    return Group(table, *trouble_lines((worker.worker_id, worker.trouble) for worker in workers))


def bottleneck(workers: Sequence[Worker], experiment: Experiment | None = None) -> str:
    """What keeps these workers from being faster, in a sentence; "" while they say nothing of it."""
    wanted = experiment.workers_wanted if experiment is not None else None
    told = ((worker.stage_shares, worker.busy_share, worker.slots) for worker in workers)
    return sentence(told, wanted=wanted)


def trouble_lines(named: Iterable[tuple[str, str]]) -> list[Text]:
    """A line for each of those that are in trouble."""
    return [Text(f"{name}: {trouble}", "red") for name, trouble in named if trouble]


def curves(history: Sequence[HistoryPoint]) -> Table:
    """The median of the population and the champion's mean, as small curves over evaluations."""
    medians = [point.fitness_quantiles[2] for point in history if len(point.fitness_quantiles) == 5]
    champions = [point.champion_mean for point in history if point.champion_mean is not None]
    table = _two_columns()
    for label, values in (("median", medians), ("champion", champions)):
        if len(values) > 1:
            ends = f" {number(values[0])} to {number(values[-1])}"
            table.add_row(Text(label, "dim"), Text.assemble((sparkline(values), "green"), ends))
    return table


def sparkline(values: Sequence[float], width: int = _CURVE_WIDTH) -> str:
    """Numbers as a row of bars, from the smallest to the largest; at most `width` of them, evenly picked.

    Numbers that people are shown as one are one: rounding must not look like a fall.
    """
    count = min(width, len(values))
    picked = [values[i * (len(values) - 1) // max(1, count - 1)] for i in range(count)]
    low, high = min(picked), max(picked)
    if number(low) == number(high):
        return _BARS[len(_BARS) // 2] * count
    span = high / 2 - low / 2  # halves: the ends may be further apart than a float goes
    return "".join(_BARS[int((value / 2 - low / 2) / span * (len(_BARS) - 1))] for value in picked)


def line(experiment: Experiment) -> str:
    """One look on one line, for logs."""
    quantiles = experiment.fitness_quantiles
    scores = f", median {number(quantiles[2])}, best {number(experiment.best_fitness)}" if quantiles else ""
    if experiment.compared_cap_frames and scores:
        bonus = f", median with {experiment.spec.evaluation.frame_bonus:g} a frame"
        told = bonus if experiment.spec.evaluation.frame_bonus else ""
        scores += f" (cut after {experiment.compared_cap_frames:,}{told})"
    champion = f", champion {mean_text(experiment.champion)}" if experiment.champion else ""
    share = experiment.differing_share
    children = f", {100 * share:.0f} % of children differ" if share is not None else ""
    failed = f", {experiment.failed:,} set aside" if experiment.failed else ""
    trouble = f"; trouble: {experiment.trouble}" if experiment.trouble else ""
    return (
        f"{experiment.name} {experiment.state}: {counted(experiment.evaluations, 'evaluation')}, "
        f"{played_text(experiment)}, {_frames_per_second(experiment)}"
        f"{scores}{champion}{children}, {counted(experiment.workers, 'worker')}{failed}{trouble}"
    )
