"""The members of an evolution strategy's epoch, in the slots of a population.

A slot is one member: the centre plus sigma times the noise of a pair, or minus it, or (sign 0) the centre
itself. What a member answers depends on itself and its observation alone: passes have fixed shapes.
"""

from __future__ import annotations

import logging
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from germline.behaviour import Range
from germline.eggroll import Evolution, LowRankForward, Space, UntraceableError, materialise, try_out
from germline.genome import Genome
from germline.pairs import Member, NoiseKey
from worker.networks.forward import family
from worker.networks.forward.base import DTYPES, ActiveRows, Outputs
from worker.networks.forward.family import FamilyForward
from worker.networks.forward.memory import Memory
from worker.networks.policies.recurrent import Recurrent, Unrolled
from worker.networks.policies.stages import Staged
from worker.networks.population import DensePopulation, Individual, choose
from worker.playing.engine import Evaluation, Key
from worker.playing.functions import FunctionEngine
from worker.tasks.base import Actions, Observations, Spaces, WeightsTask

logger = logging.getLogger(__name__)

_PASS_ROWS = 32  # rows of one pass: enough for the shared product, few enough for a core's cache

_TRIAL_ROWS = 4

_CENTRE_SIGN = 0


def centre_member(epoch: int) -> Member:
    """The name under which the centre itself plays."""
    return Member(epoch, 0, _CENTRE_SIGN)


class MemberForward(Protocol):
    """A forward pass that members share."""

    slots: int

    def refresh(self) -> None:
        """Take over the centre after it moved."""
        ...

    def begin(self, slot: int, row: int) -> None:
        """An episode begins on a row: forget the last one."""
        ...

    def bind(self, slot: int, key: NoiseKey, scale: float) -> None:
        """Make a slot the centre plus `scale` times the noise of `key`."""
        ...

    def __call__(self, observations: Observations, active: ActiveRows) -> Outputs:
        """Outputs of the active rows, as :class:`worker.networks.forward.base.Forward` gives them."""
        ...


class CentredFamily:
    """Members of a plain line of layers on a CPU. A :class:`MemberForward`."""

    def __init__(
        self, evolution: Evolution, policy: Staged, spaces: Spaces, slots: int, rows: int, dtype: torch.dtype
    ) -> None:
        """Allocate `slots` members."""
        self.slots = slots
        self._evolution = evolution
        self._family = FamilyForward(policy, evolution.space, spaces, slots, rows, dtype)
        self.refresh()

    def refresh(self) -> None:
        """Take over the centre."""
        self._family.set_base(0, self._evolution.centre)

    def bind(self, slot: int, key: NoiseKey, scale: float) -> None:
        """Make a slot a member."""
        self._family.bind(slot, 0, self._evolution.centre, key, scale)

    def begin(self, slot: int, row: int) -> None:
        """Nothing to forget: plain lines of layers remember nothing."""

    def __call__(self, observations: Observations, active: ActiveRows) -> Outputs:
        """Feed every pass that has an active row."""
        return self._family(observations, active)


class LowRankRows:
    """Members of any network whose layers can know the population. A :class:`MemberForward`."""

    def __init__(
        self, evolution: Evolution, spaces: Spaces, slots: int, rows: int, dtype: torch.dtype
    ) -> None:
        """Allocate `slots` members, rounded up to whole passes.

        Raises:
            UntraceableError: if the network's forward pass cannot be shared.
        """
        self._per_pass = max(1, min(slots, _PASS_ROWS // rows))
        self.slots = -(-slots // self._per_pass) * self._per_pass
        self._rows, self._outputs = rows, spaces.actions.outputs
        self._device = evolution.centre.device
        self._forward = LowRankForward(
            evolution.network, evolution.space, slots=self.slots, signs=1, dtype=dtype
        )
        network = evolution.network
        self._memory: Memory | None = None
        if isinstance(network, Recurrent):
            firsts = range(0, self.slots, self._per_pass)
            passes = [_Pass(network, self._forward, first, self._per_pass) for first in firsts]
            self._memory = Memory(passes, dtype, self._device)
        self._try(evolution, spaces)

    def refresh(self) -> None:
        """Take over the centre."""
        self._forward.refresh()

    def bind(self, slot: int, key: NoiseKey, scale: float) -> None:
        """Make a slot a member."""
        self._forward.bind(slot, key, scale)

    def _try(self, evolution: Evolution, spaces: Spaces) -> None:
        """Play a little, exactly and in this precision.

        Raises:
            UntraceableError: for whatever goes wrong.
            OutOfMemoryError: with half the slots it may go well; written-out weights need more memory still.
        """
        observations = _any_observations(spaces, max(_TRIAL_ROWS, self._per_pass * self._rows))
        rows = torch.from_numpy(observations).to(self._device)
        network, space, seen = evolution.network, evolution.space, rows[:_TRIAL_ROWS]
        if self._memory:
            network, seen = Unrolled(network), torch.stack((seen, seen.flip(0)), dim=1)
            space = Space.of(network, space.rank)
        try:
            try_out(network, space, seen, evolution.key(0), evolution.sigma)
            self._answers(0, rows[: self._per_pass * self._rows])
            if self._memory:
                self._memory.forget(0)
        except torch.OutOfMemoryError:
            raise
        except Exception as reason:  # written-out weights are right, or raise it again
            logger.info("materialised weights play %s: %s", type(evolution.network).__name__, reason)
            raise UntraceableError(str(reason)) from reason

    def begin(self, slot: int, row: int) -> None:
        """An episode begins."""
        if self._memory:
            number, place = divmod(slot, self._per_pass)
            self._memory.begin(number, place * self._rows + row)

    def __call__(self, observations: Observations, active: ActiveRows) -> Outputs:
        """Feed every pass that has an active row all of its rows."""
        outputs = np.zeros((self.slots, self._rows, self._outputs), np.float32)
        for number, first in enumerate(range(0, self.slots, self._per_pass)):
            window = slice(first, first + self._per_pass)
            if active[window].any():
                rows = torch.from_numpy(observations[window]).flatten(0, 1).to(self._device)
                answers = self._answers(number, rows).float().cpu().numpy()
                outputs[window] = answers.reshape(self._per_pass, self._rows, -1)
        return outputs

    def _answers(self, number: int, rows: Tensor) -> Tensor:
        """What the members of one pass answer to their rows."""
        if self._memory:
            return self._memory.step(number, rows)
        return self._forward(rows, number * self._per_pass, self._per_pass)


class _Pass(NamedTuple):
    """Some members of a network that remembers, as one such network."""

    network: Recurrent
    forward: LowRankForward
    first_slot: int
    slots: int

    def initial_state(self, rows: int) -> Tensor:
        """What an episode begins with."""
        return self.network.initial_state(rows)

    def __call__(self, observations: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Answers and the next state."""
        return self.forward.step(observations, state, self.first_slot, self.slots)


class MemberPopulation:
    """Members that share the centre's arithmetic. A :class:`worker.networks.population.Population`."""

    def __init__(
        self, evolution: Evolution, spaces: Spaces, slots: int, rows: int, dtype: torch.dtype
    ) -> None:
        """Allocate the noise of `slots` members.

        Raises:
            UntraceableError: if the network's forward pass cannot be shared.
        """
        self.rows = rows
        self.outputs: Outputs | None = None
        self._evolution, self._actions = evolution, spaces.actions
        self._forward: MemberForward
        network = evolution.network
        if isinstance(network, Staged) and family.plays(network, evolution.centre.device):
            self._forward = CentredFamily(evolution, network, spaces, slots, rows, dtype)
        else:
            self._forward = LowRankRows(evolution, spaces, slots, rows, dtype)
        self.slots = self._forward.slots

    def refresh(self) -> None:
        """Take over the centre after it moved."""
        self._forward.refresh()

    def fill(self, slot: int, genome: Individual, parent: Genome | None = None) -> None:
        """Give a slot a member's noise."""
        member = expect_member(genome)
        self._forward.bind(slot, self._evolution.key(member.pair), member.sign * self._evolution.sigma)

    def begin(self, slot: int, row: int) -> None:
        """An episode begins on a row."""
        self._forward.begin(slot, row)

    def act(self, observations: Observations, active: ActiveRows) -> Actions:
        """Feed every active row to its member, and choose."""
        self.outputs = self._forward(observations, active)
        return choose(self._actions, self.outputs)


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


class MemberFunction(FunctionEngine[Key]):
    """Measures members of an epoch by a function of their weights. An :class:`Engine`."""

    def __init__(
        self, task: WeightsTask, policy: nn.Module, evolution: Evolution, behaviour: Range | None = None
    ) -> None:
        """Measure around this evolution's centre."""
        super().__init__(task, policy, cache_bytes=0, behaviour=behaviour)
        self._evolution = evolution

    def _rebuild(self, evaluation: Evaluation[Key]) -> None:
        write_weights(self._evolution, expect_member(evaluation.genome), self._weights)


def member_population(
    evolution: Evolution, spaces: Spaces, slots: int, rows: int, precision: str
) -> MemberPopulation | MaterialisedMembers:
    """A population of members: with a shared forward pass if the network allows it."""
    try:
        return MemberPopulation(evolution, spaces, slots, rows, DTYPES[precision])
    except UntraceableError:
        return MaterialisedMembers(evolution, spaces, slots, rows, precision)


def _any_observations(spaces: Spaces, rows: int) -> Observations:
    """Observations of the right shape and type that differ from each other, the same on every machine."""
    random = np.random.default_rng(0)
    shape = (rows, *spaces.observation_shape)
    if spaces.observation_dtype == np.uint8:
        return random.integers(0, 256, shape, np.uint8)
    return random.standard_normal(shape, np.float32)


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
