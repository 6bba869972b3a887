"""One Atari console: episodes that a seed and the actions determine, whatever was played before.

Why not the library's vector environment: it can only be seeded by loading the game anew, which takes 85 ms,
as long as 280 steps. Here an episode starts from a saved state, in well under a millisecond, and
no-ops and sticky actions come from the episode's own generator.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import ale_py
import numpy as np
import numpy.typing as npt

from worker.tasks.screen import Gray, Screens

if TYPE_CHECKING:
    from pathlib import Path

    from worker.tasks.protocols import AtariProtocol


NOOP = 0


class Emulator:
    """A console with one game in it, writing what it shows into `observation`, `[stack, height, width]`."""

    def __init__(
        self, console: ale_py.ALEInterface, protocol: AtariProtocol, observation: Gray, screens: Screens
    ) -> None:
        """Reset a loaded game and remember where episodes start; of what is in `screens` nothing is kept."""
        self._protocol = protocol
        self._ale = console
        self._actions = action_set(self._ale, protocol)
        self._start, self._start_screen = self._reset()
        self._last, self._before_last, self._shrink = screens
        self._observation, self._newest = observation, observation[-1]
        self._newer, self._older = observation[1:], observation[:-1]
        self._random = random.Random(0)  # noqa: S311 - repeatable play, no secrets
        self._held_action = NOOP
        self._frames = 0

    def begin(self, seed: int) -> None:
        """Start an episode."""
        self._random.seed(seed)
        self._ale.restoreState(self._start)
        self._held_action = NOOP
        self._frames = 0
        more_noops = self._noops() - self._protocol.noop_min
        for _ in range(more_noops):
            self._ale.act(NOOP)
        self._observation.fill(0)
        if more_noops:
            self._ale.getScreenGrayscale(self._last)
            self._shrink(self._last, self._newest)
        else:  # a restored console shows the old picture until its next frame
            self._shrink(self._start_screen, self._newest)

    def step(self, action: int) -> tuple[float, bool, int]:
        """Take one action for `frame_skip` frames: raw reward, whether the episode ended, frames."""
        wanted, ale, protocol = self._actions[action], self._ale, self._protocol
        reward, frames, ended = 0.0, 0, False
        for left in range(protocol.frame_skip - 1, -1, -1):
            reward += ale.act(self._stuck(wanted) if protocol.repeat_action_probability else wanted)
            frames += 1
            if ale.game_over() or self._frames + frames >= protocol.max_frames:
                ended = True
                break
            if left == 0:
                ale.getScreenGrayscale(self._last)
            elif left == 1 and protocol.max_pool:
                ale.getScreenGrayscale(self._before_last)
        self._frames += frames
        if not ended:
            self._show()
        return reward, ended, frames

    def picture(self) -> npt.NDArray[np.uint8]:
        """What a person would see now, `[210, 160, 3]` RGB."""
        screen: npt.NDArray[np.uint8] = self._ale.getScreenRGB()
        return screen

    def memory(self) -> npt.NDArray[np.uint8]:
        """The console's memory, `[128]`."""
        bytes_now: npt.NDArray[np.uint8] = self._ale.getRAM()
        return bytes_now

    def _reset(self) -> tuple[ale_py.ALEState, Gray]:
        """The console, and its screen, after the no-ops that every episode has.

        A console remembers a reset beside its state until its next frame, by which Q*bert and Tetris draw
        their luck: the first episode would be another game than the later ones, which start from a state.
        """
        self._ale.reset_game()
        for _ in range(self._protocol.noop_min):
            self._ale.act(NOOP)
        start, screen = self._ale.cloneState(), self._ale.getScreenGrayscale()
        self._ale.act(NOOP)
        return start, screen

    def _noops(self) -> int:
        """Each count from `noop_min` to `noop_max` is equally likely."""
        choices = self._protocol.noop_max - self._protocol.noop_min + 1
        return self._protocol.noop_min + int(self._random.random() * choices)

    def _stuck(self, wanted: int) -> int:
        """The action of this frame when actions are sticky (Machado et al. 2018, section 5.2)."""
        if self._random.random() >= self._protocol.repeat_action_probability:
            self._held_action = wanted
        return self._held_action

    def _show(self) -> None:
        """Push the step's picture onto the observation."""
        if self._protocol.max_pool:
            np.maximum(self._last, self._before_last, out=self._last)
        self._older[...] = self._newer
        self._shrink(self._last, self._newest)


def load(rom: Path) -> ale_py.ALEInterface:
    """A console with the game in it, silent, and with no randomness of its own."""
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    ale.setFloat("repeat_action_probability", 0.0)
    ale.setInt("random_seed", 0)
    ale.loadROM(rom)
    return ale


def action_set(ale: ale_py.ALEInterface, protocol: AtariProtocol) -> list[int]:
    """What the action numbers of a protocol mean to the console."""
    actions = ale.getLegalActionSet() if protocol.full_action_set else ale.getMinimalActionSet()
    return [int(action.value) for action in actions]
