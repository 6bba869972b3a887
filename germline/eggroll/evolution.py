"""Ask/tell: the state of an evolution and its one pure step, from scores to the next centre.

>>> evolution = Evolution(network, Settings(pairs=256, seed=1))
>>> scores = [play(evolution.weights(member)) for member in evolution.ask()]
>>> evolution.tell(scores)

The state after any number of epochs is a function of (first centre, settings, scores): whoever replays the
scores holds the same bits, and proves it with :meth:`Evolution.digest`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from germline import noise, shaping, weights
from germline import pairs as pairing
from germline.eggroll import update
from germline.eggroll.ascent import Adam, Moments, Optimiser, Sgd, settings_of
from germline.eggroll.ascent import optimiser as named_optimiser
from germline.eggroll.exact import materialise, materialise_drawn
from germline.eggroll.schedules import value_at
from germline.eggroll.settings import Settings
from germline.eggroll.space import Freeze, Space
from germline.low_rank import Drawn
from germline.pairs import Member, NoiseKey

FORMAT_VERSION = 1
TorchOptimiser = Callable[[list[nn.Parameter]], torch.optim.Optimizer]
_VALUES_TO_KEEP = 1 << 22  # of an epoch's noise between play and update: 16 MB


class Told(NamedTuple):
    """What an epoch's scores say.

    Attributes:
        epoch: the epoch that was told.
        mean: mean fitness of the members that counted; NaN if none did.
        std: their standard deviation.
        best: the member with the best fitness; None if no member counted.
        best_fitness: its fitness.
        members: how many members counted.
    """

    epoch: int
    mean: float
    std: float
    best: Member | None
    best_fitness: float
    members: int


class Evolution:
    """EGGROLL (arXiv 2511.16652) around the weights of a network.

    Attributes:
        settings: what shapes the run.
        space: what evolves.
        centre: `[space.size]` float32, the current centre; the network's weights are a copy of it.
        epoch: how many epochs have been told.
        moments: what the optimiser remembers.
        turn: which of several centres that take turns this one is; 0 where there is one.
        others: the centres whose turn it is not, and what the optimiser remembers of each.
    """

    def __init__(
        self,
        network: nn.Module,
        settings: Settings,
        *,
        optimiser: Optimiser | TorchOptimiser | str = "sgd",
        freeze: Freeze = (),
    ) -> None:
        """Start from the network's present weights.

        Args:
            network: moved in place by every update: weights that others write into it are lost then.
            settings: what shapes the run.
            optimiser: ``sgd``, ``momentum``, ``adam`` or ``adamw``; or one with its own settings; or, for
                those who do not need equal bits everywhere, a function from parameters to a
                `torch.optim.Optimizer`.
            freeze: what does not evolve, see :meth:`Space.of`.
        """
        self.network = network
        self.settings = settings
        self.space = Space.of(network, settings.rank, freeze)
        self.centre = self.space.read(network)
        self.epoch = 0
        self.moments = Moments()
        self.turn = 0
        self.others: dict[int, tuple[Tensor, Moments]] = {}
        self.optimiser = named_optimiser(optimiser) if isinstance(optimiser, str) else optimiser
        is_rule = hasattr(self.optimiser, "step") and not isinstance(self.optimiser, type)
        self.torch_optimiser = None if is_rule else self._make(self.optimiser)
        self._kept: Drawn | None = None

    @property
    def sigma(self) -> float:
        """This epoch's standard deviation of the noise."""
        return value_at(self.settings.sigma, self.epoch)

    @property
    def learning_rate(self) -> float:
        """This epoch's step size."""
        return value_at(self.settings.learning_rate, self.epoch)

    def ask(self) -> list[Member]:
        """This epoch's members, pair by pair, plus before minus: the order of its scores."""
        return pairing.members(self.epoch, 0, self.settings.pairs)

    def key(self, pair: int = 0) -> NoiseKey:
        """Where this epoch's noise of a pair lies."""
        word = pairing.noise_epoch(self.epoch, self.settings.noise_reuse)
        return NoiseKey(self.settings.seed, word, pair)

    def weights(self, member: Member) -> Tensor:
        """A member's exact weights, `[space.size]` float32.

        Raises:
            ValueError: if it is no member of the present epoch: only a replay knows an earlier centre.
        """
        self._check(member)
        drawn, power = self.draw(), member.sign * self.sigma
        out = torch.empty_like(self.centre)
        if drawn:
            materialise_drawn(out.unsqueeze(0), self.centre, self.space, drawn, member.pair, power)
        else:
            materialise(out, self.centre, self.space, self.key(member.pair), power)
        return out

    def draw(self) -> Drawn | None:
        """The noise of all pairs, if it is small enough to keep until the update; else None."""
        if self.space.values_per_pair * self.settings.pairs > _VALUES_TO_KEEP:
            return None
        if self._kept is None or self._kept.key != self.key():
            self._kept = Drawn(self.key(), self.settings.pairs, self.centre.device)
        return self._kept

    @torch.no_grad()
    def tell(self, fitness: npt.ArrayLike | Tensor) -> Told:
        """Take the epoch's scores, move the centre, and go on to the next epoch.

        Args:
            fitness: `[2 * pairs]` in the order of :meth:`ask`, always maximised; NaN for a missing member;
                a tensor may be of any type and on any device.
                A pair with a missing or infinite score counts for nothing. Where no score differs, nothing
                moves.

        Raises:
            ValueError: if it is not one number for each member.
        """
        listed = fitness.detach().double().cpu() if isinstance(fitness, Tensor) else fitness
        scores = np.asarray(listed, dtype=np.float64)
        if scores.shape != (2 * self.settings.pairs,):
            raise ValueError(
                f"expected {2 * self.settings.pairs} fitness scores, one for each member; "
                f"got shape {scores.shape}"
            )
        shaped = shaping.shape(scores, self.settings.shaping, self.settings.group_pairs)
        told = self._report(scores, shaped.members)
        if shaped.weights.any():
            drawn = self.draw() if self._kept else None
            self._move(update.estimate(self.space, self.key(), shaped, self.sigma, drawn, self.centre.device))
        self.epoch += 1
        return told

    @torch.no_grad()
    def add_centre(self, centre: Tensor) -> None:
        """Let one more centre take turns, `[space.size]` float32; its number is how many there were."""
        self.others[1 + len(self.others)] = centre.to(self.centre).clone(), Moments()

    @torch.no_grad()
    def turn_to(self, number: int) -> None:
        """Go on around another one of the centres that take turns; to this one is nothing.

        Raises:
            ValueError: there is no such centre.
        """
        if number == self.turn:
            return
        if number not in self.others:
            raise ValueError(f"next_centre is {number}; there are {1 + len(self.others)} centres, from 0")
        self.others[self.turn] = self.centre.clone(), self.moments
        centre, self.moments = self.others.pop(number)
        self.centre.copy_(centre)
        self.space.write(self.centre, self.network)
        self.turn = number

    def digest(self) -> str:
        """A short digest of the centre: equal on every machine that was told the same."""
        return weights.digest(self.centre)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next epoch depends on; plain values and tensors, safe for `torch.save`."""
        state: dict[str, Any] = {
            "format": FORMAT_VERSION,
            "noise": noise.VERSION,
            "settings": asdict(self.settings),
            "optimiser": settings_of(self.optimiser),
            "shapes": {p.name: list(p.shape) for p in self.space},
            "epoch": self.epoch,
            "steps": self.moments.steps,
            "centre": self.centre.clone(),
            "moments": {name: vector.clone() for name, vector in self.moments.vectors.items()},
            "network": {name: value.clone() for name, value in self.network.state_dict().items()},
            "digest": self.digest(),
        }
        if self.torch_optimiser:
            state["torch_optimiser"] = copy.deepcopy(self.torch_optimiser.state_dict())
        return state

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of an evolution with the same settings, optimiser and parameters.

        Raises:
            ValueError: if the state is another version's or another evolution's, incomplete or damaged;
                nothing has changed then.
        """
        mine = self.state_dict()
        if state.get("format") != FORMAT_VERSION:
            raise ValueError(f"the state has format {state.get('format')!r}; this is format {FORMAT_VERSION}")
        if set(state) != set(mine):
            odd = sorted(set(state) ^ set(mine))
            raise ValueError(f"the state and this evolution differ in having {', '.join(odd)}")
        for part in ("noise", "settings", "optimiser", "shapes"):
            if state[part] != mine[part]:
                raise ValueError(f"{part} of the state: {state[part]}; of this evolution: {mine[part]}")
        sizes, expected = ({n: tuple(v.shape) for n, v in s["network"].items()} for s in (state, mine))
        if sizes != expected:
            raise ValueError(f"the network of the state has {sizes}; this evolution's has {expected}")
        centre = state["centre"].to(self.centre)
        if centre.shape != self.centre.shape or weights.digest(centre) != state["digest"]:
            raise ValueError(
                f"the centre of the state has not the digest {state['digest']} that it had when saved"
            )
        self.network.load_state_dict(state["network"], strict=True)
        self._restore(state, centre)

    def _restore(self, state: Mapping[str, Any], centre: Tensor) -> None:
        self.epoch, self.centre, self._kept = int(state["epoch"]), centre.clone(), None
        vectors = {name: vector.to(centre.device).clone() for name, vector in state["moments"].items()}
        self.moments = Moments(int(state["steps"]), vectors)
        self.space.write(self.centre, self.network)
        if self.torch_optimiser:
            self.torch_optimiser.load_state_dict(copy.deepcopy(state["torch_optimiser"]))

    def _move(self, gradient: Tensor) -> None:
        """Let the optimiser move the centre, and the network with it."""
        if self.torch_optimiser:
            self._move_with_torch(self.torch_optimiser, gradient)
            return
        rule = cast(Optimiser, self.optimiser)
        moved = rule.step(self.centre.double(), gradient, self.moments, self.learning_rate)
        self.centre.copy_(moved)
        self.space.write(self.centre, self.network)

    def _move_with_torch(self, chosen: torch.optim.Optimizer, gradient: Tensor) -> None:
        """Hand the estimate, downhill, to an optimiser of torch, which has its own learning rate."""
        downhill = self.space.views(gradient.neg_())
        named = dict(self.network.named_parameters())
        for name, value in downhill.items():
            named[name].grad = value.to(named[name].dtype)
        chosen.step()
        chosen.zero_grad(set_to_none=True)
        self.centre.copy_(self.space.read(self.network))

    def _make(self, make: object) -> torch.optim.Optimizer:
        """Torch's optimiser of the evolved parameters, from a function or from its class."""
        named = dict(self.network.named_parameters())
        made: object = None
        if callable(make) and make not in (Sgd, Adam):
            made = make([named[p.name] for p in self.space])
        if not isinstance(made, torch.optim.Optimizer):
            raise ValueError(
                f"optimiser is {make!r}; allowed: a name, an optimiser such as Adam(), or a function from "
                f"parameters to a torch.optim.Optimizer"
            )
        return made

    def _report(self, scores: npt.NDArray[np.float64], members: int) -> Told:
        by_pair = scores.reshape(-1, 2)
        counted = np.where(np.isfinite(by_pair).all(axis=1, keepdims=True), by_pair, np.nan).ravel()
        if not members:
            return Told(self.epoch, math.nan, math.nan, None, math.nan, 0)
        best = int(np.nanargmax(counted))
        member = Member(self.epoch, best // 2, pairing.MINUS if best % 2 else pairing.PLUS)
        mean, std = float(np.nanmean(counted)), float(np.nanstd(counted))
        return Told(self.epoch, mean, std, member, float(counted[best]), members)

    def _check(self, member: Member) -> None:
        if member.epoch != self.epoch or not 0 <= member.pair < self.settings.pairs:
            raise ValueError(
                f"member {member} is not one of epoch {self.epoch}, "
                f"whose pairs are 0 to {self.settings.pairs - 1}"
            )
        if member.sign not in (pairing.PLUS, pairing.MINUS):
            raise ValueError(f"member {member.epoch}.{member.pair} has sign {member.sign}; allowed: 1 and -1")
