"""`germline track`: tells TensorBoard, Weights & Biases, MLflow or a plug-in of an experiment."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from germline.card import write_card
from germline.cli import cards
from germline.cli.cards import Playable
from germline.cli.errors import CommandError, Exit
from germline.cli.output import emit, notes
from germline.cli.playing import film, fresh_seeds
from germline.cli.source import Source
from germline.cli.target import JsonOption, NameArgument, Target, with_target
from germline.cli.video import Video
from germline.cli.words import counted
from germline.client import Experiment, MasterError
from germline.genome import format_id

if TYPE_CHECKING:
    from germline.trackers import Champion, Cursor

_EXTRAS = ("tensorboard", "wandb", "mlflow")  # ours; what a plug-in lacks, its package has to bring


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(with_target(track))


def track(
    target: Target,
    name: NameArgument = None,
    to: Annotated[str, typer.Option(help="tensorboard, wandb, mlflow, or a plug-in's name.")] = "tensorboard",
    folder: Annotated[
        Path | None,
        typer.Option(
            help="How far it is, and files of the tracker; by default RUN/trackers or trackers/NAME.",
            show_default=False,
        ),
    ] = None,
    interval: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.1, max=3600)] = 1.0,
    films: Annotated[bool, typer.Option(help="Film new champions, at most one a minute.")] = True,
    device: Annotated[str, typer.Option(help="Where films are played: auto, cpu, cuda or mps.")] = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Tell a tracker of an experiment's curve and champions, until it is over; run again, it goes on.

    It reads what the master knows, and nobody waits for it. Weights & Biases and MLflow are set up by their
    own variables, such as WANDB_API_KEY and MLFLOW_TRACKING_URI; without them they keep files here.

    Example: germline track pong --to tensorboard
    Example: germline track --run runs/pong --to mlflow --no-films
    """
    from germline.trackers import Cursor, Follower, TrackerError, describe, find_tracker, make_tracker

    with _sentences(to):
        find_tracker(to)  # before a master is asked
    logging.basicConfig(format="germline: %(message)s", level=logging.WARNING)
    with target.source(name) as source:
        experiment = source.experiment()
    place = folder or _place(target, experiment.name)
    place.mkdir(parents=True, exist_ok=True)
    run = describe(experiment, place)
    try:
        cursor = Cursor(place / f"{to}.json", run.id)
        with cursor.locked():
            with _sentences(to):
                tracker = make_tracker(to, run)
            if not as_json:
                notes.print(
                    f"germline: {to} is told of {experiment.name}, from {cursor.after:,} evaluations on"
                )
            follower = Follower(tracker, cursor, _Presenter(target, experiment.name, place, device, films))
            last = follower.follow(lambda: target.source(experiment.name), interval)
    except TrackerError as error:
        raise CommandError(str(error)) from None
    _say(last, cursor, follower.told, as_json=as_json)


def _place(target: Target, name: str) -> Path:
    return target.run / "trackers" if target.run is not None else Path("trackers") / name


@contextmanager
def _sentences(to: str) -> Iterator[None]:
    """Around what loads and makes a tracker: what is missing for it is named with the command that helps."""
    from germline.trackers import TrackerError

    try:
        yield
    except ModuleNotFoundError as error:
        helps = f": pip install 'germline[{to}]'" if to in _EXTRAS else ""
        sentence = f"this needs {error.name}, which is not installed{helps}"
        raise CommandError(sentence, Exit.MISSING_EXTRA) from None
    except TrackerError as error:
        raise CommandError(str(error), Exit.USAGE) from None


def _say(last: Experiment | None, cursor: Cursor, told: int, *, as_json: bool) -> None:
    state = last.state if last is not None else "unknown"
    if as_json:
        emit({"told": told, "evaluations": cursor.after, "champion": cursor.champion or None, "state": state})
    else:
        typer.echo(f"told {counted(told, 'point')}, up to {cursor.after:,} evaluations; it is {state}")


@dataclass(slots=True)
class _Presenter:
    """Makes champions ready to be shown: a card, and a film where this machine can play it."""

    target: Target
    experiment: str
    folder: Path
    device: str
    films: bool
    _has_said: bool = False

    def __call__(self, look: Experiment) -> Champion | None:
        """The best of an experiment; None if it is gone again, or nothing of it can be had."""
        from germline.trackers import Champion

        try:
            with self.target.source(self.experiment) as source:
                found, playable = _best(source, look)
        except (MasterError, CommandError) as error:
            self._say(f"the champion cannot be had: {error}")
            return None
        champions = self.folder / "champions"
        champions.mkdir(exist_ok=True)
        files = [
            *self._card(champions / f"{found}.toml", playable),
            *self._film(champions / f"{found}.mp4", playable),
        ]
        about = write_card(playable.card) if playable.card is not None else playable.about
        return Champion(found, look.evaluations, about, tuple(files))

    def _card(self, file: Path, playable: Playable) -> Iterator[Path]:
        if playable.card is not None:
            cards.save(file, playable.card)
            yield file

    def _film(self, file: Path, playable: Playable) -> Iterator[Path]:
        """One episode; a task that cannot be filmed, or a machine that cannot play it, is said once."""
        if not self.films:
            return
        try:
            if not file.exists():
                with Video(file) as video:
                    film(playable.spec, playable.policy, fresh_seeds(0, 1)[0], self.device, video, 1.0)
            yield file
        except CommandError as error:
            self._say(f"no films: {error}")

    def _say(self, sentence: str) -> None:
        if not self._has_said:
            notes.print(f"germline: {sentence}")
        self._has_said = True


def _best(source: Source, look: Experiment) -> tuple[str, Playable]:
    """What leads, by its id, with all that it takes to play it."""
    if look.spec.algorithm.HasField("eggroll"):
        key = format_id(look.champion.id) if look.champion is not None else ""
        return key, cards.of_centre(look, source.centre())
    individual = source.individual()
    return format_id(individual.id), cards.of_experiment(look, individual)
