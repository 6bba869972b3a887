"""Plays episodes of three games in integers, and prints what came of them: run by test_integer_play.py.

`python integer_episodes.py SLOTS EPISODES`: so many networks at a time, so many episodes to a network. The
instruction set and the number of threads come with the environment.
"""

from __future__ import annotations

import json
import sys

import torch

from germline.genome import Genome, Mutation
from worker.playing.engine import Engine, Evaluation, Played
from worker.playing.engines import build_engine
from worker.playing.playable import EngineSettings

PLAYED = (("pong", "motion"), ("frostbite", "uber2018"), ("breakout", "dqn2015"))
GENOMES, SEEDS = (3, 4), (11, 12)
MAX_FRAMES = 600
Key = tuple[int, int]  # the genome, and the place of its first seed


def play(game: str, policy: str, slots: int, episodes: int) -> list[list[float]]:
    """The returns of each network's episodes, and its frames behind them."""
    arguments: dict[str, object] = {"game": game, "protocol": "uber2018", "max_frames": MAX_FRAMES}
    settings = EngineSettings(
        policy=policy,
        policy_version=1
        if policy == "uber2018"
        else None,  # the one that there was when the goldens were made
        task="atari",
        task_arguments=arguments,
        episodes=episodes,
        precision="int8",
    )
    engine: Engine[Key] = build_engine(settings, device=torch.device("cpu"), slots=slots)
    for number in GENOMES:
        genome = Genome.founder(number).child(Mutation(number, 0.2)).child(Mutation(7, 0.1, 1))
        for first in range(0, len(SEEDS), episodes):
            engine.submit(Evaluation((number, first), genome, SEEDS[first : first + episodes]))
    played: list[Played[Key]] = []
    while engine.busy():
        played += engine.tick()
    engine.close()
    return [totals(played, number) for number in GENOMES]


def totals(played: list[Played[Key]], number: int) -> list[float]:
    mine = sorted(each for each in played if each.key[0] == number)
    return [value for each in mine for value in each.returns] + [float(sum(each.frames for each in mine))]


if __name__ == "__main__":
    slots, episodes = (int(word) for word in sys.argv[1:])
    print(json.dumps({game: play(game, policy, slots, episodes) for game, policy in PLAYED}))  # noqa: T201
