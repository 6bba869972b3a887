"""Numbers and individuals in words, for people."""

from __future__ import annotations

import math
from collections.abc import Sequence

from germline.client import Experiment, Individual
from germline.v1 import spec_pb2

_LONGEST = 1e15  # from here on numbers are written with a power of ten


def number(value: float | None, digits: int | None = None) -> str:
    """A number for people; a dash for none, and for what is no number.

    Without `digits` it has one behind the point, and more where that would leave nothing of a small number.
    """
    if value is None or math.isnan(value):
        return "-"
    size = abs(value)
    if size >= _LONGEST:
        return f"{value:.6g}"
    if digits is None:
        digits = 1 if size >= 0.1 or size == 0 else 1 - math.floor(math.log10(size))
        if digits > 5:
            return f"{value:.1e}"
    text = f"{value:,.{digits}f}"
    return text if any(digit in text for digit in "123456789") else text.lstrip("-")


def counted(count: int, thing: str) -> str:
    """So many things: 1 mutation, 2,000 mutations."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """A time for people: 42 s, 3 min 20 s, 1 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def kernels_text(scored: Sequence[str], here: str | None) -> str:
    """Why a score and what is played here may differ; "" if they may not, or if nobody knows."""
    if here is None or not scored or tuple(scored) == (here,):
        return ""
    families = f"kernels of {'family' if len(scored) == 1 else 'families'} {', '.join(scored)}"
    return f"the score was played by {families}, here plays {here}: an episode may go otherwise"


def played_word(spec: spec_pb2.ExperimentSpec) -> str:
    """What an experiment's frames are called by people: only emulators have any."""
    return {"gym": "steps", "function": "calls"}.get(spec.task.WhichOneof("kind") or "", "frames")


def played_text(experiment: Experiment) -> str:
    """How many of them there were."""
    return counted(experiment.frames, played_word(experiment.spec).removesuffix("s"))


def until_text(spec: spec_pb2.ExperimentSpec) -> str:
    """When an experiment is complete, for people."""
    stop = spec.stop
    goals = [counted(stop.evaluations, "evaluation") if stop.HasField("evaluations") else ""]
    frames = counted(stop.frames, played_word(spec).removesuffix("s"))
    goals.append(frames if stop.HasField("frames") else "")
    goals.append(duration(stop.seconds) if stop.HasField("seconds") else "")
    goals.append(f"a mean of {stop.fitness:g}" if stop.HasField("fitness") else "")
    return f"until {' or '.join(filter(None, goals))}" if any(goals) else "until it is stopped"


def line_text(experiment: Experiment, individual: Individual) -> str:
    """How long an individual's line is; that of a centre counts updates."""
    what = "update" if experiment.spec.algorithm.HasField("eggroll") else "mutation"
    return counted(individual.mutations, what)


def cut_text(cap_frames: int, played: str = "frames") -> str:
    """That a score is of games which were cut, to stand behind it; "" if they were whole."""
    return f", games cut after {cap_frames:,} {played}" if cap_frames else ""


def selection_text(experiment: Experiment) -> str:
    """What the fitness of new individuals is of, to stand behind it; "" if it is of their whole games."""
    played = played_word(experiment.spec)
    bonus = experiment.spec.evaluation.frame_bonus
    added = f", {bonus:g} added for each of the {played}" if bonus else ""
    return cut_text(experiment.compared_cap_frames, played) + added


def mean_text(individual: Individual) -> str:
    """A validated mean with its interval and its episodes, or what stands in for it."""
    if individual.validated_mean is None and individual.title_episodes:
        return f"chosen by {counted(individual.title_episodes, 'episode')}, not measured by fresh ones yet"
    if individual.validated_mean is None:
        if math.isnan(individual.fitness):
            return "not measured by fresh episodes"
        cut = cut_text(individual.cap_frames)
        return f"{number(individual.fitness)} (one evaluation{cut}, not validated)"
    if individual.is_exact:
        count = len(individual.start_returns)
        return f"{number(individual.validated_mean)} (n = {count} of {count}, exact)"
    half_width = individual.validated_half_width
    interval = f" ± {number(half_width)}" if half_width is not None else ""
    episodes = counted(individual.validation_episodes, "fresh episode")
    return f"{number(individual.validated_mean)}{interval} over {episodes}"
