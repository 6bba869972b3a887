"""Who plays a population: the shared low-rank pass where it is right, written-out weights everywhere else."""

from __future__ import annotations

import logging
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from germline.eggroll.forward import LowRankForward
from germline.eggroll.materialised import MaterialisedForward
from germline.eggroll.slots import UntraceableError
from germline.eggroll.space import Space
from germline.pairs import NoiseKey

Mode = Literal["auto", "low_rank", "materialised"]
MODES: tuple[str, ...] = get_args(Mode)
MemberForward = LowRankForward | MaterialisedForward

logger = logging.getLogger(__name__)
_SLOTS_OF_WRITTEN_OUT = 4
_ROWS_OF_TRIAL = 2
_SHARE_OF_NOISE = 0.05  # by which an output may be off, of what the noise does to it ...
_ROUNDING = 1e-5  # ... and of its size


def choose_forward(
    network: nn.Module,
    space: Space,
    inputs: Tensor,
    mode: Mode,
    *,
    key: NoiseKey,
    sigma: float,
    slots: int,
    dtype: torch.dtype,
    signs: int = 2,
) -> MemberForward:
    """The forward pass of a population.

    Args:
        network: what is played.
        space: what of it evolves.
        inputs: a batch of those that it will see.
        mode: ``auto`` plays one pair both ways and takes the shared pass if they agree; the others insist.
        key: noise for that trial.
        sigma: its scale.
        slots: how many pairs the shared pass holds at once.
        dtype: of the pass.
        signs: members of a slot, 2 or 1.

    Raises:
        UntraceableError: if ``low_rank`` is insisted on and no such pass can be built, or it would be wrong.
    """
    if mode == "low_rank":
        _try_if_possible(network, space, inputs[:_ROWS_OF_TRIAL], key, sigma)
        return LowRankForward(network, space, slots=slots, signs=signs, dtype=dtype)
    if mode == "auto":
        try:
            try_out(network, space, inputs[:_ROWS_OF_TRIAL], key, sigma)
            player = LowRankForward(network, space, slots=slots, signs=signs, dtype=dtype)
            player.shared(inputs[:_ROWS_OF_TRIAL], 0, 1)
        except Exception as reason:  # whatever it is: written-out weights are right, or raise it again
            logger.info("materialised weights play %s: %s", type(network).__name__, reason)
        else:
            return player
    few = min(slots, _SLOTS_OF_WRITTEN_OUT)
    return MaterialisedForward(network, space, slots=few, signs=signs, dtype=dtype)


def _try_if_possible(network: nn.Module, space: Space, rows: Tensor, key: NoiseKey, sigma: float) -> None:
    """Try the shared pass out, unless there is nothing to compare it with."""
    try:
        try_out(network, space, rows, key, sigma)
    except UntraceableError:
        raise
    except RuntimeError as reason:
        logger.info("%s is played by low-rank noise, untried: %s", type(network).__name__, reason)


@torch.no_grad()
def try_out(network: nn.Module, space: Space, rows: Tensor, key: NoiseKey, sigma: float) -> None:
    """Play one pair both ways: by the shared pass and by written-out weights.

    Args:
        network: what is played.
        space: what of it evolves.
        rows: observations to play, two or more, so that rows which the network mixes show.
        key: noise of the pair.
        sigma: its scale.

    Raises:
        UntraceableError: if they differ: the network mixes rows, keeps a state, or its layers are not all
            that its weights pass through.
    """
    shared = LowRankForward(network, space, slots=1)
    exact = MaterialisedForward(network, space, slots=1, signs=1)  # one at a time needs no vmap
    shared.bind(0, key, sigma)
    shared.shared(rows)  # what one pass leaves behind must not change the next
    together = shared.shared(rows)
    apart = shared(torch.cat((rows[:1], rows[-1:])))  # a row of its own each: mixed with the other's it shows
    expected = []
    for power, own in ((sigma, rows[:1]), (-sigma, rows[-1:])):
        exact.bind(0, key, power)
        expected.append((exact.shared(rows)[0], exact.shared(own)[0]))
    all_rows, own_rows = zip(*expected, strict=True)
    _expect_same(together, *all_rows)
    _expect_same(apart.unsqueeze(1), *own_rows)


def _expect_same(found: Tensor, plus: Tensor, minus: Tensor) -> None:
    """Compare what two members answer by the shared pass, `[2, batch, ...]`, with what they should."""
    off = (found - torch.stack((plus, minus))).double().abs().max()
    allowed = _SHARE_OF_NOISE * (plus - minus).double().abs().max() + _ROUNDING * plus.double().abs().max()
    if not off <= allowed:
        raise UntraceableError(f"its shared pass is off by {off:.3g}; allowed: {allowed:.3g}")
