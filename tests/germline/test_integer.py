"""Integer play: the contract's reference, rule by rule, and its golden answers."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from germline import integer
from germline.integer import FloatLayer, IntegerLayer, Scale

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "integer-v1.json").read_text())
WEIGHTS = st.floats(2.0**-90, 2.0**100, width=32)


def floats(*values: float) -> npt.NDArray[np.float32]:
    return np.array(values, np.float32)


@given(WEIGHTS)
def test_the_exponent_is_the_largest_that_keeps_a_weight_within_63(largest: float) -> None:
    exponent = integer.exponent_of(largest)
    assert round(math.ldexp(largest, exponent)) <= integer.MOST_WEIGHT
    assert round(math.ldexp(largest, exponent + 1)) > integer.MOST_WEIGHT


@pytest.mark.parametrize(("largest", "exponent"), [(63.0, 0), (63.49, 0), (63.5, -1), (1.0, 5), (31.75, 0)])
def test_the_exponent_rounds_halves_away_from_63(largest: float, exponent: int) -> None:
    assert integer.exponent_of(largest) == exponent


def test_weights_of_nothing_stay_nothing() -> None:
    weight, exponent = integer.quantise(floats(0, 0))
    assert weight.tolist() == [0, 0]
    assert exponent <= integer.MOST_EXPONENT
    assert integer.quantise(floats(1e-40))[0].tolist() == [0]


@pytest.mark.parametrize("wrong", [math.inf, math.nan])
def test_weights_and_biases_that_are_no_numbers_are_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="allowed: finite weights"):
        integer.quantise(floats(1, wrong) if wrong == math.inf else floats(wrong))
    with pytest.raises(ValueError, match="allowed: finite weights"):
        integer.seen_scale("pixels").bias(floats(wrong), 0)


def test_weights_round_to_even_at_a_power_of_two() -> None:
    weight, exponent = integer.quantise(floats(40, -40, 2.5, 3.5, -0.5))
    assert exponent == 0
    assert weight.tolist() == [40, -40, 2, 4, 0]


def test_a_bias_stands_at_the_scale_of_its_sums_within_bounds() -> None:
    scale = Scale(unit=255, exponent=1, size=64)
    assert scale.bias(floats(1, -0.5, 1e30, -1e30), 2).tolist() == [
        255 * 8, -255 * 4, integer.MOST_BIAS, -integer.MOST_BIAS,
    ]  # fmt: skip


@given(st.integers(1, 10**9), st.integers(1, 64), st.integers(1, 300))
def test_four_times_the_expected_sum_is_just_within_an_activation(
    squares: int, outputs: int, size: int
) -> None:
    shift = Scale(unit=255, exponent=0, size=size).relu_shift(squares, outputs)
    expected = integer.HEADROOM * size * math.sqrt(squares / outputs)
    assert expected / 2**shift <= integer.MOST_ACTIVATION * (1 + 1e-9)
    assert shift == 0 or expected / 2 ** (shift - 1) > integer.MOST_ACTIVATION * (1 - 1e-9)


@pytest.mark.parametrize(
    ("sums", "shift", "wanted"),
    [([3, 4, -4, -5], 3, [0, 1, 0, -1]), ([7, -7], 0, [7, -7]), ([3, -3], -2, [12, -12])],
)
def test_a_shift_rounds_halves_up(sums: list[int], shift: int, wanted: list[int]) -> None:
    assert integer.shifted_right(np.array(sums), shift).tolist() == wanted


def test_a_relu_cuts_at_zero_and_at_127() -> None:
    assert integer.activate("relu", np.array([-9, 9, 9000]), 1).tolist() == [0, 5, 127]


def test_the_table_of_tanh_is_frozen() -> None:
    table = integer.tanh_table()
    assert table.tolist() == GOLDEN["tanh"]
    assert np.abs(table - 127 * np.tanh(np.arange(-128, 128) / 32)).max() <= 0.5
    assert integer.activate("tanh", np.array([-(10**9), 0, 10**9]), 0).tolist() == [-127, 0, 127]


def test_motion_is_each_picture_minus_the_mean_of_its_stack() -> None:
    stack = np.array([10, 20, 30, 41], np.uint8).reshape(1, 4, 1, 1)
    assert integer.see("motion", stack).ravel().tolist() == [-15, -5, 5, 16]
    still = np.full((1, 4, 2, 2), 77, np.uint8)
    assert not integer.see("motion", still).any()
    flash = np.array([255, 0, 0, 0], np.uint8).reshape(1, 4, 1, 1)
    assert integer.see("motion", flash).ravel().tolist() == [127, -64, -64, -64]


def test_numbers_are_seen_in_256ths_up_to_128() -> None:
    seen = integer.see("numbers", floats(0.5, -1.001, 1e9, -math.inf, math.nan)[None])
    assert seen.ravel().tolist() == [128, -256, 32767, -32767, 0]


def test_a_convolution_sums_what_its_kernel_sees_with_zeros_around() -> None:
    random = np.random.default_rng(1)
    weight, picture = random.integers(-63, 64, (2, 3, 3, 2)), random.integers(0, 256, (1, 3, 5, 4))
    layer = IntegerLayer(weight, np.array([5, -5]), 0, 2, (1, 0, 1, 1))
    padded = np.pad(picture, ((0, 0), (0, 0), (1, 1), (1, 0)))
    wanted = [
        [[int((padded[0, :, y : y + 3, x : x + 2] * weight[output]).sum()) + (5, -5)[output] for x in (0, 2)]
         for y in (0, 2, 4)]
        for output in (0, 1)
    ]  # fmt: skip
    assert integer.answer([layer], "pixels", "relu", picture.astype(np.uint8))[0].tolist() == wanted


def test_an_integer_stands_for_the_number_that_its_scale_says() -> None:
    """One pixel through two layers: the real number and its integer stay in step."""
    layers = [
        FloatLayer(floats(0.25)[:, None], floats(0.125)),
        FloatLayer(floats(0.5)[:, None], floats(-0.25)),
    ]
    network = integer.quantise_network(layers, "pixels", "relu")
    answer = integer.answer(network, "pixels", "relu", np.array([[200]], np.uint8)).item()
    first, second = (integer.exponent_of(float(layer.weight.item())) for layer in layers)
    unit = 255 * 2.0 ** (first - network[0].shift + second)
    assert answer / unit == pytest.approx((200 / 255 * 0.25 + 0.125) * 0.5 - 0.25, rel=0.05)


@pytest.mark.parametrize("name", sorted(GOLDEN["networks"]))
def test_golden_networks_give_their_golden_answers(name: str) -> None:
    """The reference is frozen: another answer is another game for every card in int8."""
    case = GOLDEN["networks"][name]
    layers = [
        FloatLayer(
            np.array(layer["weight"], np.float32).reshape(layer["shape"]),
            np.array(layer["bias"], np.float32),
            layer["stride"],
            tuple(layer["padding"]),
        )
        for layer in case["layers"]
    ]
    kind = np.float32 if case["sight"] == "numbers" else np.uint8
    observations = np.array(case["observations"], kind).reshape(case["observation_shape"])
    network = integer.quantise_network(layers, case["sight"], case["activation"])
    assert [layer.shift for layer in network] == case["shifts"]
    assert (
        integer.answer(network, case["sight"], case["activation"], observations).tolist() == case["answers"]
    )
