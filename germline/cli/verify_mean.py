"""Holds a card to a mean over fresh episodes: those of seed 0, which a complete run's verdict plays."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import typer

from germline.card import Score
from germline.cli.cards import Playable
from germline.cli.output import Json, emit
from germline.cli.playing import kernels_here, play_all
from germline.cli.verdict import seeds_of
from germline.cli.words import counted, kernels_text, number
from germline.statistics import mean_interval


class Held(NamedTuple):
    """What came of it: what the card says, and what was played here."""

    score: Score
    played: float
    kernels: str | None

    @property
    def holds(self) -> bool:
        """Whether both are one number, to the last bit."""
        return self.played == self.score.mean


def hold(policy: Playable, score: Score, device: str, *, quiet: bool) -> Held:
    """Play as many episodes of seed 0 as the score is a mean of."""
    returns = play_all(policy, seeds_of(policy.spec, score.episodes), device, quiet=quiet)
    mean, _, _ = mean_interval(returns)
    return Held(score, mean, kernels_here(policy.spec, device))


def show(path: Path, held: Held) -> None:
    """Say it to people."""
    score = held.score
    episodes = counted(score.episodes, "episode")
    if held.holds:
        typer.echo(f"{path} holds: a mean of {number(score.mean)} over {episodes}, played again here")
        return
    typer.echo(
        f"{path} is not confirmed: it says {score.mean!r}, played {held.played!r} over {episodes} of seed 0"
    )
    typer.echo(_why(held))


def show_json(path: Path, held: Held, precision: str) -> None:
    """Say it to programs."""
    found: dict[str, Json] = {
        "card": str(path),
        "holds": held.holds,
        "mean": held.score.mean,
        "played_mean": held.played,
        "episodes": held.score.episodes,
        "seed": 0,
        "precision": precision,
        "kernels": held.kernels,
        "score_kernels": held.score.kernels,
    }
    emit(found)


def _why(held: Held) -> str:
    """What else than a wrong score makes two means differ."""
    other = "a run that was not complete when its card was written has the score of other episodes"
    remark = kernels_text(held.score.kernels, held.kernels)
    return f"that alone proves nothing: {other}" + (f"; and {remark}" if remark else "")
