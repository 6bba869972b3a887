"""Follows chance through a constructor: which tensors it draws, and by which laws.

All that torch computes meanwhile passes by here. A tensor that `uniform_`, `normal_` and the like fill has a
law, which scaling and shifting move; what is written over it without chance is known; and what else comes of
chance, such as an orthogonal matrix, has no law.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from germline.laws import Law, Lawless, Start

_FILLS = ("zero_", "fill_", "copy_")
_COPIES = ("clone", "_to_copy", "copy_")
_EMPTIES = ("empty", "empty_like", "empty_strided", "empty_permuted", "new_empty", "new_empty_strided")
_LAW_ARGUMENTS = {"uniform_": ("from", "to"), "normal_": ("mean", "std"), "normal": ("mean", "std")}
_MOVES: dict[str, Callable[[float], tuple[float, float]]] = {  # the second argument as scale and shift
    "mul": lambda number: (number, 0.0),
    "div": lambda number: (1 / number if number else math.nan, 0.0),
    "add": lambda number: (1.0, number),
    "sub": lambda number: (1.0, -number),
    "rsub": lambda number: (-1.0, number),
}


@dataclass(slots=True)
class _Trace:
    """What is known of a memory that chance had a hand in.

    Attributes:
        memory: kept, so that its address is not used again.
        law: of all its values; None if they have none, for the `reason`.
        reason: how they came about.
        is_given: `[values]`, which of them were written without chance since then; None for none.
    """

    memory: torch.UntypedStorage
    law: Law | None
    reason: str
    is_given: Tensor | None = None


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Watches what is computed while it is entered."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._traces: dict[int, _Trace] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: torch would import its whole compiler, for seconds, to keep it away from here."""
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Compute, and note what became of chance."""
        result = func(*args, **(kwargs or {}))
        self._note(_Call(func, args, kwargs or {}, result))
        return result

    def distrust(self, tensor: Tensor, reason: str) -> None:
        """Note that a tensor has no law, for a reason that goes on from its name."""
        self._traces[_key(tensor)] = _Trace(tensor.untyped_storage(), None, reason)

    def start_of(self, tensor: Tensor) -> Start | Lawless:
        """How a tensor starts that was made meanwhile, or before."""
        trace = self._traces.get(_key(tensor))
        values = tensor.detach().reshape(-1).to(torch.float32, copy=True)
        if trace is None or not values.numel():
            return Start(None, values)
        is_given = None if trace.is_given is None else _seen_as(trace.is_given, tensor).reshape(-1).clone()
        if is_given is not None and bool(is_given.all()):
            return Start(None, values)
        if trace.law is None or not _is_whole(tensor):
            return Lawless(trace.reason)
        return Start(trace.law) if is_given is None else Start(trace.law, values, is_given)

    def _note(self, call: _Call) -> None:
        if call.law is not None:
            self._draw((*call.made, *call.written)[0], call)
        elif call.is_chance:
            for tensor in (*call.made, *call.written):
                self.distrust(tensor, f"is drawn by {call.name}")
        elif call.name in _EMPTIES:
            for tensor in call.made:
                self.distrust(tensor, "is memory that nobody wrote")
        else:
            self._follow(call)

    def _draw(self, tensor: Tensor, call: _Call) -> None:
        law = call.law if _is_whole(tensor) else None
        self._traces[_key(tensor)] = _Trace(
            tensor.untyped_storage(), law, f"is drawn in parts by {call.name}"
        )

    def _follow(self, call: _Call) -> None:
        """A computation without chance of its own: what it makes of what chance made."""
        sources = [tensor for tensor in call.read if _key(tensor) in self._traces]
        for tensor in call.written:
            if sources:
                self._inherit(tensor, sources, call)
            elif _key(tensor) in self._traces:
                self._overwrite(tensor, call)
        if sources:
            for tensor in call.made:
                self._inherit(tensor, sources, call)

    def _inherit(self, tensor: Tensor, sources: list[Tensor], call: _Call) -> None:
        """A copy, or a scaled and shifted one, has a law; nothing else that chance goes into has."""
        source = sources[0]
        trace, moved = self._traces[_key(source)], call.moved()
        is_like = call.name in _COPIES or (moved is not None and call.is_first(source))
        is_whole = _is_whole(tensor) and _is_whole(source) and tensor.stride() == source.stride()
        if len(sources) > 1 or not is_like or not is_whole or tensor.shape != source.shape:
            self.distrust(tensor, f"is computed from chance by {call.name}")
            return
        law = trace.law and (trace.law.moved(*moved) if moved else trace.law)
        is_given = None if trace.is_given is None else trace.is_given.clone()
        self._traces[_key(tensor)] = _Trace(tensor.untyped_storage(), law, trace.reason, is_given)

    def _overwrite(self, tensor: Tensor, call: _Call) -> None:
        """Write without chance over what chance made."""
        trace, moved = self._traces[_key(tensor)], call.moved()
        if call.name in _FILLS or call.is_out:
            if trace.is_given is None:
                trace.is_given = torch.zeros(_values_in(tensor), dtype=torch.bool)
            _seen_as(trace.is_given, tensor).fill_(True)
        elif moved is not None and trace.law is not None and _is_whole(tensor):
            trace.law = trace.law.moved(*moved)
        else:
            self.distrust(tensor, f"is computed from chance by {call.name}")


class _Call:
    """One operation of torch.

    Attributes:
        name: such as "uniform_".
        is_chance: whether it reads torch's generator.
        is_out: whether it writes all of a tensor that the caller gave for its result.
        written: tensors that it writes.
        read: tensors that it only reads.
        made: tensors in memory of their own that it gives back.
        law: of what it draws, if that has one.
    """

    def __init__(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: object) -> None:
        self.name: str = func._schema.name.rpartition("::")[2]
        self.is_chance = torch.Tag.nondeterministic_seeded in func.tags
        self.is_out = any(argument.is_out for argument in func._schema.arguments)
        self._kwargs = kwargs
        self._given = dict(_bound(func, args, kwargs))
        self._first, self._second = (*args, None, None)[:2]
        self.written: list[Tensor] = []
        self.read: list[Tensor] = []
        for argument in func._schema.arguments:
            is_written = argument.alias_info is not None and argument.alias_info.is_write
            (self.written if is_written else self.read).extend(_tensors(self._given[argument.name]))
        old = {_key(tensor) for tensor in (*self.written, *self.read)}
        self.made = [tensor for tensor in _tensors(result) if _key(tensor) not in old]
        self.law = self._law() if self.is_chance else None

    def is_first(self, tensor: Tensor) -> bool:
        """Whether this is its first argument."""
        return tensor is self._first

    def moved(self) -> tuple[float, float] | None:
        """Scale and shift, if that is all that it does to its first argument."""
        number = None if self._kwargs else _number(self._second)
        if number is None:
            return None
        move = _MOVES.get(self.name.removesuffix("_"))
        return None if move is None else move(number)

    def _law(self) -> Law | None:
        a, b = (_number(self._given.get(name)) for name in _LAW_ARGUMENTS.get(self.name, ("", "")))
        match self.name:
            case "uniform_" if a is not None and b is not None:
                return Law((a + b) / 2, (b - a) / 2, is_uniform=True)
            case "normal_" | "normal" if a is not None and b is not None:
                return Law(a, b)
            case "rand" | "rand_like":
                return Law(0.5, 0.5, is_uniform=True)
            case "randn" | "randn_like":
                return Law(0.0, 1.0)
        return None


def _bound(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Every argument of a call by name, defaults too."""
    for place, argument in enumerate(func._schema.arguments):
        default = argument.default_value if argument.has_default_value() else None
        yield argument.name, args[place] if place < len(args) else kwargs.get(argument.name, default)


def _tensors(value: object) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor) and leaf.layout is torch.strided)


def _number(value: object) -> float | None:
    if isinstance(value, Tensor) and value.ndim == 0:
        return float(value.detach())
    return float(value) if isinstance(value, int | float) else None


def _key(tensor: Tensor) -> int:
    """The memory that a tensor lives in."""
    return int(tensor.untyped_storage()._cdata)


def _values_in(tensor: Tensor) -> int:
    return tensor.untyped_storage().nbytes() // tensor.element_size()


def _is_whole(tensor: Tensor) -> bool:
    """Whether a tensor is all of its memory."""
    return tensor.numel() == _values_in(tensor)


def _seen_as(flags: Tensor, tensor: Tensor) -> Tensor:
    """A memory's flags in the shape of one of its tensors."""
    return flags.as_strided(tensor.size(), tensor.stride(), tensor.storage_offset())
