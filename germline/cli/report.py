"""What a sitting of `germline run` leaves behind and says at its end."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import typer

from germline.cli import cards, live
from germline.cli.folder import RunFolder
from germline.cli.output import Json, console, genome_text
from germline.client import Client, Experiment, Individual
from germline.genome import format_id


@dataclass(frozen=True, slots=True)
class ChampionResult:
    """The best individual of a run.

    Attributes:
        id: 16 hexadecimal digits.
        mean: over its fresh episodes; if it was never validated, the score of its one evaluation.
        half_width: half of the mean's 95 % confidence interval; None below two fresh episodes.
        episodes: how many fresh episodes; 0 if it was never validated.
        mutations: the length of its line.
        genome: base64 of its encoding.
    """

    id: str
    mean: float
    half_width: float | None
    episodes: int
    mutations: int
    genome: str


@dataclass(frozen=True, slots=True)
class Result:
    """A run as it stands at the end of a sitting; counts are those of the whole experiment.

    Attributes:
        experiment: its name.
        state: "complete" if a stop condition holds; "running" means that running again goes on.
        evaluations: accepted evaluations.
        episodes: their episodes.
        frames: their emulator frames; outside emulators their steps.
        frames_per_second: frames over seconds.
        best_fitness: the highest score of a single evaluation, lucky by construction.
        champion: None before the first evaluation.
        failed: individuals that could not be scored, and were set aside.
        trouble: why it paused by itself; empty if it did not.
        workers: worker processes of this sitting.
        seconds: time in which the experiment was running, over all sittings.
        folder: where everything lies.
    """

    experiment: str
    state: str
    evaluations: int
    episodes: int
    frames: int
    frames_per_second: float
    best_fitness: float | None
    champion: ChampionResult | None
    failed: int
    trouble: str
    workers: int
    seconds: float
    folder: str


def write(folder: RunFolder, client: Client, final: Experiment, workers: int) -> Result:
    """Leave everything in the folder that read-only commands need, and the champion's card."""
    best = folder.save(client, final.name)
    if best is not None and best.genome is not None:
        cards.save(folder.champion, cards.card_of(final, best))
    return Result(
        experiment=final.name,
        state=final.state,
        evaluations=final.evaluations,
        episodes=final.episodes,
        frames=final.frames,
        frames_per_second=final.frames / final.running_s if final.running_s else 0.0,
        best_fitness=final.best_fitness,
        champion=_champion(best) if best else None,
        failed=final.failed,
        trouble=final.trouble,
        workers=workers,
        seconds=final.running_s,
        folder=str(folder.path),
    )


def _champion(best: Individual) -> ChampionResult:
    return ChampionResult(
        id=format_id(best.id),
        mean=best.fitness if best.validated_mean is None else best.validated_mean,
        half_width=best.validated_half_width,
        episodes=best.validation_episodes,
        mutations=best.mutations,
        genome=genome_text(best.genome) if best.genome else "",
    )


def as_json(result: Result) -> dict[str, Json]:
    """For the last line of standard output."""
    return asdict(result)


def show(folder: RunFolder, final: Experiment, result: Result) -> None:
    """For people: the facts, and what to do next."""
    console.print(live.facts(final, is_up=False))
    if final.spec.algorithm.HasField("eggroll"):
        typer.echo(f"centre: {folder.centre}" if folder.centre.exists() else "no centre is stored yet")
    elif result.champion is not None:
        typer.echo(f"policy card: {folder.champion}")
    if not final.is_over:
        typer.echo(f"{final.name} is not complete; run the same command again to go on")
