"""The arithmetic of cshenton/neuroevolution: from seeds and a strength to weights, bit for bit as there.

Each seed opens a generator of its own, `numpy.random.RandomState(seed)`, which draws for one layer after the
other: normal values in double precision, times the strength, added to the weights in single precision, seed
after seed. Layers have their inputs before their outputs, as TensorFlow keeps them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

SEED_END = 1 << 32
Weights = npt.NDArray[np.float32]


def read_seeds(text: str) -> list[int]:
    """Seeds as somebody pasted them: whole numbers with spaces, commas or brackets between.

    Raises:
        ValueError: names the word that is none, its place, and what is allowed.
    """
    seeds = []
    for place, word in enumerate(re.split(r"[\s,;\[\]()]+", text.strip(" \n\t,;[]()")), start=1):
        if not re.fullmatch(r"\d{1,10}", word) or int(word) >= SEED_END:
            raise ValueError(f"seed {place} is {word[:40]!r}; allowed: 0 to {SEED_END - 1}")
        seeds.append(int(word))
    return seeds


def weights_of(initial: Iterable[Weights], seeds: Sequence[int], strength: float) -> list[Weights]:
    """The layers of a network: its first weights, and noise of each seed upon them.

    Args:
        initial: the layers of the network that all individuals begin with, inputs before outputs: a
            convolution is `[height, width, in, out]`, a dense layer `[in, out]`.
        seeds: oldest first, each from 0 to 2**32 - 1.
        strength: standard deviation of the noise, the workers' MUTATION_STRENGTH.

    Raises:
        ValueError: if the strength is negative or not finite.
    """
    if not 0 <= strength < math.inf:
        raise ValueError(f"strength is {strength}; allowed: finite, 0 or more")
    generators = [np.random.RandomState(seed) for seed in seeds]
    layers = []
    for first in initial:
        layer = first.astype(np.float32, copy=True)
        for generator in generators:
            layer += generator.normal(0, strength, size=layer.shape)
        layers.append(layer)
    return layers


def inputs_first(shape: Sequence[int]) -> tuple[int, ...]:
    """The order of a torch layer's axes that puts its inputs before its outputs."""
    return (*range(2, len(shape)), 1, 0) if len(shape) > 1 else tuple(range(len(shape)))
