"""A population through one batch: `step(inputs, loss_fn, targets)`; or its weights, to play elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from germline.eggroll import losses
from germline.eggroll.ascent import Optimiser
from germline.eggroll.evolution import Evolution, Told, TorchOptimiser
from germline.eggroll.forward_choice import MODES, MemberForward, Mode, choose_forward
from germline.eggroll.settings import Settings
from germline.eggroll.space import Freeze
from germline.low_rank import Drawn
from germline.pairs import Member

_ROWS_AT_ONCE = 1024  # rows of all members in one pass: activations of common widths then stay near the cache
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
                or ``auto``, which takes the first where one pair, tried both ways, agrees with the second.
            chunk_pairs: pairs in one pass; None chooses by the batch. Memory depends on it.
            dtype: of the forward pass, float32 or bfloat16; the centre and the update do not depend on it.
        """
        super().__init__(network, settings, optimiser=optimiser, freeze=freeze)
        if forward not in MODES:
            raise ValueError(f"forward is {forward!r}; allowed: {', '.join(MODES)}")
        if chunk_pairs is not None and chunk_pairs < 1:
            raise ValueError(f"chunk_pairs is {chunk_pairs}; allowed: at least 1, or None")
        if not dtype.is_floating_point:
            raise ValueError(f"dtype is {dtype}; allowed: a floating point type, such as torch.float32")
        self._mode: Mode = forward
        self._chunk_pairs = chunk_pairs
        self._dtype = dtype
        self._population: MemberForward | None = None

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
        if not len(inputs):
            raise ValueError("inputs has 0 rows; allowed: at least 1")
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
        batch, left_over = divmod(len(rows), 2 * self.settings.pairs)
        if left_over or not batch:
            raise ValueError(
                f"{len(rows)} rows for {2 * self.settings.pairs} members; "
                f"every member has the same number, at least 1"
            )
        population = self._player(rows[:batch])
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

    def _player(self, inputs: Tensor) -> MemberForward:
        """The population's forward pass with the present centre."""
        if self._population is None:
            self._population = choose_forward(
                self.network,
                self.space,
                inputs,
                self._mode,
                key=self.key(),
                sigma=self.sigma,
                slots=max(1, min(self.settings.pairs, _VALUES_AT_ONCE // self.space.values_per_pair)),
                dtype=self._dtype,
            )
        else:
            self._population.refresh()
        return self._population

    def _chunk(self, batch: int) -> int:
        """Pairs in one pass."""
        return self._chunk_pairs or max(1, _ROWS_AT_ONCE // (2 * batch))


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
