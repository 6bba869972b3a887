"""The command that holds a published score to what it says: `germline verify`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from germline.card import PolicyCard, Score
from germline.cli import cards
from germline.cli.errors import CommandError, Exit
from germline.cli.output import Json, emit
from germline.cli.playing import kernels_here, play_all
from germline.cli.target import JsonOption
from germline.cli.words import kernels_text, number
from germline.spec.convert import starts_of


class Difference(NamedTuple):
    """A start from which the policy did not get what its card says."""

    start: int
    claimed: float
    played: float


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(verify)


def verify(
    card: Annotated[Path, typer.Argument(help="A policy card with a return for each start.", exists=True)],
    device: Annotated[str, typer.Option(help="Where the network runs: auto, cpu, cuda or mps.")] = "auto",
    as_json: JsonOption = False,
) -> None:
    """Play every start of a card again, and say whether its score holds; exit status 1 if it does not.

    In int8 returns are equal between any two machines. In floating point another kind of processor may add in
    another order, choose another action and play another game: a difference then proves nothing.

    Example: germline verify runs/pong/champion.toml
    """
    policy = cards.of_file(card)
    score = _exact_score(policy.card, card)
    starts = starts_of(policy.spec)
    if len(starts) != len(score.returns):
        sentence = f"{card} has {len(score.returns)} returns; its protocol has {len(starts)} starts"
        raise CommandError(sentence, Exit.USAGE)
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


def compare(claimed: Sequence[float], played: Sequence[float]) -> list[Difference]:
    """The starts, counted from 1, whose returns are not equal."""
    numbered = enumerate(zip(claimed, played, strict=True), start=1)
    return [Difference(start, told, found) for start, (told, found) in numbered if told != found]


def _exact_score(card: PolicyCard | None, path: Path) -> Score:
    if card is None or card.score is None or not card.score.returns:
        raise CommandError(
            f"{path} has no return for each start, so its score is a mean over fresh episodes, which "
            "`germline evaluate` plays; allowed: a card of a protocol with finitely many starts",
            Exit.USAGE,
        )
    return card.score


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
