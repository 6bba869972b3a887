"""What browsers are told, as JSON: ids as text, since they are larger than JavaScript's whole numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from germline.bottleneck import STAGES
from germline.cli.output import Json
from germline.cli.words import cut_text, mean_text, played_word, until_text
from germline.client import Experiment, ExperimentEvent, Individual, QuarantinedWorker, Worker
from germline.genome import format_id
from germline.v1 import spec_pb2


def finite(value: Json) -> Json:
    """JSON knows no NaN and no infinity; they become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [finite(item) for item in value]
    return value


def look(experiment: Experiment) -> dict[str, Json]:
    """An experiment as it stands, about a kilobyte."""
    share, left_s = time_to_go(experiment)
    champion = experiment.champion
    return {
        "name": experiment.name,
        "state": experiment.state,
        "trouble": experiment.trouble,
        "created": experiment.created.timestamp(),
        "evaluations": experiment.evaluations,
        "episodes": experiment.episodes,
        "frames": experiment.frames,
        "played": played_word(experiment.spec),
        "running_s": round(experiment.running_s, 1),
        "frames_per_second": round(experiment.frames_per_second, 2),
        "evaluations_per_second": round(experiment.evaluations_per_second, 3),
        "quantiles": list(experiment.fitness_quantiles),
        "best": experiment.best_fitness,
        "champion": individual(champion) if champion else None,
        "population": experiment.population,
        "depth": experiment.lineage_depth,
        "leased": experiment.leased,
        "workers": experiment.workers,
        "workers_wanted": experiment.workers_wanted,
        "leases_lost": experiment.leases_lost,
        "epochs": experiment.epochs,
        "centre_digest": experiment.centre_digest,
        "failed": experiment.failed,
        "unable": experiment.unable,
        "share": share,
        "left_s": left_s,
    }


def about(experiment: Experiment) -> dict[str, Json]:
    """What does not change, or is only read by who looks closer."""
    spec = experiment.spec
    return {
        "task": task_text(spec),
        "policy": spec.policy.name,
        "algorithm": algorithm_text(spec),
        "until": until_text(spec),
        "cut": cut_text(experiment.compared_cap_frames, played_word(spec)),
        "kernels": list(experiment.kernels),
        "set_aside": [dataclasses.asdict(each) for each in experiment.set_aside],
        "verification": dataclasses.asdict(experiment.verification),
        "compared_children": experiment.compared_children,
        "different_children": experiment.different_children,
    }


def event(happened: ExperimentEvent) -> dict[str, Json]:
    """Something that happened, and where on a curve's axes that was."""
    return {
        "number": happened.number,
        "kind": happened.kind,
        "text": happened.text,
        "at": None if happened.time is None else happened.time.timestamp(),
        "evaluations": happened.evaluations,
        "frames": happened.frames,
        "seconds": round(happened.running_s, 1),
    }


def individual(known: Individual) -> dict[str, Json]:
    """An individual, with its score in words: exact, with its interval, or of one evaluation."""
    return {
        "id": format_id(known.id),
        "fitness": known.fitness,
        "mutations": known.mutations,
        "mean": known.validated_mean,
        "half_width": known.validated_half_width,
        "episodes": known.validation_episodes,
        "title_episodes": known.title_episodes,
        "starts": len(known.start_returns),
        "cap_frames": known.cap_frames,
        "score": mean_text(known),
    }


def short(value: float) -> float:
    """Six digits: no screen shows more."""
    return float(f"{value:.6g}")


def worker(seen: Worker) -> dict[str, Json]:
    """A worker as the master sees it."""
    return {
        "id": seen.worker_id,
        "device": seen.device,
        "slots": seen.slots,
        "leased": seen.leased,
        "evaluations": seen.evaluations,
        "busy": round(seen.busy_share, 3),
        "frames_per_second": round(seen.frames_per_second, 1),
        "stages": {name: round(share, 3) for name, share in zip(STAGES, seen.stage_shares, strict=False)},
        "connected": seen.connected.timestamp(),
        "trouble": seen.trouble,
    }


def quarantined(away: QuarantinedWorker) -> dict[str, Json]:
    """A worker that was proven wrong."""
    return {"id": away.worker_id, "reason": away.reason, "since": away.since.timestamp()}


def time_to_go(experiment: Experiment) -> tuple[float | None, float | None]:
    """Which share of the way is behind it, and how long the rest takes at this speed; None for unknown."""
    stop = experiment.spec.stop
    ways: list[tuple[float, float, float]] = []  # where it is, where it ends, how fast it goes
    if stop.HasField("evaluations"):
        ways.append((experiment.evaluations, stop.evaluations, experiment.evaluations_per_second))
    if stop.HasField("frames"):
        ways.append((experiment.frames, stop.frames, experiment.frames_per_second))
    if stop.HasField("seconds"):
        ways.append((experiment.running_s, stop.seconds, 1.0 if experiment.workers else 0.0))
    if not ways:
        return None, None
    share = min(1.0, max(at / end for at, end, _ in ways))
    left = [max(0.0, end - at) / speed for at, end, speed in ways if speed > 0]
    running = experiment.state == "running" and left
    return round(share, 4), (round(min(left), 1) if running else None)


def task_text(spec: spec_pb2.ExperimentSpec) -> str:
    """What is played, in few words."""
    task = spec.task
    match task.WhichOneof("kind"):
        case "atari":
            return f"{task.atari.game.replace('_', ' ').capitalize()} ({task.atari.protocol})"
        case "gym":
            return task.gym.id
        case "function":
            return task.function.path
        case "plugin":
            return task.plugin.name
    return "its workers' own task"


def algorithm_text(spec: spec_pb2.ExperimentSpec) -> str:
    """How it is searched, in few words."""
    known = {"ga": "genetic algorithm", "eggroll": "EGGROLL", "own": "its workers' own arithmetic"}
    kind = spec.algorithm.WhichOneof("kind") or ""
    return known.get(kind, kind.replace("_", " "))
