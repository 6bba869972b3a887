"""Writes tests/golden/integer-v1.json. Right only before the contract is released: then it is frozen.

The networks are tiny, so that the file shows whole weights; their numbers come from the project's own noise.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from germline import integer, noise
from germline.integer import Activation, FloatLayer, Sight

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden" / "integer-v1.json"


def layer(
    seed: int, *shape: int, stride: int = 0, padding: tuple[int, int, int, int] = (0, 0, 0, 0)
) -> FloatLayer:
    """A layer of noise, in 1/1024."""
    weight = noise.draw(seed, 0, 0, int(np.prod(shape))).reshape(shape) * np.float32(0.125)
    return FloatLayer(weight, noise.draw(seed, 1, 0, shape[0]) * np.float32(0.5), stride, padding)


def pixels(*shape: int) -> npt.NDArray[np.uint8]:
    """Any pixels."""
    return (noise.lanes(9, 0, 0, int(np.prod(shape))) & 255).astype(np.uint8).reshape(shape)


def case(
    layers: list[FloatLayer], sight: Sight, activation: Activation, observations: npt.NDArray[np.generic]
) -> dict[str, object]:
    """A network, what it sees and what it answers."""
    network = integer.quantise_network(layers, sight, activation)
    return {
        "sight": sight,
        "activation": activation,
        "layers": [
            {
                "shape": list(each.weight.shape),
                "weight": each.weight.ravel().tolist(),
                "bias": each.bias.tolist(),
                "stride": each.stride,
                "padding": list(each.padding),
            }
            for each in layers
        ],
        "observation_shape": list(observations.shape),
        "observations": observations.ravel().tolist(),
        "shifts": [each.shift for each in network],
        "answers": integer.answer(network, sight, activation, observations).tolist(),
    }


def main() -> None:
    """Write the file."""
    convolutions = [layer(1, 4, 2, 4, 4, stride=2, padding=(1, 1, 0, 2)), layer(2, 3, 4, 2, 2, stride=1)]
    networks = {
        "pixels": case(
            [*convolutions, layer(3, 6, 27), layer(4, 3, 6)], "pixels", "relu", pixels(2, 2, 8, 8)
        ),
        "motion": case(
            [*convolutions, layer(3, 6, 27), layer(4, 3, 6)], "motion", "relu", pixels(2, 2, 8, 8)
        ),
        "numbers": case(
            [layer(5, 8, 4), layer(6, 8, 8), layer(7, 2, 8)],
            "numbers",
            "tanh",
            noise.draw(8, 0, 0, 12).reshape(3, 4),
        ),
    }
    golden = {"version": integer.VERSION, "tanh": integer.tanh_table().tolist(), "networks": networks}
    GOLDEN.write_text(json.dumps(golden) + "\n")
    print(f"{GOLDEN.name} is written anew: say why in the commit")


if __name__ == "__main__":
    main()
