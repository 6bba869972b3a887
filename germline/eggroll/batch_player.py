"""A population through batches, a few members at a time: memory does not grow with the population."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from germline.eggroll.forward_choice import MODES, MemberForward, Mode, choose_forward
from germline.eggroll.space import Space
from germline.low_rank import Drawn
from germline.pairs import NoiseKey

_ROWS_AT_ONCE = 1024  # rows of all members in one pass: activations of common widths then stay near the cache
_OUTPUTS_AT_ONCE = 1 << 17  # values that go to the loss together
_VALUES_AT_ONCE = 1 << 19  # of noise that layers hold


class BatchPlayer:
    """Plays members of one network: pairs of `+E` and `-E` (`signs` is 2), or each with its own E (1)."""

    def __init__(
        self,
        network: nn.Module,
        space: Space,
        *,
        signs: int = 2,
        forward: Mode = "auto",
        chunk: int | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Say how to play.

        Args:
            network: rows first; each row is treated by itself.
            space: what of it evolves.
            signs: members of one noise, 2 or 1.
            forward: see :class:`germline.eggroll.EggrollOptimiser`.
            chunk: noises in one pass; None chooses by the batch. Memory depends on it.
            dtype: of the forward pass.
        """
        if forward not in MODES:
            raise ValueError(f"forward is {forward!r}; allowed: {', '.join(MODES)}")
        if chunk is not None and chunk < 1:
            raise ValueError(f"chunk_pairs is {chunk}; allowed: at least 1, or None")
        if not dtype.is_floating_point:
            raise ValueError(f"dtype is {dtype}; allowed: a floating point type, such as torch.float32")
        self._network, self._space, self._signs = network, space, signs
        self._mode: Mode = forward
        self._chunk, self._dtype = chunk, dtype
        self._forward: MemberForward | None = None

    def outputs(
        self, inputs: Tensor, key: NoiseKey, count: int, sigma: float, drawn: Drawn | None = None
    ) -> Iterator[Tensor]:
        """What members say to the same inputs, chunk by chunk: `[members of the chunk, batch, ...]`.

        Args:
            inputs: `[batch, ...]`.
            key: the noise of the first.
            count: how many noises, `signs` members each.
            sigma: their scale.
            drawn: the noise of all of them, if it is at hand.
        """
        if not len(inputs):
            raise ValueError("inputs has 0 rows; allowed: at least 1")
        forward = self._ready(inputs, key, count, sigma)
        chunk, block = self._at_once(len(inputs)), forward.capacity
        for start in range(0, count, block):
            some = min(block, count - start)
            forward.bind_drawn(0, _part(drawn, key, start, some, inputs.device), sigma)
            for first in range(0, some, chunk):
                yield forward.shared(inputs, first, min(chunk, some - first))

    def forward(self, rows: Tensor, key: NoiseKey, count: int, sigma: float) -> Tensor:
        """Rows of the members' own, `[members * batch, ...]` -> the same, member by member."""
        batch, left_over = divmod(len(rows), self._signs * count)
        if left_over or not batch:
            raise ValueError(
                f"{len(rows)} rows for {self._signs * count} members; "
                f"every member has the same number, at least 1"
            )
        forward = self._ready(rows[:batch], key, count, sigma)
        chunk = min(self._at_once(batch), forward.capacity)
        outs = []
        for start in range(0, count, chunk):
            some = min(chunk, count - start)
            forward.bind_run(0, key._replace(pair=key.pair + start), some, sigma)
            first, stop = (self._signs * batch * i for i in (start, start + some))
            outs.append(forward(rows[first:stop], 0, some))
        return torch.cat(outs)

    def _ready(self, inputs: Tensor, key: NoiseKey, count: int, sigma: float) -> MemberForward:
        """The forward pass with the network's present weights."""
        if self._forward is None:
            self._forward = choose_forward(
                self._network,
                self._space,
                inputs,
                self._mode,
                key=key,
                sigma=sigma,
                slots=max(1, min(count, _VALUES_AT_ONCE // self._space.values_per_pair)),
                signs=self._signs,
                dtype=self._dtype,
            )
        else:
            self._forward.refresh()
        return self._forward

    def _at_once(self, batch: int) -> int:
        """Noises in one pass."""
        return self._chunk or max(1, _ROWS_AT_ONCE // (self._signs * batch))


def gathered(outputs: Iterator[Tensor]) -> Iterator[Tensor]:
    """The same members in fewer, larger tensors: a loss has many small operations."""
    waiting: list[Tensor] = []
    for out in outputs:
        waiting.append(out)
        if sum(w.numel() for w in waiting) >= _OUTPUTS_AT_ONCE:
            yield torch.cat(waiting)
            waiting = []
    if waiting:
        yield torch.cat(waiting)


def _part(drawn: Drawn | None, key: NoiseKey, start: int, count: int, device: torch.device) -> Drawn:
    return drawn.part(start, count) if drawn else Drawn(key._replace(pair=key.pair + start), count, device)
