"""What pushing a joystick means in a game that knows only some of the console's actions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import ale_py
import numpy as np
import numpy.typing as npt

_ACROSS, _UP, _BUTTON = ("LEFT", "", "RIGHT"), ("DOWN", "", "UP"), ("", "FIRE")


def stick_table(actions: Sequence[int]) -> npt.NDArray[np.int64]:
    """Which of a game's actions each position of the stick is, `[3, 3, 2]`; see :class:`StickActions`.

    Where a game does not know a position, the button is let go first, then the stick is not moved up or down,
    then not across.
    """
    places = {ale_py.Action(action).name: place for place, action in enumerate(actions)}
    table = np.zeros((3, 3, 2), np.int64)
    for across, up, button in product(range(3), range(3), range(2)):
        wanted = [(across, up, button), (across, up, 0), (across, 1, button), (across, 1, 0)]
        wanted += [(1, up, button), (1, up, 0), (1, 1, button), (1, 1, 0)]
        table[across, up, button] = next(places[name] for name in map(_name, wanted) if name in places)
    return table


def _name(position: tuple[int, int, int]) -> str:
    """The console's name of a position of the stick."""
    across, up, button = position
    return _UP[up] + _ACROSS[across] + _BUTTON[button] or "NOOP"
