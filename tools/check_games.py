"""Holds every game of the ale-py library to the promise of the lanes: an episode is its seed and its actions.

For each game and protocol the same episode is played on a fresh lane, again, after another one, and on a
lane that began with another one: observations, returns, frames and the console's memory must be the same.
Writes a Markdown report to standard output; takes minutes.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from importlib.metadata import version

import numpy as np
from ale_py import roms

from worker.tasks.atari import AtariLanes, AtariTask
from worker.tasks.base import SetupError

PROTOCOLS = ("uber2018", "ale-v5")  # the first begins with no-ops, the second at the reset
STEPS, OTHER_STEPS = 600, 300
SEED, OTHER_SEED = 5, 9
LANE = np.array([0])


def play(lanes: AtariLanes, seed: int, actions: list[int]) -> tuple[float, int, str]:
    """An episode's return, its frames, and a digest of all that it showed and of the memory at its end."""
    lanes.begin(LANE, [seed])
    returned, frames, seen = 0.0, 0, hashlib.sha256()
    for action in actions:
        seen.update(lanes.observations[0].tobytes())
        lanes.send(LANE, np.array([action]))
        stepped = lanes.receive()
        returned, frames = returned + float(stepped.rewards[0]), frames + int(stepped.frames[0])
        if stepped.ended[0]:
            break
    seen.update(lanes.memory(0).tobytes())
    return returned, frames, seen.hexdigest()[:16]


def episodes(game: str, protocol: str) -> list[tuple[float, int, str]]:
    """The same episode four times, each with another past behind it."""
    task = AtariTask(game=game, protocol=protocol)
    generator, count = np.random.default_rng(2018), task.spaces.actions.outputs
    actions = generator.integers(0, count, STEPS).tolist()
    other = generator.integers(0, count, OTHER_STEPS).tolist()
    used, fresh = task.make_lanes(1), task.make_lanes(1)
    played = [play(used, SEED, actions), play(used, SEED, actions)]
    for lanes in (used, fresh):
        play(lanes, OTHER_SEED, other)
        played.append(play(lanes, SEED, actions))
    return played


def rows(game: str) -> Iterator[tuple[bool, str]]:
    """Whether each protocol holds for a game, and a line of the report."""
    for protocol in PROTOCOLS:
        try:
            first, *later = episodes(game, protocol)
        except SetupError as error:
            yield True, f"| {game} | | refused: {error} |"
            return
        holds = all(episode == first for episode in later)
        returned, frames, digest = first
        says = f"{returned:g} in {frames:,} frames, {digest}" if holds else f"DIFFERS: {[first, *later]}"
        yield holds, f"| {game} | {protocol} | {says} |"


def main() -> int:
    """Check all games, or those named; 1 if one of them does not hold."""
    games = sys.argv[1:] or sorted(roms.get_all_rom_ids())
    print(
        f"ale-py {version('ale-py')}, {len(games)} games\n\n| game | protocol | the episode |\n|---|---|---|"
    )
    broken = 0
    for game in games:
        for holds, line in rows(game):
            broken += not holds
            print(line, flush=True)
    print(f"\n{broken} differ.")
    return min(broken, 1)


if __name__ == "__main__":
    sys.exit(main())
