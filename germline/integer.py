"""Integer play: what a network of integers answers, the same on every machine. Contract version 1.

Floating point is the one thing between a genome and its score that machines do not agree on: another order of
a sum turns a close choice of action, and the rest of the episode is another game. Under precision ``int8`` a
genome's float32 weights are rounded to small integers, and from the screen to the action there are only
integer sums, shifts and comparisons. This is the contract, and its slow reference; workers compute the same
faster.

- **Weights.** Of each layer, ``q = round_half_even(w * 2^k)``, k the largest for which all ``|q| <= 63``. So
  no weight ever saturates, whatever its line of mutations; and 63, not 127, because processors without VNNI
  add pairs of products in a saturating int16 (255 * 63 * 2 < 2^15).
- **Observations.** *Pixels* enter as they are, 0 to 255; *motion* is each pixel minus the mean of its stack,
  rounded, -128 to 127; *numbers* enter in 1/256, up to +-128.
- **Biases** are integers at the scale of their layer's sums, within +-2^30.
- **ReLU** is ``clamp((sum + bias + half) >> shift, 0, 127)``. The shift follows from the squares of the first
  outputs' weights, so that a sum of four times its expected size is 127.
- **tanh**: the sum in 1/32, from -128 to 127, goes through a table of ``127 * tanh``.
- **Answers** are the last layer's sums. The largest is the action; of equal ones, the lowest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

VERSION = 1
MOST_WEIGHT = 63
MOST_ACTIVATION = 127
MOST_BIAS = 1 << 30
MOST_EXPONENT = 100  # of weights so small that they are nothing
SAMPLED_OUTPUTS = 16  # whose weights say how large a layer's sums are
HEADROOM = 4  # times a sum's expected size is the largest activation
NUMBER_BITS = 8  # a number's fraction
MOST_NUMBER = (1 << 15) - 1
TANH_BITS = 5  # the fraction of what goes through tanh
SQUASHED_BITS = 7  # the fraction of what comes out

Sight: TypeAlias = Literal["pixels", "motion", "numbers"]
"""How a network sees its observations."""

Activation: TypeAlias = Literal["relu", "tanh"]

Integers: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float32]

_UNITS: dict[Sight, int] = {"pixels": 255, "motion": 255, "numbers": 1 << NUMBER_BITS}
_SEEN_SIZES: dict[Sight, int] = {"pixels": 64, "motion": 16, "numbers": 1 << NUMBER_BITS}
_HIDDEN_SIZE = 24  # of activations after a ReLU, as a root of the mean square


class FloatLayer(NamedTuple):
    """A layer as evolution knows it.

    Attributes:
        weight: `[outputs, inputs]`, or `[outputs, channels, height, width]` of a convolution; float32.
        bias: `[outputs]` float32.
        stride: of a convolution; 0 of a linear layer, whose input is flattened.
        padding: zeros to the left, right, top and bottom of a convolution's input.
    """

    weight: Floats
    bias: Floats
    stride: int = 0
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)


class IntegerLayer(NamedTuple):
    """A layer as it is played; `shift` is of its sums, to the right where it is positive."""

    weight: Integers
    bias: Integers
    shift: int
    stride: int
    padding: tuple[int, int, int, int]


class Scale(NamedTuple):
    """How large things are on their way through a network: exact bookkeeping in powers of two.

    An integer a stands for the number ``a / (unit * 2^exponent)``; `size` is what is expected of a, as a root
    of its mean square.
    """

    unit: int
    exponent: int
    size: int

    def bias(self, bias: npt.NDArray[np.float32], weight_exponent: int) -> Integers:
        """Biases at the scale of the sums of these activations and weights of this exponent.

        Raises:
            ValueError: if a bias is infinite or no number.
        """
        if not np.isfinite(bias).all():
            raise ValueError("a bias of a layer is not finite; allowed: finite weights")
        scaled = np.ldexp(bias.astype(np.float64) * self.unit, self.exponent + weight_exponent)
        return _rounded(np.clip(scaled, -MOST_BIAS, MOST_BIAS))

    def relu_shift(self, squares: int, outputs: int) -> int:
        """The shift of the sums, from the sum of the squared weights of so many outputs."""
        wanted = HEADROOM**2 * self.size**2 * squares
        shift = 0
        while wanted > (outputs * MOST_ACTIVATION**2) << (2 * shift):
            shift += 1
        return shift

    def tanh_shift(self, weight_exponent: int) -> int:
        """The shift of the sums to `TANH_BITS` of fraction; the unit is a power of two."""
        return self.exponent + weight_exponent + self.unit.bit_length() - 1 - TANH_BITS

    def after(self, activation: Activation, weight_exponent: int, shift: int) -> Scale:
        """The scale of the next layer's input."""
        if activation == "tanh":
            return Scale(1, SQUASHED_BITS, 1 << SQUASHED_BITS)
        return Scale(self.unit, self.exponent + weight_exponent - shift, _HIDDEN_SIZE)


def seen_scale(sight: Sight) -> Scale:
    """The scale of observations."""
    return Scale(_UNITS[sight], 0, _SEEN_SIZES[sight])


def exponent_of(largest: float) -> int:
    """k, the largest for which a layer's largest absolute weight times 2^k rounds to 63 or less.

    Raises:
        ValueError: if the largest weight is infinite or no number.
    """
    if not math.isfinite(largest):
        raise ValueError(f"the largest weight of a layer is {largest}; allowed: finite weights")
    mantissa, exponent = math.frexp(largest)  # 0.5 <= mantissa < 1, or 0
    bits = MOST_WEIGHT.bit_length()
    return min(bits - exponent - (mantissa * (1 << bits) >= MOST_WEIGHT + 0.5), MOST_EXPONENT)


def quantise(weight: Floats) -> tuple[Integers, int]:
    """A layer's integer weights, and their exponent k."""
    exponent = exponent_of(float(np.abs(weight).max(initial=0.0)))
    return _rounded(np.ldexp(weight.astype(np.float64), exponent)), exponent


def quantise_network(
    layers: Sequence[FloatLayer], sight: Sight, activation: Activation
) -> list[IntegerLayer]:
    """All layers, each at the scale that the ones before it leave behind."""
    scale, quantised = seen_scale(sight), []
    for number, layer in enumerate(layers):
        weight, exponent = quantise(layer.weight)
        bias = scale.bias(layer.bias, exponent)
        is_last = number == len(layers) - 1
        shift = 0 if is_last else _shift(scale, activation, weight, exponent)
        quantised.append(IntegerLayer(weight, bias, shift, layer.stride, layer.padding))
        scale = scale.after(activation, exponent, shift)
    return quantised


def _rounded(values: npt.NDArray[np.float64]) -> Integers:
    """The nearest integers; of two, the even one."""
    return np.asarray(np.rint(values), np.int64)


def _shift(scale: Scale, activation: Activation, weight: Integers, exponent: int) -> int:
    if activation == "tanh":
        return scale.tanh_shift(exponent)
    sample = weight[:SAMPLED_OUTPUTS]
    return scale.relu_shift(int(np.square(sample).sum()), len(sample))


def see(sight: Sight, observations: npt.NDArray[np.generic]) -> Integers:
    """Observations, `[rows, *shape]`, as a network's first layer gets them."""
    if sight == "numbers":
        finite = np.nan_to_num(observations.astype(np.float64))
        bound = MOST_NUMBER / (1 << NUMBER_BITS)
        return _rounded(np.clip(finite, -bound, bound) * (1 << NUMBER_BITS))
    pixels: Integers = observations.astype(np.int64)
    return pixels if sight == "pixels" else _motion(pixels)


def _motion(pixels: Integers) -> Integers:
    """Each picture of the stack minus the stack's mean, rounded: `[rows, stack, height, width]`."""
    stack = pixels.shape[1]
    apart = stack * pixels - pixels.sum(axis=1, keepdims=True)
    moved: Integers = np.clip((apart + stack // 2) // stack, -128, 127)
    return moved


def tanh_table() -> Integers:
    """``round(127 tanh(v / 32))`` for v from -128 to 127."""
    values = np.arange(-128, 128) / (1 << TANH_BITS)
    return _rounded(MOST_ACTIVATION * np.tanh(values))


def activate(activation: Activation, sums: Integers, shift: int) -> Integers:
    """From sums with their biases to activations."""
    shifted = shifted_right(sums, shift)
    if activation == "relu":
        return np.clip(shifted, 0, MOST_ACTIVATION)
    return tanh_table()[np.clip(shifted, -128, 127) + 128]


def shifted_right(sums: Integers, shift: int) -> Integers:
    """``sums / 2^shift``, halves rounded up."""
    if shift <= 0:
        return sums << -shift
    return (sums + (1 << (shift - 1))) >> shift


def answer(
    network: Sequence[IntegerLayer],
    sight: Sight,
    activation: Activation,
    observations: npt.NDArray[np.generic],
) -> Integers:
    """What a network answers to observations, `[rows, *shape]` -> `[rows, outputs]`: the slow reference."""
    hidden = see(sight, observations)
    for layer in network[:-1]:
        hidden = activate(activation, _sums(layer, hidden), layer.shift)
    return _sums(network[-1], hidden)


def _sums(layer: IntegerLayer, hidden: Integers) -> Integers:
    """`[rows, inputs]` -> `[rows, outputs]`, or the same of pictures, channels first."""
    if not layer.stride:
        return hidden.reshape(len(hidden), -1) @ layer.weight.T + layer.bias
    left, right, top, bottom = layer.padding
    padded = np.pad(hidden, ((0, 0), (0, 0), (top, bottom), (left, right)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, layer.weight.shape[2:], axis=(2, 3))
    taken = windows[:, :, :: layer.stride, :: layer.stride]
    sums = np.tensordot(taken, layer.weight, axes=((1, 4, 5), (1, 2, 3)))
    return np.moveaxis(sums + layer.bias, -1, 1)
