"""What a spec's `behaviour` comes to: how many numbers, and which of its fields belong together."""

from __future__ import annotations

from collections.abc import Iterator

from germline.behaviour import MOST_DIMENSIONS, PATH_MOMENTS, RAM_BYTES, RAM_PATH_MOMENTS, Measure
from germline.spec.problems import Problem, wrong_value
from germline.v1 import spec_pb2

_OF_TASK = {
    "ram": ("atari",),
    "ram_path": ("atari",),
    "path": ("atari",),
    "observation": ("gym",),
    "task": ("function", "gym", "plugin"),
}
_USED_BY = {
    "indices": ("ram", "path", "observation"),
    "low": ("observation", "task"),
    "high": ("observation", "task"),
    "dimensions": ("task",),
    "every_steps": ("path", "ram_path"),
}
_NEEDED_BY = {"indices": ("path", "observation"), "dimensions": ("task",)}
_PATH = "behaviour."


def behaviour_dimensions(spec: spec_pb2.ExperimentSpec) -> int:
    """How many numbers an evaluation's behaviour has; 0 where the spec has none."""
    said = spec.behaviour
    counts = {
        "ram": len(said.indices) or RAM_BYTES,
        "ram_path": RAM_PATH_MOMENTS * RAM_BYTES,
        "path": PATH_MOMENTS * len(said.indices),
        "observation": len(said.indices),
        "task": said.dimensions,
    }
    return counts.get(said.descriptor, 0)


def behaviour_problems(spec: spec_pb2.ExperimentSpec) -> Iterator[Problem]:
    """What does not fit in a `behaviour` whose fields are each in range."""
    said, kind = spec.behaviour, spec.task.WhichOneof("kind")
    of = _OF_TASK[said.descriptor]
    if kind not in of:
        allowed = ", ".join(f'"{name}"' for name, kinds in _OF_TASK.items() if kind in kinds)
        allowed = allowed or f"no [behaviour], which [task.{kind}] cannot have"
        yield wrong_value(_PATH + "descriptor", said.descriptor, allowed)
        return
    given = {field.name for field, _ in said.ListFields()}
    for field, users in _USED_BY.items():
        if field in given and said.descriptor not in users:
            yield Problem(_PATH + field, f'is given, but "{said.descriptor}" does not use it; leave it out')
    for field, users in _NEEDED_BY.items():
        if field not in given and said.descriptor in users:
            yield Problem(_PATH + field, f'is missing; "{said.descriptor}" needs it')
    yield from _name_problems(spec)
    yield from _range_problems(spec, given)


def _name_problems(spec: spec_pb2.ExperimentSpec) -> Iterator[Problem]:
    """Whether each number has a name, where any has."""
    wanted = len(spec.behaviour.indices) or behaviour_dimensions(spec)
    if (given := len(spec.behaviour.names)) not in (0, wanted):
        of = "one for each of `indices`" if spec.behaviour.indices else "one for each number"
        yield Problem(_PATH + "names", f"has {given} values; allowed: {wanted}, {of}")


def _range_problems(spec: spec_pb2.ExperimentSpec, given: set[str]) -> Iterator[Problem]:
    """Whether there are bounds for each number, and not too many numbers."""
    said, dimensions = spec.behaviour, behaviour_dimensions(spec)
    if dimensions > MOST_DIMENSIONS:
        most = MOST_DIMENSIONS // (PATH_MOMENTS if said.descriptor == "path" else 1)
        yield Problem(_PATH + "indices", f"has {len(said.indices)} values; allowed: 1 to {most}")
    if said.descriptor in ("path", "ram") and any(index >= RAM_BYTES for index in said.indices):
        yield wrong_value(_PATH + "indices", list(said.indices), f"addresses below {RAM_BYTES}")
    if ("low" in given) != ("high" in given) or _lacks_bounds(spec):
        missing = "high" if "low" in given else "low"
        yield Problem(
            _PATH + missing, "is missing; low and high belong together, and all but plug-ins need them"
        )
        return
    for field in ("low", "high"):
        if field in given and len(getattr(said, field)) not in (1, dimensions):
            allowed = f"1 for all, or {dimensions}, one for each number"
            yield Problem(_PATH + field, f"has {len(getattr(said, field))} values; allowed: {allowed}")
            return
    if any(low >= high for low, high in bounds(spec)):
        yield wrong_value(_PATH + "low", list(said.low), "each below its `high`")


def _lacks_bounds(spec: spec_pb2.ExperimentSpec) -> bool:
    """Whether nobody says of what range the numbers are: a plug-in has measures of its own."""
    of_task = spec.behaviour.descriptor == "task" and not spec.task.HasField("plugin")
    return of_task and not spec.behaviour.low


def measures_of(spec: spec_pb2.ExperimentSpec) -> list[Measure]:
    """What a spec alone says of each number: its name and range; 0 to 1 where only the task knows that."""
    said, dimensions = spec.behaviour, behaviour_dimensions(spec)
    ranges = bounds(spec) or [(0.0, 255.0) if spec.task.HasField("atari") else (0.0, 1.0)] * dimensions
    places = list(said.indices) or range(dimensions)
    word = "byte" if spec.task.HasField("atari") else said.descriptor
    called = list(said.names) or [f"{word} {place}" for place in places]
    called = called if said.descriptor != "ram_path" or said.names else called[:RAM_BYTES]
    has_moments = dimensions > len(called)
    names = [
        called[place % len(called)] + (f" at moment {place // len(called) + 1}" if has_moments else "")
        for place in range(dimensions)
    ]
    return [Measure(name, low, high) for name, (low, high) in zip(names, ranges, strict=True)]


def bounds(spec: spec_pb2.ExperimentSpec) -> list[tuple[float, float]]:
    """The lowest and the highest value of each number, as the spec says them; none where it does not."""
    said, dimensions = spec.behaviour, behaviour_dimensions(spec)
    low, high = list(said.low), list(said.high)
    if not low:
        return []
    low = low * dimensions if len(low) == 1 else low
    high = high * dimensions if len(high) == 1 else high
    return list(zip(low, high, strict=True))
