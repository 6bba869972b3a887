"""Population-aware recurrent layers: the usual gates around linear maps that differ from member to member."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from germline.eggroll.layers import LinearMap
from germline.eggroll.slots import Slots, UntraceableError
from germline.eggroll.stand_in import EvolvedById, StandIn

State = tuple[Tensor, ...]  # (h,) or, for an LSTM, (h, c); each `[rows, hidden]`
Step = Callable[[Tensor, Tensor, State], State]  # gates from the input, gates from the state, state -> state


def _lstm(from_input: Tensor, from_state: Tensor, state: State) -> State:
    i, f, g, o = (from_input + from_state).chunk(4, -1)
    c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _gru(from_input: Tensor, from_state: Tensor, state: State) -> State:
    (ri, zi, ni), (rh, zh, nh) = from_input.chunk(3, -1), from_state.chunk(3, -1)
    n = torch.tanh(ni + torch.sigmoid(ri + rh) * nh)
    return (n + torch.sigmoid(zi + zh) * (state[0] - n),)


def _elman(squash: Callable[[Tensor], Tensor]) -> Step:
    return lambda from_input, from_state, _state: (squash(from_input + from_state),)


def _step_of(source: nn.Module) -> Step:
    """The gates of a layer or cell."""
    if isinstance(source, nn.LSTM | nn.LSTMCell):
        return _lstm
    if isinstance(source, nn.GRU | nn.GRUCell):
        return _gru
    return _elman(torch.relu if getattr(source, "nonlinearity", "tanh") == "relu" else torch.tanh)


class Cell:
    """One layer, in one direction: a linear map of the input, one of the state, and the gates."""

    def __init__(self, layer: StandIn, suffix: str, step: Step) -> None:
        self.from_input = LinearMap(layer, "weight_ih" + suffix, "bias_ih" + suffix)
        self.from_state = LinearMap(layer, "weight_hh" + suffix, "bias_hh" + suffix)
        self.step = step

    def run(self, x: Tensor, state: State, backwards: bool) -> tuple[Tensor, State]:
        """`[rows, time, inputs]` and a state -> `[rows, time, hidden]` and the last state."""
        gates = self.from_input(x)
        times = range(x.shape[1])
        out: list[Tensor] = []
        for time in reversed(times) if backwards else times:
            state = self.step(gates[:, time], self.from_state(state[0]), state)
            out.append(state[0])
        return torch.stack(out[::-1] if backwards else out, 1), state


class _Recurrent(StandIn):
    """What layers and cells share: the maps, and where states come from."""

    cells: list[Cell]
    hidden_size: int
    states: int

    def refresh(self) -> None:
        """Take over the centre's weights."""
        for cell in self.cells:
            cell.from_input.refresh()
            cell.from_state.refresh()


class Recurrent(_Recurrent):
    """Stands in for `nn.RNN`, `nn.LSTM` and `nn.GRU`, over batches of sequences."""

    def __init__(self, source: nn.RNNBase, evolution: EvolvedById, slots: Slots) -> None:
        super().__init__(source, evolution, slots)
        if source.proj_size:
            raise UntraceableError(f"an LSTM with proj_size {source.proj_size}; 0 is supported")
        self._directions = 2 if source.bidirectional else 1
        self.states = 2 if isinstance(source, nn.LSTM) else 1
        suffixes = [f"_l{layer}{way}" for layer in range(source.num_layers) for way in ("", "_reverse")]
        step = _step_of(source)
        self.cells = [Cell(self, suffix, step) for suffix in suffixes[:: 3 - self._directions]]

    @property
    def _source(self) -> nn.RNNBase:
        return cast(nn.RNNBase, self.source_layer)

    def forward(
        self, x: Tensor, hx: Tensor | tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor | tuple[Tensor, ...]]:
        """As torch's own: sequences and, if any, a state `[layers, rows, hidden]` (or a pair of them)."""
        if not isinstance(x, Tensor) or x.ndim != 3:
            raise UntraceableError("a recurrent layer without a batch axis, or over packed sequences")
        x = self.slots.spread(x if self._source.batch_first else x.transpose(0, 1)).to(self.slots.dtype)
        given = self._given(hx, x)
        last: list[State] = []
        for layer in range(self._source.num_layers):
            ways = range(layer * self._directions, (layer + 1) * self._directions)
            ran = [self.cells[i].run(x, tuple(g[i] for g in given), i > ways.start) for i in ways]
            x = torch.cat([out for out, _ in ran], -1)
            last += [state for _, state in ran]
        ends = tuple(torch.stack(parts) for parts in zip(*last, strict=True))
        out = x if self._source.batch_first else x.transpose(0, 1)
        return out, (ends if self.states == 2 else ends[0])

    def _given(self, hx: Tensor | tuple[Tensor, Tensor] | None, x: Tensor) -> State:
        """The states to start from, each `[layers, members * batch, hidden]`."""
        if hx is None:
            zeros = x.new_zeros(len(self.cells), len(x), self._source.hidden_size)
            return (zeros,) * self.states
        given = (hx,) if isinstance(hx, Tensor) else hx
        return tuple(self.slots.spread(h.transpose(0, 1)).transpose(0, 1).to(x.dtype) for h in given)


class RecurrentCell(_Recurrent):
    """Stands in for `nn.RNNCell`, `nn.LSTMCell` and `nn.GRUCell`."""

    def __init__(self, source: nn.RNNCellBase, evolution: EvolvedById, slots: Slots) -> None:
        super().__init__(source, evolution, slots)
        self.states = 2 if isinstance(source, nn.LSTMCell) else 1
        self._hidden = source.hidden_size
        self.cells = [Cell(self, "", _step_of(source))]

    def forward(
        self, x: Tensor, hx: Tensor | tuple[Tensor, Tensor] | None = None
    ) -> Tensor | tuple[Tensor, ...]:
        """As torch's own: `[rows, inputs]` and, if any, a state `[rows, hidden]` (or a pair of them)."""
        if x.ndim != 2:
            raise UntraceableError("a recurrent cell without a batch axis")
        (cell,) = self.cells
        gates = cell.from_input(x)
        state = self._given(hx, gates)
        state = cell.step(gates, cell.from_state(state[0]), state)
        return state if self.states == 2 else state[0]

    def _given(self, hx: Tensor | tuple[Tensor, Tensor] | None, gates: Tensor) -> State:
        if hx is None:
            return (gates.new_zeros(len(gates), self._hidden),) * self.states
        given = (hx,) if isinstance(hx, Tensor) else hx
        return tuple(self.slots.spread(h).to(gates.dtype) for h in given)
