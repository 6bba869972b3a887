"""The members of an evolution strategy's epoch, in the slots of a population.

A slot is one member: the centre plus sigma times the noise of a pair, or minus it, or (sign 0) the centre
itself. What a member answers depends on itself and its observation alone: passes have fixed shapes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from germline.eggroll import Evolution, LowRankForward, UntraceableError, materialise
from germline.genome import Genome
from germline.pairs import Member
from worker.forward.base import DTYPES, ActiveRows, Outputs
from worker.functions import FunctionEngine
from worker.population import DensePopulation, Individual, choose
from worker.rollout import Evaluation
from worker.tasks.base import Actions, Observations, Spaces, WeightsTask

_PASS_ROWS = 32  # rows of one pass: enough for the shared product, few enough for a core's cache

_CENTRE_SIGN = 0


def centre_member(epoch: int) -> Member:
    """The name under which the centre itself plays."""
    return Member(epoch, 0, _CENTRE_SIGN)


class MemberPopulation:
    """Members that share the centre's arithmetic in one low-rank forward pass. A :class:`Population`."""

    def __init__(
        self, evolution: Evolution, spaces: Spaces, slots: int, rows: int, dtype: torch.dtype
    ) -> None:
        """Allocate the noise of `slots` members.

        Raises:
            UntraceableError: if the network's forward pass cannot be shared.
        """
        self._per_pass = max(1, min(slots, _PASS_ROWS // rows))
        self.slots = -(-slots // self._per_pass) * self._per_pass
        self.rows = rows
        self._evolution = evolution
        self._device = evolution.centre.device
        self._actions = spaces.actions
        self._outputs = spaces.actions.outputs
        self._forward = LowRankForward(
            evolution.network, evolution.space, slots=self.slots, signs=1, dtype=dtype
        )
        self._try(spaces)

    def refresh(self) -> None:
        """Take over the centre after it moved."""
        self._forward.refresh()

    def fill(self, slot: int, genome: Individual, parent: Genome | None = None) -> None:
        """Give a slot a member's noise."""
        member = expect_member(genome)
        self._forward.bind(slot, self._evolution.key(member.pair), float(member.sign) * self._evolution.sigma)

    def act(self, observations: Observations, active: ActiveRows) -> Actions:
        """Feed every pass that has an active row all of its rows."""
        outputs = np.zeros((self.slots, self.rows, self._outputs), np.float32)
        for first in range(0, self.slots, self._per_pass):
            window = slice(first, first + self._per_pass)
            if active[window].any():
                outputs[window] = self._play(observations[window], first)
        return choose(self._actions, outputs)

    def _play(self, observations: Observations, first: int) -> Outputs:
        rows = torch.from_numpy(observations).flatten(0, 1).to(self._device)
        answers: Outputs = self._forward(rows, first, self._per_pass).float().cpu().numpy()
        return answers.reshape(self._per_pass, self.rows, -1)

    def _try(self, spaces: Spaces) -> None:
        """Show it blank observations: a forward pass that mixes rows is found out now."""
        shape = (self.slots, self.rows, *spaces.observation_shape)
        blank: Observations = np.zeros(shape, spaces.observation_dtype)
        self.act(blank, np.ones(shape[:2], np.bool_))


class MaterialisedMembers(DensePopulation):
    """Members of networks whose forward pass cannot be shared: every one with its exact weights."""

    def __init__(self, evolution: Evolution, spaces: Spaces, slots: int, rows: int, precision: str) -> None:
        """Allocate whole networks."""
        device = evolution.centre.device
        super().__init__(evolution.network, spaces, slots, rows, precision=precision, device=device)
        self._evolution = evolution

    def refresh(self) -> None:
        """Nothing is kept of the centre."""

    def fill(self, slot: int, genome: Individual, parent: Genome | None = None) -> None:
        """Write a member's weights into a slot."""
        row = self.weights(slot)
        write_weights(self._evolution, expect_member(genome), row)
        self._forward.load(slot, row)


class MemberFunction(FunctionEngine):
    """Measures members of an epoch by a function of their weights. An :class:`Engine`."""

    def __init__(self, task: WeightsTask, policy: nn.Module, evolution: Evolution) -> None:
        """Measure around this evolution's centre."""
        super().__init__(task, policy, cache_bytes=0)
        self._evolution = evolution

    def _rebuild(self, evaluation: Evaluation) -> None:
        write_weights(self._evolution, expect_member(evaluation.genome), self._weights)


def member_population(
    evolution: Evolution, spaces: Spaces, slots: int, rows: int, precision: str
) -> MemberPopulation | MaterialisedMembers:
    """A population of members: with a shared forward pass if the network allows it."""
    try:
        return MemberPopulation(evolution, spaces, slots, rows, DTYPES[precision])
    except UntraceableError:
        return MaterialisedMembers(evolution, spaces, slots, rows, precision)


def write_weights(evolution: Evolution, member: Member, out: torch.Tensor) -> None:
    """A member's exact weights, `[size]` float32, into `out`; sign 0 is the centre."""
    if member.sign == _CENTRE_SIGN:
        out.copy_(evolution.centre)
    else:
        key = evolution.key(member.pair)
        materialise(out, evolution.centre, evolution.space, key, member.sign * evolution.sigma)


def expect_member(individual: Individual) -> Member:
    """The individual as a member. Raises TypeError if it is another kind."""
    if not isinstance(individual, Member):
        raise TypeError(f"{individual} is no member of an epoch; allowed here: germline.pairs.Member")
    return individual
