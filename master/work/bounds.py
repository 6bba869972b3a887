"""What a result of an experiment can be: its task's range, and what the master can reckon with."""

from __future__ import annotations

import math
from typing import NamedTuple

from germline.algorithms.base import Result, check_cut
from germline.behaviour import BYTES
from germline.limits import FRAMES_OVER, LARGEST_RETURN, MOST_FRAMES
from germline.observed import Observed, is_observed
from germline.protocol_starts import FRAME_CAPS
from germline.spec import behaviour_dimensions
from germline.v1 import spec_pb2
from master.errors import Refusal, UnscoredError
from master.experiments.events import Piece, cap_of, evaluations_of, returns_of


class Bounds(NamedTuple):
    """What an episode can come to.

    Attributes:
        lowest: its return at least, and
        highest: at most.
        frames: how many its protocol allows; what is over by the rest of a step is allowed, too.
        dimensions: whole numbers of its behaviour.
        observes: whether some results tell what was seen.
    """

    lowest: float = -LARGEST_RETURN
    highest: float = LARGEST_RETURN
    frames: int = MOST_FRAMES
    dimensions: int = 0
    observes: bool = False

    @classmethod
    def of(cls, spec: spec_pb2.ExperimentSpec) -> Bounds:
        """What a complete spec says of it."""
        said = spec.evaluation
        return cls(
            said.lowest_return if said.HasField("lowest_return") else -LARGEST_RETURN,
            said.highest_return if said.HasField("highest_return") else LARGEST_RETURN,
            _frame_cap(spec.task),
            behaviour_dimensions(spec),
            spec.policy.normalise_observations,
        )

    def check(self, result: Result, piece: Piece) -> None:
        """Raise UnscoredError, naming the field, unless this work can have this result."""
        returns, episodes = result.returns, returns_of(piece)
        if result.failure:
            raise UnscoredError(Refusal.FAILED, result.failure)
        if len(returns) != episodes:
            raise UnscoredError(
                Refusal.WRONG_LENGTH,
                f"returns has {len(returns)} values; the lease has {episodes} episode seeds",
            )
        self._check_returns(returns)
        self._check_behaviour(result.behaviour, evaluations_of(piece))
        self._check_observed(result)
        self._check_frames(result, min(episodes * (self.frames + FRAMES_OVER), MOST_FRAMES))
        try:
            check_cut(result, cap_of(piece))
        except ValueError as error:  # earlier builds know of no cap, and played whole games
            raise UnscoredError(Refusal.FAILED, str(error)) from None

    def _check_returns(self, returns: tuple[float, ...]) -> None:
        if self.lowest <= min(returns) and max(returns) <= self.highest and math.isfinite(sum(returns)):
            return
        place, value = next((i, each) for i, each in enumerate(returns) if not self._has(each))
        if not math.isfinite(value):
            raise UnscoredError(
                Refusal.NOT_FINITE, f"returns[{place}] is {value}; every return must be finite"
            )
        raise UnscoredError(
            Refusal.OUT_OF_RANGE,
            f"returns[{place}] is {value:g}; allowed: {self.lowest:g} to {self.highest:g}",
        )

    def _check_behaviour(self, behaviour: bytes, members: int) -> None:
        """Of the right length; whatever two bytes say is in range."""
        if len(behaviour) != members * self.dimensions * BYTES:
            allowed = f"{members} x {self.dimensions} whole numbers of {BYTES} bytes"
            raise UnscoredError(
                Refusal.WRONG_LENGTH, f"behaviour has {len(behaviour)} bytes; the work has {allowed}"
            )

    def _check_observed(self, result: Result) -> None:
        """There where it is asked for, and sums that somebody can have seen."""
        asked = self.observes and is_observed(result.ticket)
        if bool(result.observed) != asked:
            allowed = "what was seen" if asked else "nothing, as this lease does not ask what was seen"
            raise UnscoredError(
                Refusal.WRONG_LENGTH, f"observed has {len(result.observed)} bytes; allowed: {allowed}"
            )
        try:
            _ = Observed.unpack(result.observed) if asked else None
        except ValueError as error:
            raise UnscoredError(Refusal.OUT_OF_RANGE, str(error)) from None

    def _has(self, value: float) -> bool:
        return math.isfinite(value) and self.lowest <= value <= self.highest

    @staticmethod
    def _check_frames(result: Result, most: int) -> None:
        for field, value in (("frames", result.frames), ("steps", result.steps)):
            if not 0 <= value <= most:
                raise UnscoredError(Refusal.OUT_OF_RANGE, f"{field} is {value:,}; allowed: 0 to {most:,}")


ANYTHING = Bounds()


def _frame_cap(task: spec_pb2.Task) -> int:
    """Frames after which the task itself cuts an episode, as far as that is known here."""
    if task.HasField("atari"):
        return task.atari.max_frames or FRAME_CAPS.get(task.atari.protocol, MOST_FRAMES)
    if task.HasField("gym"):
        return task.gym.max_steps or MOST_FRAMES
    return MOST_FRAMES
