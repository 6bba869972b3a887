"""What is wrong with a spec, said once and in full."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        path: the field, dotted from the top of the spec; "" for the file as a whole.
        text: what it is, and what is allowed.
    """

    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path} {self.text}" if self.path else self.text


class SpecError(ValueError):
    """A spec that is refused, with everything that is wrong with it."""

    def __init__(self, problems: Iterable[Problem], source: str = "the spec") -> None:
        self.problems = tuple(problems)
        self.source = source
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        if len(self.problems) == 1:
            return f"{self.source}: {self.problems[0]}"
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        return f"{self.source} has {len(self.problems)} problems:{lines}"


def wrong_value(path: str, value: object, allowed: str) -> Problem:
    """A field whose value is not allowed."""
    return Problem(path, f"is {_shown(value)}; allowed: {allowed}")


def missing(path: str, allowed: str) -> Problem:
    """A field that must be given and is not."""
    return Problem(path, f"is missing; allowed: {allowed}")


def unknown(path: str, key: str, known: Sequence[str]) -> Problem:
    """A key that names no field, with the field that was probably meant."""
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    guess = f"did you mean {near[0]!r}? " if near else ""
    return Problem(path, f"is unknown; {guess}allowed: {', '.join(known)}")


def _shown(value: object) -> str:
    """A value as the file wrote it, cut to a line."""
    if isinstance(value, bool):
        return str(value).lower()
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."
