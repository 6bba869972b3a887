"""Atari 2600 games under a named protocol, through the Arcade Learning Environment."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

import numpy as np
import numpy.typing as npt
from ale_py import ALEInterface, roms

from worker.tasks.base import Actions, DiscreteActions, LaneIndices, SetupError, Spaces, Stepped
from worker.tasks.emulator import Emulator, action_set, load
from worker.tasks.protocols import AtariProtocol, protocol_named
from worker.tasks.screen import Screens

_FRAMES_PER_SECOND = 60.0


class AtariTask:
    """A game and the rules under which it is played."""

    def __init__(self, *, game: str, protocol: str = "uber2018", max_frames: int | None = None) -> None:
        """Look the game and the protocol up.

        Args:
            game: ROM name in snake case.
            protocol: a name from :data:`worker.tasks.protocols.PROTOCOLS`.
            max_frames: emulator frames after which an episode is cut; the protocol's own by default.

        Raises:
            SetupError: if there is no such game or protocol, or the cap is too small.
        """
        self.protocol = protocol_named(protocol, max_frames)
        self._rom = rom_of(game)
        shape = (self.protocol.stack, self.protocol.height, self.protocol.width)
        actions = len(action_set(load(self._rom), self.protocol))
        self.spaces = Spaces(shape, np.dtype(np.uint8), DiscreteActions(actions))

    def make_lanes(self, count: int) -> AtariLanes:
        """Load the game `count` times, about 0.1 s each."""
        return AtariLanes(self._rom, self.protocol, count)


class AtariLanes:
    """Consoles side by side, stepped one after the other on the calling thread."""

    def __init__(self, rom: Path, protocol: AtariProtocol, count: int) -> None:
        """Load the game on each of the lanes."""
        self.count = count
        self.observations = np.zeros((count, protocol.stack, protocol.height, protocol.width), np.uint8)
        consoles = [load(rom) for _ in range(count)]
        screens = Screens.of(consoles[0].getScreenDims(), (protocol.height, protocol.width))
        self._emulators = [
            Emulator(console, protocol, row, screens)
            for console, row in zip(consoles, self.observations, strict=True)
        ]
        self.steps_per_second = _FRAMES_PER_SECOND / protocol.frame_skip
        """The console's own pace, for people who watch."""
        self._lanes: list[int] = []
        self._actions: list[int] = []

    def begin(self, lanes: LaneIndices, seeds: list[int]) -> None:
        """Start an episode on each of the lanes."""
        for lane, seed in zip(lanes.tolist(), seeds, strict=True):
            self._emulators[lane].begin(seed)

    def send(self, lanes: LaneIndices, actions: Actions) -> None:
        """Remember what to do; emulators hold the interpreter's lock, so nothing can be done meanwhile."""
        self._lanes, self._actions = lanes.tolist(), actions.tolist()

    def receive(self) -> Stepped:
        """Step the lanes."""
        played = [self._emulators[i].step(a) for i, a in zip(self._lanes, self._actions, strict=True)]
        rewards, ended, frames = zip(*played, strict=True) if played else ((), (), ())
        return Stepped(np.array(rewards, np.float64), np.array(ended, np.bool_), np.array(frames, np.int64))

    def picture(self, lane: int) -> npt.NDArray[np.uint8]:
        """What a person would see on a lane now, `[210, 160, 3]` RGB; for videos."""
        return self._emulators[lane].picture()

    def memory(self, lane: int) -> npt.NDArray[np.uint8]:
        """What a lane's console holds in its memory now, `[128]`; to hold episodes against each other."""
        return self._emulators[lane].memory()

    def close(self) -> None:
        """Free the emulators."""
        self._emulators.clear()


def rom_of(game: str) -> Path:
    """Where a game's ROM is.

    Raises:
        SetupError: if the library has none (with similar names), or would end the process with it.
    """
    known = roms.get_all_rom_ids()
    if game not in known:
        similar = get_close_matches(game, known, n=3)
        hint = f"; did you mean {' or '.join(similar)}?" if similar else ""
        raise SetupError(f"task.atari.game is {game!r}; allowed: the {len(known)} games of ale-py{hint}")
    path = roms.get_rom_path(game)
    if path is None:
        raise SetupError(
            f"task.atari.game is {game!r}, whose ROM is missing from this installation of ale-py"
        )
    if ALEInterface.isSupportedROM(Path(path)) is None:
        raise SetupError(
            f"task.atari.game is {game!r}, which ale-py has but cannot run: it knows no mode for one "
            "player, or the ROM's file is damaged; allowed: any other game"
        )
    return Path(path)
