"""Atari 2600 games under a named protocol, through the Arcade Learning Environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ale_py import Action, ALEInterface, roms

from worker.tasks.base import (
    Actions,
    DiscreteActions,
    LaneIndices,
    Observations,
    SetupError,
    Spaces,
    Stepped,
    StickActions,
)
from worker.tasks.emulator import Emulator, action_set, load
from worker.tasks.protocols import AtariProtocol, protocol_named
from worker.tasks.screen import Screens
from worker.tasks.stick import stick_table
from worker.tasks.strips import Strips
from worker.tasks.traces import Trace, trace_of

_FRAMES_PER_SECOND = 60.0


class AtariTask:
    """A game and the rules under which it is played."""

    def __init__(
        self,
        *,
        game: str,
        protocol: str = "uber2018",
        max_frames: int | None = None,
        strips: Sequence[int] = (),
        strip_rows: Sequence[int] = (),
        stick: bool = False,
        behaviour: Mapping[str, Any] | None = None,
    ) -> None:
        """Look the game and the protocol up.

        Args:
            game: ROM name in snake case.
            protocol: a name from :data:`worker.tasks.protocols.PROTOCOLS`.
            max_frames: emulator frames after which an episode is cut; the protocol's own by default.
            strips: columns at which the picture is cut, for policies that see :class:`Strips` of it; without
                any they see the pictures themselves.
            strip_rows: the first row of the strips, and the one behind their last; all rows by default.
            stick: whether a policy moves a joystick, see :class:`StickActions`, or picks one of the actions.
            behaviour: what an episode is to leave behind, see :class:`worker.tasks.traces.Trace`.

        Raises:
            SetupError: if there is no such game or protocol, the cap is too small, or a cut has no place.
        """
        self.protocol = protocol_named(protocol, max_frames)
        self._rom = rom_of(game)
        rules = self.protocol
        known = action_set(load(self._rom), rules)
        actions = StickActions(stick_table(known)) if stick else DiscreteActions(len(known))
        self.action_names = tuple(Action(action).name.lower() for action in known)
        if strip_rows and not strips:
            raise SetupError("task.atari.strip_rows is given, but task.atari.strips is not; leave it out")
        self._trace = trace_of(behaviour) if behaviour else None
        self.measures = self._trace.measures if self._trace else []
        self._strips = Strips(strips, strip_rows, rules.height, rules.width) if strips else None
        if self._strips is None:
            self.spaces = Spaces((rules.stack, rules.height, rules.width), np.dtype(np.uint8), actions)
        else:
            self.spaces = Spaces((self._strips.numbers,), np.dtype(np.float32), actions)

    def make_lanes(self, count: int) -> AtariLanes:
        """Load the game `count` times, about 0.1 s each."""
        if self._strips is None:
            return AtariLanes(self._rom, self.protocol, count, self._trace)
        return StripLanes(self._rom, self.protocol, count, self._strips, self._trace)


class AtariLanes:
    """Consoles side by side, stepped one after the other on the calling thread."""

    def __init__(self, rom: Path, protocol: AtariProtocol, count: int, trace: Trace | None = None) -> None:
        """Load the game on each of the lanes; with a `trace`, episodes leave that behind."""
        self.count = count
        pictures = np.zeros((count, protocol.stack, protocol.height, protocol.width), np.uint8)
        self.observations: Observations = pictures
        consoles = [load(rom) for _ in range(count)]
        screens = Screens.of(consoles[0].getScreenDims(), (protocol.height, protocol.width))
        self._emulators = [
            Emulator(console, protocol, row, screens) for console, row in zip(consoles, pictures, strict=True)
        ]
        self.steps_per_second = _FRAMES_PER_SECOND / protocol.frame_skip
        """The console's own pace, for people who watch."""
        self._lanes: list[int] = []
        self._actions: list[int] = []
        self._traces = trace.begin(count) if trace else None

    def begin(self, lanes: LaneIndices, seeds: list[int]) -> None:
        """Start an episode on each of the lanes."""
        for lane, seed in zip(lanes.tolist(), seeds, strict=True):
            self._emulators[lane].begin(seed)
            if self._traces:
                self._traces.restart(lane)

    def send(self, lanes: LaneIndices, actions: Actions) -> None:
        """Remember what to do; emulators hold the interpreter's lock, so nothing can be done meanwhile."""
        self._lanes, self._actions = lanes.tolist(), actions.tolist()

    def receive(self) -> Stepped:
        """Step the lanes."""
        played = [self._emulators[i].step(a) for i, a in zip(self._lanes, self._actions, strict=True)]
        if self._traces:
            for lane in self._lanes:
                self._traces.step(lane, self._emulators[lane])
        rewards, ended, frames = zip(*played, strict=True) if played else ((), (), ())
        return Stepped(np.array(rewards, np.float64), np.array(ended, np.bool_), np.array(frames, np.int64))

    def picture(self, lane: int) -> npt.NDArray[np.uint8]:
        """What a person would see on a lane now, `[210, 160, 3]` RGB; for videos."""
        return self._emulators[lane].picture()

    def memory(self, lane: int) -> npt.NDArray[np.uint8]:
        """What a lane's console holds in its memory now, `[128]`; to hold episodes against each other."""
        return self._emulators[lane].memory()

    def behaviour(self, lane: int) -> npt.NDArray[np.uint8]:
        """What the lane's episode left behind so far."""
        if self._traces is None:
            raise ValueError("these lanes were made without a trace")
        return self._traces.read(lane, self._emulators[lane])

    def close(self) -> None:
        """Free the emulators."""
        self._emulators.clear()


class StripLanes(AtariLanes):
    """Consoles of which a policy sees strips, `[count, numbers]` float32."""

    def __init__(
        self,
        rom: Path,
        protocol: AtariProtocol,
        count: int,
        strips: Strips,
        trace: Trace | None = None,
    ) -> None:
        """Load the game on each of the lanes; what moved is seen in the strips, so one picture is enough."""
        super().__init__(rom, replace(protocol, stack=1), count, trace)
        self._pictures = np.asarray(self.observations[:, -1], np.uint8)
        self.observations = np.zeros((count, strips.numbers), np.float32)
        self._strips = strips
        self._places = np.stack([strips.nowhere() for _ in range(count)])

    def begin(self, lanes: LaneIndices, seeds: list[int]) -> None:
        """Start an episode on each of the lanes; nothing has moved."""
        super().begin(lanes, seeds)
        for lane in lanes.tolist():
            places = self._places[lane]
            places[:] = self._strips.nowhere()
            self._strips.look(self._pictures[lane], places)
            self._strips.write(places, places, self.observations[lane])

    def receive(self) -> Stepped:
        """Step the lanes."""
        stepped = super().receive()
        for lane in self._lanes:
            places = self._places[lane]
            before = places.copy()
            self._strips.look(self._pictures[lane], places)
            self._strips.write(places, before, self.observations[lane])
        return stepped


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
