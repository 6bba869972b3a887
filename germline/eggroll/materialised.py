"""Playing members with written-out weights, for networks that the low-rank pass cannot play."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call

from germline.eggroll.exact import materialise_drawn
from germline.eggroll.space import Space
from germline.low_rank import Drawn
from germline.pairs import NoiseKey


class MaterialisedForward:
    """The interface of :class:`germline.eggroll.forward.LowRankForward`, for any module.

    Each slot holds whole networks, so memory grows with the slots; arithmetic is that of separate networks.
    The members go through `torch.func.vmap` together, or one by one where a layer has no batching rule. It is
    the module itself that plays, with a member's weights in the place of its own, so that whatever refers to
    its layers, a closure too, finds the member's; its flags are those of evaluation meanwhile.
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
        self.capacity, self.signs, self.dtype = slots, signs, dtype
        self._module, self._space = module, space
        self._bound: dict[int, tuple[NoiseKey, float]] = {}
        self._weights = torch.empty(
            slots, signs, space.size, dtype=dtype, device=next(module.parameters()).device
        )
        self._one_by_one = False
        self.refresh()

    def refresh(self) -> None:
        """Take over the module's weights and buffers; slots keep their noise."""
        evolved = {p.name for p in self._space}
        frozen = {name: p for name, p in self._module.named_parameters() if name not in evolved}
        self._frozen = {name: self._cast(parameter.detach()) for name, parameter in frozen.items()}
        self._buffers = {name: self._cast(buffer) for name, buffer in self._module.named_buffers()}
        self._centre = self._space.read(self._module)
        self._weights[:] = self._centre
        for slot, (key, scale) in self._bound.items():
            self.bind(slot, key, scale)

    def bind(self, slot: int, key: NoiseKey, scale: float) -> None:
        """Give one slot the noise of one pair."""
        self.bind_run(slot, key, 1, scale)

    def bind_run(self, first_slot: int, key: NoiseKey, count: int, scale: float) -> None:
        """Give neighbouring slots the noise of neighbouring pairs."""
        self.bind_drawn(first_slot, Drawn(key, count, self._centre.device), scale)

    def bind_drawn(self, first_slot: int, drawn: Drawn, scale: float) -> None:
        """The same with noise that is drawn already."""
        stop = first_slot + drawn.count
        if not 0 <= first_slot <= stop <= self.capacity:
            raise ValueError(f"slots {first_slot} to {stop - 1} asked for; there are {self.capacity}")
        rows = torch.empty(drawn.count, self._space.size, device=self._centre.device)
        for place, power in enumerate((scale, -scale)[: self.signs]):
            materialise_drawn(rows, self._centre, self._space, drawn, 0, power)
            self._weights[first_slot:stop, place] = rows
        for i in range(drawn.count):
            self._bound[first_slot + i] = (drawn.key._replace(pair=drawn.key.pair + i), scale)

    @torch.no_grad()
    def __call__(self, rows: Tensor, first_slot: int = 0, slots: int | None = None) -> Tensor:
        """Play rows of members, `[members * batch, ...]` -> `[members * batch, ...]`."""
        weights = self._weights_of(first_slot, slots)
        if len(rows) % len(weights) or not len(rows):
            raise ValueError(f"{len(rows)} rows for {len(weights)} members; every member has the same number")
        return self._play(weights, torch.unflatten(rows, 0, (len(weights), -1)), 0).flatten(0, 1)

    @torch.no_grad()
    def shared(self, batch: Tensor, first_slot: int = 0, slots: int | None = None) -> Tensor:
        """Show all members the same batch, `[batch, ...]` -> `[members, batch, ...]`."""
        return self._play(self._weights_of(first_slot, slots), batch, None)

    def _weights_of(self, first_slot: int, slots: int | None) -> Tensor:
        stop = self.capacity if slots is None else first_slot + slots
        return self._weights[first_slot:stop].flatten(0, 1)

    def _cast(self, tensor: Tensor) -> Tensor:
        """A tensor in the type of the pass; its values as they are now."""
        return tensor.to(self.dtype, copy=True) if tensor.is_floating_point() else tensor.clone()

    def _play(self, weights: Tensor, rows: Tensor, axis: int | None) -> Tensor:
        rows = rows.to(self.dtype) if rows.is_floating_point() else rows
        with _evaluating(self._module):
            out = self._play_all(self._space.views(weights), len(weights), rows, axis)
        is_weights = out.untyped_storage().data_ptr() == self._weights.untyped_storage().data_ptr()
        return out.clone() if is_weights else out  # the next members' weights go where these are

    def _play_all(self, views: dict[str, Tensor], count: int, rows: Tensor, axis: int | None) -> Tensor:
        if not self._one_by_one and count > 1:
            try:
                from torch.func import vmap  # noqa: PLC0415 - takes 40 MB, which most networks do without

                return vmap(self._one, in_dims=(0, axis), randomness="different")(views, rows)
            except RuntimeError:  # a layer without a batching rule, such as an LSTM
                self._one_by_one = True
        members = ({name: view[i] for name, view in views.items()} for i in range(count))
        try:
            return torch.stack(
                [self._one(own, rows if axis is None else rows[i]) for i, own in enumerate(members)]
            )
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise RuntimeError(
                f"{type(self._module).__name__} cannot compute in {self.dtype} with a member's weights: "
                f"{error}; a network casts to a weight's own type, not to a fixed one"
            ) from error

    def _one(self, parameters: dict[str, Tensor], rows: Tensor) -> Tensor:
        """One member, on buffers of its own: what it writes into them reaches nobody else."""
        buffers = {name: buffer.clone() for name, buffer in self._buffers.items()}
        out = functional_call(self._module, {**parameters, **self._frozen, **buffers}, (rows,))
        if not isinstance(out, Tensor):
            raise TypeError(
                f"{type(self._module).__name__} gave a {type(out).__name__}; "
                f"a population plays networks that give one tensor"
            )
        return out


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """A module's layers behave as in evaluation meanwhile."""
    flags = [(layer, layer.training) for layer in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for layer, flag in flags:
            layer.training = flag
