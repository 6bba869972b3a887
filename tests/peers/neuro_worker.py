"""Does what the worker of cshenton/neuroevolution does, call by call, with a game that needs no emulator.

`python neuro_worker.py HOST:PORT EPISODES`: prints each episode's seeds and score as JSON. Like the original,
it ends at the first error of a call, and waits no longer than 30 seconds for any.
"""

from __future__ import annotations

import json
import sys

import grpc
import numpy as np
from google.protobuf import empty_pb2

from germline.peers import neuro_pb2, neuro_pb2_grpc

STRENGTH = 0.005
FIRST = np.random.RandomState(1234).normal(0, 0.1, (20, 3))
TARGET = FIRST + 0.01


def weights(seeds: list[int]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The first weights, and noise of each seed's own generator upon them."""
    made = np.copy(FIRST)
    for generator in [np.random.RandomState(seed) for seed in seeds]:
        made += generator.normal(0, STRENGTH, size=FIRST.shape)
    return made


def play(seeds: list[int]) -> float:
    """An episode: the nearer to the target the better."""
    return -float(np.abs(weights(seeds) - TARGET).sum())


def main() -> None:
    """Play so many episodes."""
    stub = neuro_pb2_grpc.NeuroStub(grpc.insecure_channel(sys.argv[1]))
    for _ in range(int(sys.argv[2])):
        individual = stub.Seek(empty_pb2.Empty(), timeout=30)
        seeds = list(individual.seeds)
        score = play(seeds)
        stub.Show(neuro_pb2.Evaluation(individual=individual, score=score), timeout=30)
        sys.stdout.write(json.dumps([seeds, score]) + "\n")


if __name__ == "__main__":
    main()
