"""One forward pass for many members: a twin of the network whose layers know the population.

>>> population = LowRankForward(network, Space.of(network, rank=1), slots=64)
>>> population.bind_run(0, NoiseKey(seed, word, pair=0), count=64, scale=sigma)  # once
>>> out = population(rows)  # many times: [128 members * batch, ...] -> [128 * batch, ...]

Any module made of the layers in :data:`STAND_INS` works unchanged, whatever its own forward does between
them, as long as it treats rows one by one. Others are played by :class:`germline.eggroll.materialised`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from germline.eggroll import layers
from germline.eggroll.convolution import convolution
from germline.eggroll.recurrent import Recurrent, RecurrentCell
from germline.eggroll.slots import Slots, UntraceableError
from germline.eggroll.space import Evolved, Space
from germline.eggroll.stand_in import EvolvedById, StandIn
from germline.low_rank import Drawn
from germline.pairs import NoiseKey

STAND_INS: dict[type[nn.Module], Callable[[Any, EvolvedById, Slots], StandIn]] = {
    nn.Linear: layers.Linear,
    nn.Conv1d: convolution,
    nn.Conv2d: convolution,
    nn.Conv3d: convolution,
    nn.Embedding: layers.Embedding,
    nn.LayerNorm: layers.LayerNorm,
    nn.GroupNorm: layers.GroupNorm,
    nn.BatchNorm1d: layers.BatchNorm,
    nn.BatchNorm2d: layers.BatchNorm,
    nn.BatchNorm3d: layers.BatchNorm,
    nn.RNN: Recurrent,
    nn.LSTM: Recurrent,
    nn.GRU: Recurrent,
    nn.RNNCell: RecurrentCell,
    nn.LSTMCell: RecurrentCell,
    nn.GRUCell: RecurrentCell,
}


class LowRankForward:
    """The members' common forward pass; see the module's example.

    Attributes:
        slots: how many noises are held, and how many members each serves.
    """

    def __init__(
        self,
        module: nn.Module,
        space: Space,
        *,
        slots: int,
        signs: int = 2,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Build the twin; the module itself is never changed, and its weights are read in place.

        Args:
            module: the network; its parameters are the centre.
            space: what evolves.
            slots: how many noises are held at once.
            signs: 2, and a slot's rows are those of its plus and its minus; or 1, and a slot is one member.
            dtype: what to compute in: float32 or bfloat16.

        Raises:
            UntraceableError: if something that evolves sits in no layer known to :data:`STAND_INS`.
        """
        if signs not in (1, 2) or slots < 1:
            raise ValueError(
                f"slots is {slots} and signs is {signs}; allowed: at least 1 slot, and 1 or 2 signs"
            )
        device = next(module.parameters()).device
        self.slots = Slots(slots, signs, dtype, device)
        self._module, self._space = module, space
        self._twin, self._layers = _twin(module, space, self.slots)
        self._takes_shared = True

    @property
    def capacity(self) -> int:
        """How many noises are held."""
        return self.slots.capacity

    def refresh(self) -> None:
        """Take over the module's weights and buffers; needed after they changed."""
        for layer in self._layers:
            layer.refresh()
        theirs = dict(self._module.named_buffers())
        for name, buffer in self._twin.named_buffers():
            if name in theirs:
                buffer.copy_(theirs[name])

    def bind(self, slot: int, key: NoiseKey, scale: float) -> None:
        """Give one slot the noise of one pair; `scale` is sigma, with a sign if `signs` is 1, or a power."""
        self.bind_run(slot, key, 1, scale)

    def bind_run(self, first_slot: int, key: NoiseKey, count: int, scale: float) -> None:
        """Give neighbouring slots the noise of neighbouring pairs, `key`'s the first, in one draw."""
        self.bind_drawn(first_slot, Drawn(key, count, self.slots.device), scale)

    def bind_drawn(self, first_slot: int, drawn: Drawn, scale: float) -> None:
        """The same with noise that is drawn already."""
        if not 0 <= first_slot <= self.slots.capacity - drawn.count:
            raise ValueError(
                f"slots {first_slot} to {first_slot + drawn.count - 1} asked for; "
                f"there are {self.slots.capacity}"
            )
        for layer in self._layers:
            layer.bind(first_slot, drawn, scale)

    @torch.no_grad()
    def __call__(self, rows: Tensor, first_slot: int = 0, slots: int | None = None) -> Tensor:
        """Play rows of the members of some slots (all of them by default), the same number for each.

        Args:
            rows: `[members * batch, ...]`, member by member.
            first_slot: the first slot that plays.
            slots: how many play; None for all from the first on.

        Returns:
            `[members * batch, ...]`.
        """
        return self._run(rows, self._rows_of_each(rows, self._enter(first_slot, slots)))

    @torch.no_grad()
    def step(
        self, rows: Tensor, state: Tensor, first_slot: int = 0, slots: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """The same for a network that remembers: ``network(rows, state)`` gives outputs and the next state.

        Args:
            rows: `[members * batch, ...]`, member by member.
            state: what is remembered of each row, `[members * batch, ...]`.
            first_slot: the first slot that plays.
            slots: how many play; None for all from the first on.

        Returns:
            `[members * batch, ...]` both.
        """
        self.slots.batch = self._rows_of_each(rows, self._enter(first_slot, slots))
        outputs, after = self._twin(self._cast(rows), self._cast(state))
        return self._expect_rows(outputs, rows), self._expect_rows(after, rows)

    @torch.no_grad()
    def shared(self, batch: Tensor, first_slot: int = 0, slots: int | None = None) -> Tensor:
        """Show all members the same batch, `[batch, ...]`; what they share is computed once.

        While the same tensor comes again (for other slots), the first layer's common product is not repeated;
        :meth:`refresh` forgets it.

        Returns:
            `[members, batch, ...]`.
        """
        members = self._enter(first_slot, slots)
        self.slots.keep_shared = True
        try:
            return torch.unflatten(self._run_shared(batch, members), 0, (members, -1))
        finally:
            self.slots.keep_shared = False

    def _run_shared(self, batch: Tensor, members: int) -> Tensor:
        """Shared as far as the network allows: one that adds its inputs to later rows wants them spread."""
        if self._takes_shared:
            try:
                return self._run(batch, len(batch))
            except RuntimeError:
                self._takes_shared = False
        spread = batch.expand(members, *batch.shape).flatten(0, 1)
        return self._run(spread, len(batch))

    def _enter(self, first_slot: int, slots: int | None) -> int:
        """Set the pass's slots; how many members they serve."""
        stage = self.slots
        stage.first = first_slot
        stage.count = stage.capacity - first_slot if slots is None else slots
        return stage.members

    def _rows_of_each(self, rows: Tensor, members: int) -> int:
        if len(rows) % members or not len(rows):
            raise ValueError(
                f"{len(rows)} rows for {members} members; every member has the same number, at least 1"
            )
        return len(rows) // members

    def _run(self, rows: Tensor, batch: int) -> Tensor:
        self.slots.batch = batch
        return self._expect_rows(self._twin(self._cast(rows)), rows)

    def _cast(self, rows: Tensor) -> Tensor:
        return rows.to(self.slots.dtype) if rows.is_floating_point() else rows

    def _expect_rows(self, out: object, rows: Tensor) -> Tensor:
        """What the network gave, if it is a row for each of each member's rows."""
        batch, members = self.slots.batch, self.slots.members
        if not isinstance(out, Tensor) or out.device != rows.device or len(out) != members * batch:
            raise UntraceableError(
                f"{type(self._module).__name__} gave no tensor with a row for each of {members} "
                f"members times {batch} rows: it reads weights itself, mixes rows, or returns something else"
            )
        return out


def _twin(module: nn.Module, space: Space, slots: Slots) -> tuple[nn.Module, list[StandIn]]:
    """A copy of the module that shares its parameters, with stand-ins for its layers."""
    named = dict(module.named_parameters())
    evolution: dict[int, Evolved] = {id(named[p.name]): p for p in space}
    memo: dict[int, Any] = {id(p): p for p in module.parameters()}
    twin = copy.deepcopy(module, memo).eval()
    stand_ins: dict[int, StandIn] = {}
    twin = _replace(twin, evolution, slots, stand_ins)
    covered = {id(p) for s in stand_ins.values() for p in s.source_layer.parameters(recurse=False)}
    missed = [p.name for p in space if id(named[p.name]) not in covered]
    if missed:
        raise UntraceableError(
            f"no population-aware layer holds {', '.join(missed)}: it sits in a layer of another type, "
            f"in one with hooks or a forward of its own, or in none"
        )
    return twin, list(stand_ins.values())


def _replace(module: nn.Module, evolution: EvolvedById, slots: Slots, done: dict[int, StandIn]) -> nn.Module:
    """Swap layers for stand-ins, from the leaves on; a layer used twice keeps one stand-in."""
    make = STAND_INS.get(type(module))
    if make and not _altered(module):
        if id(module) not in done:
            done[id(module)] = make(module, evolution, slots)
        return done[id(module)]
    for name, child in list(module._modules.items()):  # named_children() leaves repeats out
        if child is not None:
            setattr(module, name, _replace(child, evolution, slots, done))
    if type(module) is nn.Sequential:
        _save_passes(module)
    return module


def _altered(layer: nn.Module) -> bool:
    """Whether somebody made this one layer do more than its type does: a stand-in would leave that out."""
    return bool(layer._forward_hooks or layer._forward_pre_hooks or "forward" in vars(layer))


def _save_passes(line: nn.Sequential) -> None:
    """A ReLU right behind a stand-in may write over its input, which nobody else has seen."""
    for number in range(1, len(line)):
        before, layer = line[number - 1], line[number]
        if isinstance(before, StandIn) and type(layer) is nn.ReLU and not _altered(layer):
            line[number] = nn.ReLU(inplace=True)
