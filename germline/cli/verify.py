"""The command that holds a published score, or a run, to what it says: `germline verify`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from germline.card import PolicyCard, Score
from germline.cli import cards, verify_mean, verify_run
from germline.cli.errors import CommandError, Exit
from germline.cli.output import Json, emit
from germline.cli.playing import kernels_here, play_all
from germline.cli.target import JsonOption, Target
from germline.cli.words import counted, kernels_text, number
from germline.client import Experiment
from germline.connection import Security
from germline.spec.convert import precision_of, starts_of


class Difference(NamedTuple):
    """A start from which the policy did not get what its card says."""

    start: int
    claimed: float
    played: float


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(verify)


def verify(
    card: Annotated[
        Path | None,
        typer.Argument(help="A policy card with a score.", show_default=False),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(help="In place of a card: the folder of a run of the genetic algorithm."),
    ] = None,
    share: Annotated[float, typer.Option(min=0, max=1, help="Of the run's known results, at random.")] = 0.01,
    seed: Annotated[int, typer.Option(min=0, help="Which of them are drawn.")] = 0,
    device: Annotated[str, typer.Option(help="Where the network runs: auto, cpu, cuda or mps.")] = "auto",
    as_json: JsonOption = False,
) -> None:
    """Play what a card's score comes from again, and say whether it holds; exit status 1 if it does not.

    Where the protocol has finitely many starts, that is each of them. Elsewhere it is the episodes of the
    run's verdict. With --run: play a share of what a run was told again, as far as its episodes are known.

    In int8 returns are equal between any two machines. In floating point another kind of processor may add in
    another order, choose another action and play another game: a difference then proves nothing.

    Example: germline verify runs/pong/champion.toml

    Example: germline verify --run runs/pong --share 0.01
    """
    if (card is None) == (run is None):
        raise CommandError("what is to be verified? allowed: a card, or --run with a folder", Exit.USAGE)
    if card is not None:
        _verify_card(card, device, as_json)
    elif run is not None:
        _verify_run(run, share, seed, device, as_json)


def _verify_card(card: Path, device: str, as_json: bool) -> None:
    policy = cards.of_file(card)
    score, starts = _score(policy.card, card), starts_of(policy.spec)
    if not starts:
        _verify_mean(card, policy, score, device, as_json)
        return
    _check_all_starts(card, score, len(starts))
    differences = compare(score.returns, play_all(policy, starts, device, quiet=as_json))
    precision = policy.card.precision if policy.card else ""
    kernels = kernels_here(policy.spec, device)
    if as_json:
        families: dict[str, Json] = {"kernels": kernels, "score_kernels": score.kernels}
        emit(_as_json(card, score, precision, differences) | families)
    else:
        _show(card, score, precision, differences, kernels)
    if differences:
        raise typer.Exit(Exit.FAILED)


def _verify_mean(card: Path, policy: cards.Playable, score: Score, device: str, as_json: bool) -> None:
    held = verify_mean.hold(policy, score, device, quiet=as_json)
    if as_json:
        verify_mean.show_json(card, held, policy.card.precision if policy.card else "")
    else:
        verify_mean.show(card, held)
    if not held.holds:
        raise typer.Exit(Exit.FAILED)


def _verify_run(run: Path, share: float, seed: int, device: str, as_json: bool) -> None:
    with Target("", run, Security()).source(None) as source:
        experiment, known = source.experiment(), list(source.returns())
    results = verify_run.results_of(known)
    if not results:
        raise CommandError(f"{run} knows no individual by its episodes: there is nothing to hold it to")
    drawn = verify_run.draw(results, share, seed)
    differences = verify_run.differing(experiment, drawn, device, quiet=as_json)
    precision, kernels = precision_of(experiment.spec), kernels_here(experiment.spec, device)
    if as_json:
        emit(
            {
                "run": str(run),
                "holds": not differences,
                "results": len(results),
                "played": len(drawn),
                "individuals": len(known),
                "population": experiment.population,
                "precision": precision,
                "kernels": kernels,
                "score_kernels": experiment.kernels,
                "differences": [dataclasses.asdict(each) for each in differences],
            }
        )
    else:
        _show_run(run, experiment, (len(drawn), len(results), len(known)), precision, differences, kernels)
    if differences:
        raise typer.Exit(Exit.FAILED)


def _show_run(
    run: Path,
    experiment: Experiment,
    counts: tuple[int, int, int],
    precision: str,
    differences: list[verify_run.Differing],
    kernels: str | None,
) -> None:
    drawn, results, individuals = counts
    for each in differences:
        sentence = f"the run says {number(each.told)}, played {number(each.played)}"
        typer.echo(f"{each.individual}, {each.episodes}: {sentence}")
    of = f"{drawn:,} of {counted(results, 'result')} of {counted(individuals, 'individual')}"
    if differences:
        why = "" if precision == "int8" else _why(precision, experiment.kernels, kernels)
        typer.echo(f"{run} does not hold: {len(differences)} differ of {of}{why}")
    else:
        typer.echo(f"{run} holds: {of} played again, all equal ({precision})")
    others = max(experiment.population - individuals, 0)
    if others:
        typer.echo(f"{counted(others, 'member')} of the population are not known by their episodes")


def compare(claimed: Sequence[float], played: Sequence[float]) -> list[Difference]:
    """The starts, counted from 1, whose returns are not equal."""
    numbered = enumerate(zip(claimed, played, strict=True), start=1)
    return [Difference(start, told, found) for start, (told, found) in numbered if told != found]


def _score(card: PolicyCard | None, path: Path) -> Score:
    if card is None or card.score is None:
        raise CommandError(f"{path} says no score; allowed: a policy card with a score", Exit.USAGE)
    return card.score


def _check_all_starts(path: Path, score: Score, starts: int) -> None:
    if not score.returns:
        raise CommandError(
            f"{path} has a mean over {score.episodes} of the {starts} starts, and does not say which; "
            "`germline evaluate` plays others. The card of a complete run has a return for each start",
            Exit.USAGE,
        )
    if len(score.returns) != starts:
        sentence = f"{path} has {len(score.returns)} returns; its protocol has {starts} starts"
        raise CommandError(sentence, Exit.USAGE)


def _show(
    path: Path, score: Score, precision: str, differences: list[Difference], kernels: str | None
) -> None:
    count = len(score.returns)
    if not differences:
        typer.echo(f"{path} holds: {number(score.mean)} (n = {count} of {count}, exact, {precision})")
        return
    for start, claimed, played in differences:
        typer.echo(f"start {start}: the card says {number(claimed)}, played {number(played)}")
    why = "" if precision == "int8" else _why(precision, score.kernels, kernels)
    typer.echo(f"{path} does not hold: {len(differences)} of {count} returns differ{why}")


def _why(precision: str, scored: Sequence[str], here: str | None) -> str:
    """What a difference in floating point proves."""
    if tuple(scored) == (here,):
        return f"; the score was played by the kernels that play here, of family {here}"
    remark = kernels_text(scored, here)
    return f"; {remark}" if remark else f"; in {precision} another kind of processor may play another game"


def _as_json(path: Path, score: Score, precision: str, differences: list[Difference]) -> dict[str, Json]:
    return {
        "card": str(path),
        "holds": not differences,
        "mean": score.mean,
        "starts": len(score.returns),
        "precision": precision,
        "differences": [difference._asdict() for difference in differences],
    }
