"""Commands that look: list, status, watch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer
from rich.table import Table

from germline.cli import live
from germline.cli.errors import CommandError
from germline.cli.output import away_json, console, emit, experiment_json, worker_json
from germline.cli.target import JsonOption, NameArgument, Target, name_or_only, with_target
from germline.cli.words import mean_text, number, played_word
from germline.client import Client, Experiment


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("list")(with_target(list_experiments))
    for command in (status, workers, watch):
        app.command()(with_target(command))


def list_experiments(target: Target, as_json: JsonOption = False) -> None:
    """All experiments of a master, oldest first.

    Example: germline list --master localhost:7700
    """
    with target.connect() as client:
        experiments = client.experiments()
    if as_json:
        emit([experiment_json(experiment) for experiment in experiments])
        return
    table = Table("experiment", "state", "evaluations", "played", "speed", "champion", box=None)
    for each in experiments:
        champion = mean_text(each.champion) if each.champion else "-"
        played = played_word(each.spec)
        speed = f"{number(each.frames_per_second, 0)} {played}/s"
        counts = (f"{each.evaluations:,}", f"{each.frames:,} {played}", speed)
        table.add_row(each.name, each.state, *counts, champion)
    console.print(table if experiments else f"no experiment on {client.address} yet")
    for line in live.trouble_lines((each.name, each.trouble) for each in experiments):
        console.print(line)


def status(target: Target, name: NameArgument = None, as_json: JsonOption = False) -> None:
    """One experiment as it stands; of a finished run's folder, as it stood.

    Example: germline status --run runs/pong
    """
    with target.source(name) as source:
        experiment = source.experiment()
        slow = live.bottleneck(source.workers(), experiment) if experiment.state == "running" else ""
    if as_json:
        emit({**experiment_json(experiment), "bottleneck": slow})
        return
    console.print(live.facts(experiment, is_up=source.is_up))
    if slow:
        console.print(slow)


def workers(
    target: Target,
    release: Annotated[
        str | None,
        typer.Option(
            help="Take this worker back, which was proven wrong: it gets work again.", metavar="NAME"
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """The workers that a master sees, and those that it lends nothing because they were proven wrong.

    Example: germline workers --master localhost:7700
    """
    with target.connect() as client:
        if release is not None:
            client.release(release)
        found, quarantined = client.workers(), client.quarantined()
    here = {worker.worker_id for worker in found}
    away = [each for each in quarantined if each.worker_id not in here]
    if as_json:
        emit([*map(worker_json, found), *map(away_json, away)])
        return
    console.print(live.worker_table(found))
    if slow := live.bottleneck(found):
        console.print(slow)
    for line in live.trouble_lines((each.worker_id, f"away, in quarantine: {each.reason}") for each in away):
        console.print(line)


def watch(
    target: Target,
    name: NameArgument = None,
    interval: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.1, max=3600)] = 1.0,
    plain: Annotated[
        bool, typer.Option("--plain", help="A line for each look instead of a display.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Look on until an experiment is over. Ctrl-C ends the looking, not the experiment.

    Example: germline watch pong --interval 5
    """
    with target.connect() as client:
        name = name_or_only(client, name)
        if as_json:
            last = _watch(client, name, interval, lambda look: emit(experiment_json(look)))
        elif plain or not console.is_terminal:
            last = _watch(client, name, interval, lambda look: typer.echo(live.line(look)))
        else:
            last = _watch_live(client, name, interval)
    if last is not None and (nothing := live.why_nothing(last)):
        raise CommandError(f"{name} is {last.state}: {nothing}")


def _watch(
    client: Client, name: str, interval_s: float, show: Callable[[Experiment], None]
) -> Experiment | None:
    """Show every look, and return the last."""
    last: Experiment | None = None
    for last in client.watch(name, interval_s):
        show(last)
    return last


def _watch_live(client: Client, name: str, interval_s: float) -> Experiment | None:
    with live.Display(console) as display:
        last = _watch(
            client, name, interval_s, lambda look: display.show(look, client.workers(), client.history(name))
        )
    if last is not None:
        console.print(live.facts(last))
    return last
