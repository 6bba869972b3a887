"""The centres of an evolution strategy: where they begin, and how good they are when every score is noisy.

Many centres are measured, and the best of many measurements is best by luck, too: of a hundred that are truly
0, measured by ten episodes each, the best reads 0.79 standard deviations of an episode. So the episodes of a
measurement have two parts, told apart by their place before any is played. The first alone decides whether a
centre leads; the second decides nothing, and is all that is reported. Both are played at once: a measurement
after the coronation would be as true, but the centre would have moved on, or the whole fleet would wait.

Where a protocol has finitely many starts, a measurement plays them all. Then nothing is left to luck.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from germline.algorithms.base import JsonValue
from germline.algorithms.draws import Dice
from germline.algorithms.eggroll_settings import EggrollSettings
from germline.algorithms.means import mean_of, standard_error

_CENTRE_TICKET = 2**64 - 1  # no piece of work has it, nor any a little below


def centre_seed(experiment_seed: int, number: int = 0) -> int:
    """The initialisation seed of a first centre: a founder, drawn from the experiment's seed.

    A seed of its own, since the founder's noise and that of the pairs would otherwise share streams.

    Args:
        experiment_seed: the experiment's.
        number: which of several centres that take turns.
    """
    return Dice(experiment_seed, _CENTRE_TICKET - number).seed


class MeasuredCentre(NamedTuple):
    """A measured centre.

    Attributes:
        epoch: where the search stood before this epoch.
        mean: what is reported: the mean return of those episodes that decided nothing, or of all starts.
        episodes: how many these are.
        standard_error: of that mean; infinite for a single episode, 0 for all starts.
        deciding_mean: of the episodes that decided whether it leads, and so too good for the best of many.
        deciding_episodes: how many these are; 0 where they are the reported ones.
        returns: where all starts were played, the return from each, in the order of the settings.
    """

    epoch: int
    mean: float
    episodes: int
    standard_error: float
    deciding_mean: float
    deciding_episodes: int = 0
    returns: tuple[float, ...] = ()

    @property
    def proven(self) -> float:
        """What the reported episodes confirm of the deciding ones, which a stop condition may believe."""
        return min(self.mean, self.deciding_mean)

    def to_json(self) -> list[JsonValue]:
        """As a list of JSON values, in the order of the attributes."""
        return [*self[:-1], list(self.returns)]

    @classmethod
    def from_json(cls, values: Sequence[Any]) -> MeasuredCentre:
        """Read what :meth:`to_json` wrote; the first format had nothing but what was reported and decided."""
        epoch, mean, episodes, error, *apart = values
        deciding_mean, deciding_episodes, returns = apart or (mean, 0, ())
        return cls(epoch, mean, episodes, error, deciding_mean, deciding_episodes, tuple(returns))


def measured(settings: EggrollSettings, epoch: int, returns: tuple[float, ...]) -> MeasuredCentre:
    """What a measurement says: the first of its episodes decide, the others are reported.

    Args:
        settings: those of the search.
        epoch: whose centre was measured.
        returns: of the measurement's episodes, in the order in which they were asked.
    """
    if settings.starts:
        mean = mean_of(returns)
        return MeasuredCentre(epoch, mean, len(returns), 0.0, mean, returns=returns)
    deciding = returns[: settings.validation_episodes]
    reported = returns[settings.validation_episodes :]
    if not reported:
        mean = mean_of(deciding)
        return MeasuredCentre(epoch, mean, len(deciding), standard_error(deciding), mean)
    return MeasuredCentre(
        epoch, mean_of(reported), len(reported), standard_error(reported), mean_of(deciding), len(deciding)
    )


@dataclass(frozen=True, slots=True)
class NewBestCentre:
    """A centre that the deciding episodes found better than every one before it."""

    centre: MeasuredCentre
