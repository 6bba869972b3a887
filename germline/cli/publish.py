"""`germline publish`: follow an experiment, and keep each champion where others find it."""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Annotated

import typer

from germline import backup_file
from germline.backup_file import Backup
from germline.cli.destinations import destination
from germline.cli.errors import CommandError
from germline.cli.output import emit, notes
from germline.cli.publication import Contents, Publication, Published
from germline.cli.source import Source
from germline.cli.target import JsonOption, NameArgument, Target, with_target
from germline.cli.words import counted, number
from germline.client import Experiment
from germline.destinations import Destination, DestinationError

_LAST_CENTRE_S = 60.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(with_target(publish))


def publish(
    target: Target,
    name: NameArgument = None,
    to: Annotated[
        str, typer.Option(help="A folder, or s3://BUCKET/PREFIX, which needs the extra aws.")
    ] = "published",
    weights: Annotated[
        bool, typer.Option("--weights", help="Rebuild the weights, too, as safetensors.")
    ] = False,
    video: Annotated[bool, typer.Option("--video", help="Film an episode, too, as .mp4.")] = False,
    backup: Annotated[
        bool, typer.Option("--backup", help="Keep the whole experiment there, too, to restore it.")
    ] = False,
    device: Annotated[str, typer.Option(help="Where films are played: auto, cpu, cuda or mps.")] = "cpu",
    interval: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.1, max=3600)] = 10.0,
    once: Annotated[bool, typer.Option("--once", help="Publish what stands, and end.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Keep each new champion in a folder or in S3 until the experiment is over: its card, or its centre.

    It looks on, as `watch` does: the search never waits. Started again, it goes on where it was: what is
    published is listed in NAME/published.json there. A champion's card is written again when twice as many
    fresh episodes say how good it is, and at the end.

    Example: germline publish pong --to s3://champions/november --video
    Example: germline publish --run runs/pong --to champions --once
    """
    place = destination(to)
    with target.source(name) as source:
        try:
            publication = Publication(source, place, Contents(weights, video, device))
        except DestinationError as error:
            raise CommandError(str(error)) from None
        looks = iter([source.experiment()]) if once else _looks(source, interval)
        trouble = _follow(publication, looks, Backups(source, place) if backup else None, as_json=as_json)
    if trouble:
        raise CommandError(f"{trouble}; the same command goes on from there")


class Backups:
    """The whole experiment at the destination, as it stood at the last champion, or at its end."""

    def __init__(self, source: Source, place: Destination) -> None:
        """Write nothing yet."""
        self._source, self._place = source, place

    def write(self, name: str) -> None:
        """Replace the one that is there. Raises DestinationError."""
        output = io.BytesIO()
        backup_file.write(output, [Backup(name, self._source.back_up())])
        self._place.write(f"{name}/experiment.backup", output.getvalue())


def _looks(source: Source, interval_s: float) -> Iterator[Experiment]:
    """Each look until the experiment is over, and then those while its last centre is still on its way."""
    look = source.experiment()
    for look in source.watch(interval_s):
        yield look
    give_up = time.monotonic() + _LAST_CENTRE_S
    while look.checkpoints_wanted and time.monotonic() < give_up:
        time.sleep(min(interval_s, 1.0))
        look = source.experiment()
        yield look


def _follow(
    publication: Publication, looks: Iterable[Experiment], backups: Backups | None, *, as_json: bool
) -> str:
    """Publish what each look shows; returns what the destination said if it did not take the last of it."""
    trouble = ""
    for look in looks:
        try:
            published = publication.follow(look)
            if backups is not None and (published or look.is_over):
                backups.write(look.name)
        except DestinationError as error:
            if str(error) != trouble:
                notes.print(f"germline: {error}; tried again at the next look")
            trouble = str(error)
        else:
            trouble = ""
            if published:
                _say(published, as_json=as_json)
    return trouble


def _say(published: Published, *, as_json: bool) -> None:
    if as_json:
        emit(asdict(published))
        return
    mean = f"{number(published.mean)} over {counted(published.episodes, 'fresh episode')}"
    after = f"after {counted(published.evaluations, 'evaluation')}"
    typer.echo(f"{published.id}: {mean if published.episodes else 'not measured yet'}, {after}")
