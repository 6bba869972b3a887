"""The verdict of a run: when it is complete, its champion is played anew, apart from all that selection saw.

Where the protocol's starts are finite, those that the run has not played yet are, and the verdict is exact.
Elsewhere it is the mean of so many fresh episodes, with Student's t interval. An evolution strategy's verdict
is that of the centre in its folder.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

import typer

from germline.algorithms.means import mean_of
from germline.cli import cards
from germline.cli.archive import Archive
from germline.cli.cards import Playable
from germline.cli.ending import Ending
from germline.cli.errors import CommandError, needs_extra
from germline.cli.folder import RunFolder
from germline.cli.output import Shown, notes
from germline.cli.playing import fresh_seeds, kernels_here, play
from germline.cli.streams import unheard
from germline.cli.words import counted, duration
from germline.client import Experiment, Individual
from germline.genome import format_id
from germline.spec.convert import starts_of
from germline.statistics import mean_interval
from germline.v1 import spec_pb2

DEFAULT_EPISODES = 100
_SEED = 0  # names the episodes; `germline evaluate` plays the same ones under its seed 0
_LINE_S = 5.0


class Verdict(NamedTuple):
    """What came of it.

    Attributes:
        individual: the champion, or the centre, with the verdict's mean for its score.
        kernels: families of the kernels that played it.
    """

    individual: Individual
    kernels: tuple[str, ...]


class Known(NamedTuple):
    """What a run's folder remembers of its last verdict.

    Attributes:
        id: whose, 16 hexadecimal digits.
        returns: by episode seed.
        kernels: families of the kernels that played them.
    """

    id: str
    returns: dict[int, float]
    kernels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Judge:
    """Reaches verdicts.

    Attributes:
        episodes: how many fresh ones, where starts are without end; 0 for no verdict at all.
        device: where the network runs.
        shown: how to say how far it is.
    """

    episodes: int
    device: str
    shown: Shown

    def verdict(
        self, folder: RunFolder, final: Experiment, best: Individual | None, ending: Ending
    ) -> Verdict | None:
        """The verdict of a complete run; None without one, and then a sentence says why.

        Ctrl-C leaves it out: the run is complete all the same.
        """
        if not self.episodes or final.state != "complete" or ending.asked:
            return None
        try:
            with ending.raising():
                return self._reach(folder, final, best)
        except KeyboardInterrupt:
            _say("the verdict is left out; run again to have it")
        except CommandError as error:
            _say(f"there is no verdict: {error}")
        return None

    def _reach(self, folder: RunFolder, final: Experiment, best: Individual | None) -> Verdict | None:
        if best is not None and best.is_exact and best.id:  # a centre that is not kept has no id
            return Verdict(best, final.kernels)
        judged = _of_centre(folder, final, best) if _is_centre(final) else _of_champion(final, best)
        if judged is None:
            return None
        individual, policy = judged
        seeds = seeds_of(final.spec, self.episodes)
        known = self._play(policy, seeds, _recall(folder, final, individual))
        _remember(folder, known)
        return Verdict(scored(individual, final.spec, known.returns, seeds), known.kernels)

    def _play(self, policy: Playable, seeds: tuple[int, ...], known: Known) -> Known:
        """Play what is not known yet."""
        missing = tuple(seed for seed in seeds if seed not in known.returns)
        returns, kernels = dict(known.returns), set(known.kernels)
        with self._progress(len(missing)) as heard:
            for position, returned in play(policy.spec, policy.policy, missing, self.device):
                returns[missing[position]] = _finite(missing[position], returned)
                heard(len(returns) - len(known.returns))
        if missing and (family := kernels_here(policy.spec, self.device)):
            kernels.add(family)
        return Known(known.id, returns, tuple(sorted(kernels)))

    @contextmanager
    def _progress(self, episodes: int) -> Iterator[Callable[[int], None]]:
        """Says how far it is, in the way of this sitting; told of each episode."""
        started_s = said_s = time.monotonic()

        def text(done: int) -> str:
            left_s = (time.monotonic() - started_s) / done * (episodes - done) if done else 0.0
            left = f", about {duration(left_s)} left" if done else ""
            return f"verdict: {done:,} of {counted(episodes, 'episode')}{left}; Ctrl-C leaves it out"

        def line(done: int) -> None:
            nonlocal said_s
            if time.monotonic() - said_s >= _LINE_S:
                said_s = time.monotonic()
                with unheard():
                    typer.echo(text(done))

        if self.shown is Shown.DISPLAY and episodes:
            with notes.status(text(0)) as status:
                yield lambda done: status.update(text(done))
        else:
            yield line if self.shown is Shown.LINES else lambda done: None


def seeds_of(spec: spec_pb2.ExperimentSpec, episodes: int) -> tuple[int, ...]:
    """What a verdict plays: all starts or, where they are without end, so many fresh episodes."""
    return starts_of(spec) or fresh_seeds(_SEED, episodes)


def scored(
    individual: Individual,
    spec: spec_pb2.ExperimentSpec,
    returns: dict[int, float],
    seeds: tuple[int, ...],
) -> Individual:
    """The individual, with what these episodes say of it, and nothing else, for its score."""
    values = [returns[seed] for seed in seeds]
    mean, _, high = mean_interval(values)
    half = None if math.isnan(high) else high - mean
    judged = replace(individual, validated_mean=mean, validation_episodes=len(values))
    if starts_of(spec):
        return replace(
            judged, validated_mean=mean_of(values), validated_half_width=None, start_returns=tuple(values)
        )
    return replace(judged, validated_half_width=half, start_returns=())


def _is_centre(final: Experiment) -> bool:
    return final.spec.algorithm.HasField("eggroll")


def _of_champion(final: Experiment, best: Individual | None) -> tuple[Individual, Playable] | None:
    """Whom to play: the champion, or the best while there is none; nobody before the first evaluation."""
    return None if best is None else (best, cards.of_experiment(final, best))


def _of_centre(
    folder: RunFolder, final: Experiment, best: Individual | None
) -> tuple[Individual, Playable] | None:
    """Whom to play: the centre in the folder, which is the best measured one if any was."""
    if not folder.centre.exists():
        return None
    with needs_extra("worker"):
        from germline.eggroll import centre_file
    data = folder.centre.read_bytes()
    stored = centre_file.read(data)
    digest = int(stored.digest, 16)
    fitness = best.fitness if best is not None and best.mutations == stored.epoch else math.nan
    individual = Individual(digest, fitness, stored.epoch, None, 0, None, None)
    return individual, cards.of_centre(final, data)


def _recall(folder: RunFolder, final: Experiment, individual: Individual) -> Known:
    """What was played of this individual: in the run, or at the end of an earlier sitting."""
    name = format_id(individual.id)
    in_run = _played_in_run(folder, final, individual)
    noted = folder.verdict()
    if noted is None or noted["id"] != name:
        return Known(name, in_run, final.kernels if in_run else ())
    returns = {int(seed): float(value) for seed, value in noted["returns"].items()}
    kernels = {*noted["kernels"], *(final.kernels if in_run.keys() - returns.keys() else ())}
    return Known(name, in_run | returns, tuple(sorted(kernels)))


def _played_in_run(folder: RunFolder, final: Experiment, individual: Individual) -> dict[int, float]:
    """The individual's returns by start; none where starts are without end, or nothing is kept of them."""
    if not starts_of(final.spec) or not folder.returns.exists():
        return {}
    known = next((each for each in Archive(folder).returns() if each.genome.id == individual.id), None)
    return dict(zip(known.seeds, known.returns, strict=True)) if known is not None else {}


def _remember(folder: RunFolder, known: Known) -> None:
    returns = {str(seed): value for seed, value in known.returns.items()}
    folder.note_verdict({"id": known.id, "returns": returns, "kernels": list(known.kernels)})


def _finite(seed: int, returned: float) -> float:
    if not math.isfinite(returned):
        raise CommandError(f"the episode of seed {seed} returned {returned}, which has no mean")
    return returned


def _say(text: str) -> None:
    with unheard():
        typer.echo(f"germline: {text}", err=True)
