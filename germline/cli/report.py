"""What a sitting of `germline run` leaves behind and says at its end."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import typer

from germline.cli import cards, live
from germline.cli.folder import RunFolder
from germline.cli.output import Json, console, genome_text
from germline.cli.verdict import Verdict
from germline.cli.words import mean_text
from germline.client import Client, Experiment, Individual
from germline.genome import format_id

_EARLY = (
    "half of the population scores more than this champion: it was chosen early, and the run was over before "
    "others were played again often enough. More evaluations help, or fewer algorithm.ga.candidates and "
    "validation_episodes"
)


@dataclass(frozen=True, slots=True)
class ChampionResult:
    """The best individual of a run.

    Attributes:
        id: 16 hexadecimal digits.
        mean: the verdict's; without one over the fresh episodes that it played in the run; if there are none,
            the score of its one evaluation.
        half_width: half of the mean's 95 % confidence interval; None below two fresh episodes, and of an
            exact mean.
        episodes: how many fresh episodes, or starts; 0 if there are none.
        exact: whether the mean is over all starts that there are.
        verdict: whether it is a verdict: of episodes that the search never saw, or exact.
        mutations: the length of its line.
        genome: base64 of its encoding; empty for a centre.
    """

    id: str
    mean: float
    half_width: float | None
    episodes: int
    exact: bool
    verdict: bool
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
        best_fitness: the highest score of a single evaluation, partly luck.
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


def keep(folder: RunFolder, client: Client, final: Experiment) -> Individual | None:
    """Leave all in the folder that read-only commands need, and the champion's card; returns the champion."""
    best = folder.save(client, final.name)
    if best is not None and best.genome is not None:
        cards.save(folder.champion, cards.card_of(final, best))
    return best


def keep_verdict(folder: RunFolder, final: Experiment, verdict: Verdict) -> None:
    """Let the verdict be the score on the card, and the one that read-only commands find."""
    folder.note_judged(verdict.individual)
    if verdict.individual.genome is not None:
        cards.save(folder.champion, cards.card_of(final, verdict.individual, verdict.kernels))


def result(
    folder: RunFolder, final: Experiment, best: Individual | None, verdict: Verdict | None, workers: int
) -> Result:
    """For programs."""
    champion = verdict.individual if verdict else best
    return Result(
        experiment=final.name,
        state=final.state,
        evaluations=final.evaluations,
        episodes=final.episodes,
        frames=final.frames,
        frames_per_second=final.frames / final.running_s if final.running_s else 0.0,
        best_fitness=final.best_fitness,
        champion=_champion(champion, is_verdict=verdict is not None) if champion else None,
        failed=final.failed,
        trouble=final.trouble,
        workers=workers,
        seconds=final.running_s,
        folder=str(folder.path),
    )


def _champion(best: Individual, *, is_verdict: bool) -> ChampionResult:
    return ChampionResult(
        id=format_id(best.id),
        mean=best.fitness if best.validated_mean is None else best.validated_mean,
        half_width=best.validated_half_width,
        episodes=best.validation_episodes,
        exact=best.is_exact,
        verdict=is_verdict,
        mutations=best.mutations,
        genome=genome_text(best.genome) if best.genome else "",
    )


def as_json(result: Result) -> dict[str, Json]:
    """For the last line of standard output."""
    return asdict(result)


def is_chosen_early(final: Experiment, champion: Individual) -> bool:
    """Whether half of the population scores more than the champion, which was the first and no more.

    Only where both play the same games, and the search is for the score alone.
    """
    algorithm, quantiles = final.spec.algorithm, final.fitness_quantiles
    is_by_score = algorithm.HasField("ga") and not algorithm.ga.HasField("novelty")
    is_cut = final.compared_cap_frames > 0 or final.spec.evaluation.frame_bonus > 0
    if not is_by_score or is_cut or not quantiles or champion.validated_mean is None:
        return False
    return champion.validated_mean < quantiles[len(quantiles) // 2]


def show(folder: RunFolder, final: Experiment, verdict: Verdict | None) -> None:
    """For people: the facts, the verdict, and what to do next."""
    shown = replace(final, champion=verdict.individual) if verdict else final
    console.print(live.facts(shown, is_up=False))
    if verdict:
        apart = "" if verdict.individual.is_exact else ", none of which the search saw"
        typer.echo(f"verdict: {mean_text(verdict.individual)}{apart}")
        if is_chosen_early(final, verdict.individual):
            typer.echo(_EARLY)
    if final.spec.algorithm.HasField("eggroll"):
        typer.echo(f"centre: {folder.centre}" if folder.centre.exists() else "no centre is stored yet")
    elif folder.champion.exists():
        typer.echo(f"policy card: {folder.champion}")
    if not final.is_over:
        typer.echo(f"{final.name} is not complete; run the same command again to go on")
