"""A population through one batch: `step(inputs, loss_fn, targets)`; or its weights, to play elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from germline.eggroll import losses
from germline.eggroll.evolution import Evolution, Settings, Told, TorchOptimiser
from germline.eggroll.factors import Drawn
from germline.eggroll.forward import LowRankForward
from germline.eggroll.materialised import MaterialisedForward
from germline.eggroll.optimisers import Optimiser
from germline.eggroll.slots import UntraceableError
from germline.eggroll.space import Freeze
from germline.pairs import Member

Mode = Literal["auto", "low_rank", "materialised"]

logger = logging.getLogger(__name__)
_ROWS_AT_ONCE = 1024  # rows of all members in one pass: activations of common widths then stay near the cache
_SLOTS_OF_WRITTEN_OUT = 4
_OUTPUTS_AT_ONCE = 1 << 17  # values that go to the loss together
_VALUES_AT_ONCE = 1 << 19  # of noise that layers hold


class EggrollOptimiser(Evolution):
    """An evolution that plays its own population on batches; see :meth:`step`."""

    def __init__(
        self,
        network: nn.Module,
        settings: Settings,
        *,
        optimiser: Optimiser | TorchOptimiser | str = "sgd",
        freeze: Freeze = (),
        forward: Mode = "auto",
        chunk_pairs: int | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """As :class:`Evolution`, and how to play.

        Args:
            network: rows first; each row is treated by itself.
            settings: see :class:`Settings`.
            optimiser: see :class:`Evolution`.
            freeze: see :meth:`germline.eggroll.space.Space.of`.
            forward: ``low_rank``; ``materialised``, for any module, with each member's weights written out;
                or ``auto``, which takes the first and falls back on the second.
            chunk_pairs: pairs in one pass; None chooses by the batch. Memory depends on it.
            dtype: of the forward pass, float32 or bfloat16; the centre and the update do not depend on it.
        """
        super().__init__(network, settings, optimiser=optimiser, freeze=freeze)
        self._mode: Mode = forward
        self._chunk_pairs = chunk_pairs
        self._dtype = dtype
        self._population: LowRankForward | MaterialisedForward | None = None

    def step(self, inputs: Tensor, loss_fn: losses.LossFn, targets: Tensor) -> Told:
        """One epoch: every member sees the batch, its fitness is minus its loss.

        Args:
            inputs: `[batch, ...]`, the same for all members.
            loss_fn: of (outputs, targets) of one member, a scalar; see :func:`losses.of_members`.
            targets: `[batch, ...]`.

        Returns:
            What the scores say, before the update.
        """
        return self.tell(self.evaluate(inputs, loss_fn, targets))

    @torch.no_grad()
    def evaluate(self, inputs: Tensor, loss_fn: losses.LossFn, targets: Tensor) -> npt.NDArray[np.float64]:
        """The fitness of every member on a batch, `[members]`, in the order of :meth:`ask`; nothing moves."""
        gathered = _gathered(self.outputs(inputs))
        scores = [-losses.of_members(loss_fn, out.float(), targets).double() for out in gathered]
        return torch.cat(scores).cpu().numpy()

    def outputs(self, inputs: Tensor) -> Iterator[Tensor]:
        """What the members say to the same inputs, chunk by chunk: `[members of the chunk, batch, ...]`."""
        population = self._player(inputs)
        chunk, block, kept = self._chunk(len(inputs)), population.capacity, self.draw()
        for start in range(0, self.settings.pairs, block):
            count = min(block, self.settings.pairs - start)
            drawn = kept.part(start, count) if kept else Drawn(self.key(start), count, self.centre.device)
            population.bind_drawn(0, drawn, self.sigma)
            for first in range(0, count, chunk):
                yield population.shared(inputs, first, min(chunk, count - first))

    def forward(self, rows: Tensor) -> Tensor:
        """Rows of the members' own, `[members * batch, ...]` -> `[members * batch, ...]`, member by member.

        The members are those of :meth:`ask`. For a policy that acts step after step, see
        :class:`germline.eggroll.LowRankForward`, which binds its noise once.
        """
        batch = len(rows) // (2 * self.settings.pairs)
        population = self._player(rows[: max(batch, 1)])
        chunk = min(self._chunk(batch), population.capacity)
        outs = []
        for start in range(0, self.settings.pairs, chunk):
            count = min(chunk, self.settings.pairs - start)
            population.bind_run(0, self.key(start), count, self.sigma)
            outs.append(population(rows[2 * start * batch : 2 * (start + count) * batch], 0, count))
        return torch.cat(outs)

    def stacked_parameters(self) -> dict[str, Tensor]:
        """Every member's exact weights by name, `[members, *shape]`, as `torch.func.vmap` wants them."""
        rows = torch.empty(2 * self.settings.pairs, self.space.size, device=self.centre.device)
        for row, member in zip(rows, self.ask(), strict=True):
            row.copy_(self.weights(member))
        return self.space.views(rows)

    def parameters_of(self, member: Member) -> dict[str, Tensor]:
        """One member's exact weights by name."""
        return self.space.views(self.weights(member))

    def prepare_population(self) -> list[dict[str, Tensor]]:
        """For each member what `torch.func.functional_call` wants: its weights, frozen ones, and buffers."""
        fixed = {**dict(self.network.named_parameters()), **dict(self.network.named_buffers())}
        stacked = self.stacked_parameters()
        each = range(2 * self.settings.pairs)
        return [{**fixed, **{name: values[i] for name, values in stacked.items()}} for i in each]

    def _player(self, inputs: Tensor) -> LowRankForward | MaterialisedForward:
        """The population's forward pass with the present centre."""
        if self._population is None:
            self._population = self._choose_player(inputs)
        else:
            self._population.refresh()
        return self._population

    def _choose_player(self, inputs: Tensor) -> LowRankForward | MaterialisedForward:
        """By the mode; ``auto`` tries the low-rank pass on one pair."""
        if self._mode != "materialised":
            slots = max(1, min(self.settings.pairs, _VALUES_AT_ONCE // self.space.values_per_pair))
            try:
                player = LowRankForward(self.network, self.space, slots=slots, dtype=self._dtype)
                player.shared(inputs[:2], 0, 1)
            except UntraceableError as reason:
                if self._mode == "low_rank":
                    raise
                logger.info("materialised weights play %s: %s", type(self.network).__name__, reason)
            else:
                return player
        slots = min(self.settings.pairs, _SLOTS_OF_WRITTEN_OUT)
        return MaterialisedForward(self.network, self.space, slots=slots, dtype=self._dtype)

    def _chunk(self, batch: int) -> int:
        """Pairs in one pass."""
        return self._chunk_pairs or max(1, _ROWS_AT_ONCE // (2 * max(batch, 1)))


def _gathered(outputs: Iterator[Tensor]) -> Iterator[Tensor]:
    """The same members in fewer, larger tensors: a loss has many small operations."""
    waiting: list[Tensor] = []
    for out in outputs:
        waiting.append(out)
        if sum(w.numel() for w in waiting) >= _OUTPUTS_AT_ONCE:
            yield torch.cat(waiting)
            waiting = []
    if waiting:
        yield torch.cat(waiting)
