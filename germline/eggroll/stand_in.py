"""What every population-aware layer is: a layer in place of another, which knows its own noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from germline.eggroll.slots import DenseNoise, MatrixNoise, Slots, UntraceableError
from germline.eggroll.space import Evolved
from germline.low_rank import Drawn

EvolvedById = Mapping[int, Evolved]  # by id of the nn.Parameter, so that tied weights are one


_ABOUT = frozenset(
    ("dtype", "shape", "device", "ndim", "requires_grad", "dim", "size", "numel", "is_floating_point")
)


class Phantom(nn.Parameter):
    """What a network finds that reads a layer's weight itself: shape, type and device, and no values.

    Such a network would miss the members' noise, so computing with it says that it cannot be played this way.
    """

    @classmethod
    def like(cls, tensor: Tensor, dtype: torch.dtype) -> Phantom:
        """One with this tensor's shape and device, and no memory."""
        nothing = torch.empty((), dtype=dtype, device=tensor.device).expand(tensor.shape)
        return Tensor._make_subclass(cls, nothing, False)

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Answer questions about it; refuse to compute."""
        name = getattr(
            getattr(func, "__self__", None), "__name__", func.__name__
        )  # of a property or a method
        if name in _ABOUT:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **(kwargs or {}))
        raise UntraceableError(f"the network computes with a layer's weight itself ({name})")


class StandIn(nn.Module):
    """A layer in place of another: it has the other's settings, and phantoms for weights."""

    def __init__(self, source: nn.Module, evolution: EvolvedById, slots: Slots) -> None:
        super().__init__()
        self.__dict__["source"] = source  # not a child: its weights are not ours
        self.slots = slots
        self.evolution = evolution
        self._noises: list[MatrixNoise | DenseNoise] = []
        self.eval()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # never the other's private parts
            raise AttributeError(f"{type(self).__name__} has no attribute {name}")
        value = getattr(self.source_layer, name)
        if isinstance(value, Tensor):
            value = Phantom.like(value, self.slots.dtype)
            self.__dict__[name] = value  # from now on found without asking
        return value

    def evolved(self, name: str) -> Evolved | None:
        """How a parameter of the source evolves, if it does."""
        parameter = getattr(self.source_layer, name, None)
        return None if parameter is None else self.evolution.get(id(parameter))

    def centre(self, name: str) -> Tensor | None:
        """A parameter of the source as this layer computes with it; the same memory where types agree."""
        parameter: Tensor | None = getattr(self.source_layer, name, None)
        return None if parameter is None else parameter.detach().to(self.slots.dtype)

    def weight_of_centre(self, name: str = "weight") -> Tensor:
        """The same for one that this layer cannot do without."""
        weight = self.centre(name)
        if weight is None:
            raise UntraceableError(f"{type(self.source_layer).__name__} has no {name}")
        return weight

    def matrix_noise(
        self, weight: str = "weight", bias: str = "", arrange: Callable[[Tensor], Tensor] = lambda b: b
    ) -> MatrixNoise | None:
        """The noise of a matrix and its bias, bound with this layer from now on; None if neither evolves."""
        own_weight, own_bias = self.evolved(weight), self.evolved(bias)
        if not own_weight and not own_bias:
            return None
        inputs = self.weight_of_centre(weight)[0].numel()
        noise = MatrixNoise(own_weight, own_bias, self.slots, inputs, arrange)
        self._noises.append(noise)
        return noise

    def dense_noise(self, name: str) -> DenseNoise | None:
        """The noise of what is no matrix, bound with this layer from now on; None if it does not evolve."""
        own = self.evolved(name)
        if not own:
            return None
        if own.noise.a:
            raise UntraceableError(f"{own.name} of shape {own.shape} is a matrix, not a gain")
        noise = DenseNoise(own, self.slots)
        self._noises.append(noise)
        return noise

    @property
    def source_layer(self) -> nn.Module:
        """The layer that this one stands in for."""
        source: nn.Module = self.__dict__["source"]
        return source

    def refresh(self) -> None:
        """Take over the centre's weights."""

    def bind(self, first: int, drawn: Drawn, scale: float) -> None:
        """Give the slots from `first` on the noise of the drawn pairs, times `scale`."""
        for noise in self._noises:
            noise.bind(first, drawn, scale)
