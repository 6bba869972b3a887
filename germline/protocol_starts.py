"""Starts: where the episodes of a protocol begin, if it has finitely many beginnings.

Under ``uber2018`` nothing is left to chance but the number of no-ops before the first action: an individual
has exactly thirty episodes. Each is played at most once, and the mean over all of them is the true score.
A start is named by an episode seed, one for each, so that nothing else needs to know of starts.
"""

from __future__ import annotations

from typing import Final

# The smallest seed that gives each number of no-ops, from 1 to 30, by the emulator's
# `int(random.Random(seed).random() * 30)`, which counts from 0. A test holds the emulator to it.
_NOOPS_1_TO_30: Final = (
    31, 43, 32, 14, 1, 18, 8, 3, 45, 7, 16, 25, 44, 9, 12,
    17, 29, 10, 5, 27, 19, 24, 26, 6, 78, 0, 46, 20, 2, 52,
)  # fmt: skip

STARTS: Final[dict[str, tuple[int, ...]]] = {"uber2018": _NOOPS_1_TO_30}
"""Atari protocols with finitely many starts; those with sticky actions have episodes without end."""

FRAME_CAPS: Final[dict[str, int]] = {"uber2018": 20_000, "machado2018": 108_000, "ale-v5": 108_000}
"""Emulator frames after which a protocol cuts an episode."""
