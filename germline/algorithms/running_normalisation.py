"""When a run freezes what its observations are normalised by: at each doubling of its evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from germline.algorithms.base import JsonValue
from germline.genome import Genome
from germline.normalisation import Normalisation, Version, under
from germline.observed import Totals


class RunningNormalisation:
    """Adds up what was seen, and freezes a version of the numbers now and then.

    Deterministic: the same results in the same order give the same versions.

    Attributes:
        versions: all so far, oldest first.
        renewed: ids of those genomes that were asked under the newest one, as themselves under an earlier.
    """

    def __init__(self, first: int) -> None:
        """Freeze the first version when so many evaluations are told."""
        self.versions: list[Version] = []
        self.renewed: dict[int, None] = {}
        self._totals = Totals()
        self._due = first

    def tell(self, observed: bytes) -> None:
        """What an evaluation saw; empty if it says nothing."""
        if observed:
            self._totals.add(observed)

    def freeze(self, evaluations: int, epoch: int = 0) -> Normalisation | None:
        """The numbers of a new version, if one is due after so many evaluations; `epoch` is the next one."""
        numbers = self._totals.freeze() if evaluations >= self._due else None
        if numbers is None:
            return None
        self._due = 2 * evaluations
        if self.versions and self.versions[-1].numbers == numbers:
            return None
        self.versions.append(Version(numbers, epoch))
        self.renewed.clear()
        return numbers

    def renew(self, parent: Genome, rank: int) -> Genome:
        """A parent as it would play under the newest version: itself, where it does, or there is none."""
        return under(parent, self.versions[-1].numbers, rank) if self.versions else parent

    def snapshot(self) -> dict[str, JsonValue]:
        """The whole state as JSON values."""
        return {
            "due": self._due,
            "totals": self._totals.snapshot(),
            "versions": [[[*mean], [*deviation], epoch] for (mean, deviation), epoch in self.versions],
            "renewed": [*self.renewed],
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Become what :meth:`snapshot` wrote."""
        self._due = int(snapshot["due"])
        self._totals.restore(snapshot["totals"])
        self.versions = [_version(*row) for row in snapshot["versions"]]
        self.renewed = dict.fromkeys(snapshot["renewed"])


def _version(mean: Sequence[float], deviation: Sequence[float], epoch: int) -> Version:
    return Version(Normalisation(tuple(mean), tuple(deviation)), epoch)
