"""The fitness of every member: by the shared low-rank pass where it is right, else member by member."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from germline.compat.population import Generation, Population
from germline.compat.weighing import Floats
from germline.eggroll import losses
from germline.eggroll.batch_player import BatchPlayer, gathered
from germline.eggroll.module_state import ModuleState

LossFn = Callable[[Any, Any], Any]
FitnessFn = Callable[[nn.Module], float]

logger = logging.getLogger(__name__)


class Evaluator:
    """Plays one population, generation after generation."""

    def __init__(self) -> None:
        self._players: dict[int, BatchPlayer] = {}  # by members of a noise
        self._one_by_one = False

    @torch.no_grad()
    def on_batch(
        self, population: Population, generation: Generation, inputs: object, loss_fn: LossFn, targets: object
    ) -> Floats:
        """Minus each member's loss on the same inputs, `[members]`, in the order of the population."""
        if not self._one_by_one and isinstance(inputs, Tensor) and inputs.dim() and len(inputs):
            try:
                return self._together(population, generation, inputs, loss_fn, targets)
            except torch.OutOfMemoryError:
                raise
            except (
                RuntimeError,
                TypeError,
                ValueError,
            ) as reason:  # the loss's own comes again
                logger.info("members are played one by one: %s", reason)
        fitness = _each(population, generation, inputs, loss_fn, targets)
        self._one_by_one = True
        return fitness

    @torch.no_grad()
    def by_function(self, population: Population, generation: Generation, fitness_fn: FitnessFn) -> Floats:
        """What a function says of the model with each member's weights; the model is left as it was."""
        model, space = population.network, population.space
        before, centre = ModuleState(model), space.read(model)
        fitness = np.empty(generation.members)
        try:
            for i, weights in enumerate(population.members(generation)):
                space.write(weights, model)
                model.eval()
                fitness[i] = float(fitness_fn(model))
                before.put_back()
        finally:
            before.put_back()
            space.write(centre, model)
        return fitness

    def _together(
        self, population: Population, generation: Generation, inputs: Tensor, loss_fn: LossFn, targets: Any
    ) -> Floats:
        if generation.signs not in self._players:
            self._players[generation.signs] = _player(population, generation.signs)
        outputs = self._players[generation.signs].outputs(
            inputs,
            population.key(generation),
            generation.noises,
            generation.sigma,
            population.drawn(generation),
        )
        scores = [-_losses(loss_fn, out, targets) for out in gathered(outputs)]
        return torch.cat(scores).cpu().numpy()


def _losses(loss_fn: LossFn, outputs: Tensor, targets: Any) -> Tensor:
    wide = outputs if outputs.dtype == torch.float64 else outputs.float()
    return losses.of_members(loss_fn, wide, targets).double()


def _player(population: Population, signs: int) -> BatchPlayer:
    """Compute in the type that the parameters have, or in float32 if they have several."""
    dtypes = {p.dtype for p in population.network.parameters()}
    dtype = dtypes.pop() if len(dtypes) == 1 else torch.float32
    return BatchPlayer(population.network, population.space, signs=signs, dtype=dtype)


def _each(
    population: Population, generation: Generation, inputs: object, loss_fn: LossFn, targets: object
) -> Floats:
    """Member by member, for models that take or give something else than one tensor of rows."""
    before = ModuleState(population.network)
    population.network.eval()
    try:
        scores = [
            -float(loss_fn(functional_call(population.network, tensors, (inputs,)), targets))
            for tensors in _tensors(population, generation)
        ]
    finally:
        before.put_back()
    return np.array(scores, dtype=np.float64)


def _tensors(population: Population, generation: Generation) -> Iterator[dict[str, Tensor]]:
    """Each member's parameters, and buffers of its own."""
    model, space = population.network, population.space
    own = {name: parameter.detach() for name, parameter in model.named_parameters()}
    for weights in population.members(generation):
        views = {name: view.to(own[name].dtype) for name, view in space.views(weights).items()}
        yield {**own, **views, **{name: buffer.clone() for name, buffer in model.named_buffers()}}
