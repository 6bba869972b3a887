"""What a sweep varies: settings by their dotted paths, each over some values or over a range."""

from __future__ import annotations

import itertools
import math
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from germline.spec.settle import read_setting

_RANGE = re.compile(r"(?P<low>[^.]\S*?)\.\.(?P<high>[^:.]\S*?)(?P<log>:log)?")

Changes: TypeAlias = Mapping[str, object]
"""Values by dotted path, as :func:`germline.spec.with_settings` takes them."""


@dataclass(frozen=True, slots=True)
class Choices:
    """A setting that takes one of some values."""

    path: str
    values: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """A setting that takes any number from `low` to `high`, both inclusive; whole ones if both are whole.

    With `log`, equal ratios are equally likely.
    """

    path: str
    low: float
    high: float
    whole: bool
    log: bool

    def draw(self, random: np.random.Generator) -> float | int:
        """A number of it."""
        low, high = (self.low - 0.5, self.high + 0.5) if self.whole else (self.low, self.high)
        if self.log:
            low = max(low, self.low / 2)  # so that 1 has a logarithm below it
            drawn = math.exp(random.uniform(math.log(low), math.log(high)))
        else:
            drawn = random.uniform(low, high)
        return int(min(max(round(drawn), self.low), self.high)) if self.whole else float(drawn)


Axis: TypeAlias = Choices | Range


@dataclass(frozen=True, slots=True)
class Trial:
    """One setting of everything that a sweep varies; `number` counts from 1."""

    number: int
    changes: Changes


class Search(Protocol):
    """Where trials come from."""

    def next(self) -> Trial | None:
        """The next trial to run; None if there is none left."""
        ...

    def tell(self, trial: Trial, value: float | None) -> None:
        """What came of a trial, to be maximised; None if nothing did."""
        ...


class Planned:
    """Trials that are known beforehand. A Search."""

    def __init__(self, changes: Iterable[Changes]) -> None:
        """Run these, in their order."""
        self._trials: Iterator[Trial] = itertools.starmap(Trial, enumerate(changes, start=1))

    def next(self) -> Trial | None:
        """The next of them."""
        return next(self._trials, None)

    def tell(self, trial: Trial, value: float | None) -> None:
        """Nothing follows from it."""


def grid(axes: Sequence[Axis]) -> list[Changes]:
    """Every combination of the values, the last axis changing fastest. Raises ValueError for a range."""
    for axis in axes:
        if isinstance(axis, Range):
            raise ValueError(f"{axis.path} has a range, which no grid covers; name its values with commas")
    values = [[(axis.path, value) for value in axis.values] for axis in axes if isinstance(axis, Choices)]
    return [dict(combination) for combination in itertools.product(*values)]


def at_random(axes: Sequence[Axis], trials: int, seed: int) -> list[Changes]:
    """So many independent draws; the same ones under the same seed."""
    random = np.random.default_rng(seed)
    return [{axis.path: _drawn(axis, random) for axis in axes} for _ in range(trials)]


def _drawn(axis: Axis, random: np.random.Generator) -> object:
    if isinstance(axis, Range):
        return axis.draw(random)
    return axis.values[int(random.integers(len(axis.values)))]


def read_axis(text: str) -> Axis:
    """An axis as it is written on a command line.

    Args:
        text: "path=a,b,c" for some values, "path=low..high" for a range, "path=low..high:log" for one whose
            ratios count.

    Raises:
        ValueError: for anything else.
    """
    path, equals, value = (part.strip() for part in text.partition("="))
    if not (equals and path and value):
        raise ValueError(f"{text!r} is no axis; allowed: path=a,b,c or path=low..high or path=low..high:log")
    found = _RANGE.fullmatch(value)
    return _range(path, value, found) if found else Choices(path, _values(value))


def _range(path: str, text: str, found: re.Match[str]) -> Range:
    low, high = (read_setting(found[bound]) for bound in ("low", "high"))
    numbers = isinstance(low, int | float) and isinstance(high, int | float)
    if not isinstance(low, int | float) or not isinstance(high, int | float) or not numbers or not low < high:
        raise ValueError(f"{path} has the range {text!r}; allowed: a number, .., and a larger one")
    log = found["log"] is not None
    if log and low <= 0:
        raise ValueError(f"{path} has the range {text!r}; with :log both bounds are above 0")
    return Range(path, low, high, isinstance(low, int) and isinstance(high, int), log)


def _values(text: str) -> tuple[object, ...]:
    """Values with commas between them: TOML, or texts as they are."""
    try:
        return tuple(tomllib.loads(f"values = [{text}]")["values"])
    except tomllib.TOMLDecodeError:
        return tuple(read_setting(each.strip()) for each in text.split(","))
