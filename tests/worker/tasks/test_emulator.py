"""What an emulator tells its console, frame by frame, and what it shows of it; no game is played."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import cast

import ale_py
import numpy as np
import pytest

from worker.tasks.atari import rom_of
from worker.tasks.emulator import Emulator, load
from worker.tasks.protocols import PROTOCOLS, AtariProtocol
from worker.tasks.screen import Gray, Screens

SIZE = (2, 2)
PLAIN = replace(PROTOCOLS["uber2018"], noop_min=0, noop_max=0, stack=3, height=2, width=2, max_pool=False)
STICKY = replace(PLAIN, repeat_action_probability=0.25)
LEGAL, MINIMAL = (0, 1, 2, 3, 4), (0, 3, 4)


@dataclass
class Console:
    """Shows, in every pixel, how many frames it has played since it was reset; pays one point a frame."""

    over_after: int = 10**9
    flickers: bool = False
    acted: list[int] = field(default_factory=list)
    frame: int = 0

    def reset_game(self) -> None:
        self.frame = 0

    def cloneState(self) -> int:  # noqa: N802 - the library's name
        return self.frame

    def restoreState(self, frame: int) -> None:  # noqa: N802
        self.frame = frame

    def act(self, action: int) -> int:
        self.acted.append(action)
        self.frame += 1
        return 1

    def game_over(self) -> bool:
        return self.frame >= self.over_after

    def getScreenGrayscale(self, out: Gray | None = None) -> Gray:  # noqa: N802
        out = np.zeros(SIZE, np.uint8) if out is None else out
        out.fill(0 if self.flickers and self.frame % 2 == 0 else self.frame + 10)
        return out

    def getScreenRGB(self) -> Gray:  # noqa: N802
        return np.full((*SIZE, 3), self.frame, np.uint8)

    def getRAM(self) -> Gray:  # noqa: N802
        return np.full(128, self.frame, np.uint8)

    def getLegalActionSet(self) -> list[SimpleNamespace]:  # noqa: N802
        return [SimpleNamespace(value=value) for value in LEGAL]

    def getMinimalActionSet(self) -> list[SimpleNamespace]:  # noqa: N802
        return [SimpleNamespace(value=value) for value in MINIMAL]


def switched_on(console: Console, protocol: AtariProtocol = PLAIN) -> tuple[Emulator, Gray]:
    """An emulator around a console, and the observation that it writes, `[stack, 2, 2]`."""
    observation = np.full((protocol.stack, *SIZE), 99, np.uint8)
    return Emulator(
        cast(ale_py.ALEInterface, console), protocol, observation, Screens.of(SIZE, SIZE)
    ), observation


def seen(observation: Gray) -> list[int]:
    """The grey level of each picture of an observation, oldest first."""
    return [int(picture.max()) for picture in observation]


def sticking_seed() -> int:
    """A seed whose episode repeats the action before the first: its second die is below a quarter."""

    def second_die(seed: int) -> float:
        dice = random.Random(seed)  # noqa: S311 - the emulator's own generator
        dice.random()  # the count of no-ops
        return dice.random()

    return next(seed for seed in range(100) if second_die(seed) < 0.25)


def test_an_episode_begins_with_no_action_held_over_from_the_last() -> None:
    console = Console()
    emulator, _ = switched_on(console, STICKY)
    emulator.begin(0)
    for _ in range(10):
        emulator.step(1)
    assert console.acted[-1] == MINIMAL[1]
    console.acted.clear()
    emulator.begin(sticking_seed())
    emulator.step(2)
    assert console.acted[0] == 0
    assert MINIMAL[2] in console.acted


def test_a_sticky_action_is_that_of_the_frame_before_and_not_of_the_step() -> None:
    console = Console()
    emulator, _ = switched_on(console, STICKY)
    emulator.begin(sticking_seed())
    for action in (1, 2, 1, 2, 1, 2):
        emulator.step(action)
    changes = [frame for frame in range(1, 24) if console.acted[frame] != console.acted[frame - 1]]
    assert any(frame % 4 for frame in changes)
    assert set(console.acted) <= set(MINIMAL)


def test_the_frames_of_the_last_episode_do_not_count_towards_the_cap() -> None:
    emulator, _ = switched_on(Console(), replace(PLAIN, max_frames=10))
    for _ in range(2):
        emulator.begin(0)
        assert [emulator.step(0) for _ in range(3)] == [(4.0, False, 4), (4.0, False, 4), (2.0, True, 2)]


def test_no_ops_do_not_count_towards_the_cap() -> None:
    console = Console()
    emulator, _ = switched_on(console, replace(PLAIN, noop_min=7, noop_max=7, max_frames=8))
    emulator.begin(0)
    assert console.frame == 7
    assert [emulator.step(1)[1] for _ in range(2)] == [False, True]


def test_a_step_pays_all_its_frames_and_ends_with_the_game() -> None:
    emulator, _ = switched_on(Console(over_after=6))
    emulator.begin(0)
    assert emulator.step(1) == (4.0, False, 4)
    assert emulator.step(1) == (2.0, True, 2)


@pytest.mark.parametrize(("full", "sent"), [(True, LEGAL), (False, MINIMAL)])
def test_actions_are_numbered_as_the_protocol_says(full: bool, sent: tuple[int, ...]) -> None:
    console = Console()
    emulator, _ = switched_on(console, replace(PLAIN, full_action_set=full, frame_skip=1))
    emulator.begin(0)
    console.acted.clear()
    for action in range(len(sent)):
        emulator.step(action)
    assert tuple(console.acted) == sent


def test_an_episode_opens_on_the_picture_of_its_start_above_black() -> None:
    emulator, observation = switched_on(Console())
    emulator.begin(0)
    emulator.step(0)
    emulator.begin(0)
    assert seen(observation) == [0, 0, 10]


@pytest.mark.parametrize("seed", range(8))
def test_an_episode_opens_on_what_its_no_ops_led_to(seed: int) -> None:
    console = Console()
    emulator, observation = switched_on(console, replace(PLAIN, noop_min=3, noop_max=5))
    emulator.begin(seed)
    drawn = 3 + int(random.Random(seed).random() * 3)  # noqa: S311 - the emulator's own generator
    assert console.frame == drawn
    assert seen(observation) == [0, 0, 10 + drawn]
    assert set(console.acted) == {0}


def test_an_observation_moves_on_by_one_picture_a_step() -> None:
    emulator, observation = switched_on(Console())
    emulator.begin(0)
    shown = []
    for _ in range(3):
        emulator.step(0)
        shown.append(seen(observation))
    assert shown == [[0, 10, 14], [10, 14, 18], [14, 18, 22]]


@pytest.mark.parametrize(("pooled", "shown"), [(True, 13), (False, 0)])
def test_what_flickers_is_seen_if_the_protocol_pools_the_last_two_frames(pooled: bool, shown: int) -> None:
    emulator, observation = switched_on(Console(flickers=True), replace(PLAIN, max_pool=pooled))
    emulator.begin(0)
    emulator.step(0)
    assert seen(observation)[-1] == shown


def test_people_see_the_console_in_colour_and_its_memory_as_they_are_now() -> None:
    emulator, _ = switched_on(Console())
    emulator.begin(0)
    emulator.step(0)
    assert (emulator.picture().shape, int(emulator.picture().max())) == ((*SIZE, 3), 4)
    assert emulator.memory().tolist() == [4] * 128


def test_a_console_has_no_randomness_of_its_own() -> None:
    console = load(rom_of("pong"))
    assert console.getFloat("repeat_action_probability") == 0.0
    assert console.getInt("random_seed") == 0
    assert console.getScreenGrayscale().any()


def test_an_ended_episode_keeps_the_picture_that_the_last_action_was_chosen_by() -> None:
    emulator, observation = switched_on(Console(over_after=5))
    emulator.begin(0)
    emulator.step(0)
    before = observation.copy()
    assert emulator.step(0)[1]
    assert np.array_equal(observation, before)
