"""Normalised observations in messages, and the spec under which a single policy plays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from germline.genome import float32
from germline.normalisation import Normalisation, Version
from germline.spec.problems import Problem
from germline.v1 import spec_pb2


def write_versions(versions: Sequence[Version]) -> list[spec_pb2.NormalisationVersion]:
    """Versions as messages."""
    return [
        spec_pb2.NormalisationVersion(numbers=_message(version.numbers), first_epoch=version.first_epoch)
        for version in versions
    ]


def read_versions(messages: Sequence[spec_pb2.NormalisationVersion]) -> tuple[Version, ...]:
    """What :func:`write_versions` wrote."""
    return tuple(Version(_numbers(message.numbers), message.first_epoch) for message in messages)


def numbers_of(spec: spec_pb2.ExperimentSpec) -> Normalisation | None:
    """The numbers that a spec gives; None where it gives none."""
    return _numbers(spec.policy.normalisation) if spec.policy.HasField("normalisation") else None


def played_under(spec: spec_pb2.ExperimentSpec, numbers: Normalisation | None) -> spec_pb2.ExperimentSpec:
    """The spec of a run as it is for one policy of it: with the numbers, and nothing to learn.

    Args:
        spec: of the run.
        numbers: that this policy plays under; None for none.
    """
    if not spec.policy.normalise_observations:
        return spec
    own = spec_pb2.ExperimentSpec()
    own.CopyFrom(spec)
    own.policy.ClearField("normalise_observations")
    if numbers is not None:
        own.policy.normalisation.CopyFrom(_message(numbers))
    return own


def normalisation_problems(spec: spec_pb2.ExperimentSpec) -> Iterator[Problem]:
    """What is wrong with what a spec says of normalised observations."""
    policy, kind = spec.policy, spec.task.WhichOneof("kind")
    given = {
        "normalise_observations": policy.normalise_observations,
        "normalisation": policy.HasField("normalisation"),
    }
    for field in (field for field, is_given in given.items() if is_given):
        if kind not in ("gym", "plugin"):
            text = f"is given, but [task.{kind}] shows no vectors of numbers to its network; leave it out"
            yield Problem(f"policy.{field}", text)
    if all(given.values()):
        text = "is given, but policy.normalise_observations has the run learn it; leave one of them out"
        yield Problem("policy.normalisation", text)
    mean, deviation = policy.normalisation.mean, policy.normalisation.deviation
    if given["normalisation"] and not 0 < len(mean) == len(deviation):
        text = f"has {len(mean)} means and {len(deviation)} deviations; allowed: as many of both, 1 or more"
        yield Problem("policy.normalisation", text)


def _message(numbers: Normalisation) -> spec_pb2.Normalisation:
    return spec_pb2.Normalisation(mean=numbers.mean, deviation=numbers.deviation)


def _numbers(message: spec_pb2.Normalisation) -> Normalisation:
    return Normalisation(tuple(map(float32, message.mean)), tuple(map(float32, message.deviation)))
