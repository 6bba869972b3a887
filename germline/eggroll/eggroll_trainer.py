"""EGGROLL by a fitness function, with a past that can be replayed.

>>> trainer = EggrollTrainer(model, fitness_fn, Settings(pairs=128, seed=1))
>>> trainer.train(epochs=100, progress=True)
>>> model = trainer.best_model()
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from germline.eggroll import checkpoint
from germline.eggroll.ascent import Optimiser
from germline.eggroll.evolution import Evolution, TorchOptimiser
from germline.eggroll.settings import Settings
from germline.eggroll.space import Freeze
from germline.eggroll.trainer import Best, Callback, EpochReport, FitnessFn, Trainer
from germline.pairs import Member


class EggrollTrainer(Trainer):
    """EGGROLL (arXiv 2511.16652) by a fitness function; see the module's example.

    Attributes:
        evolution: the ask/tell face, with the settings.
        scores: every epoch's fitness, from which the whole run can be replayed.
    """

    def __init__(
        self,
        model: nn.Module,
        fitness_fn: FitnessFn,
        settings: Settings,
        *,
        optimiser: Optimiser | TorchOptimiser | str = "sgd",
        freeze: Freeze = (),
        callbacks: Iterable[Callback] = (),
    ) -> None:
        """As :class:`germline.eggroll.Evolution`, and what to maximise.

        Raises:
            ValueError: the shaping is ``weighted_ranks``, for a score is no ranking.
        """
        settings.expect_raw_fitness()
        super().__init__(model, fitness_fn, callbacks)
        self._settings, self._optimiser, self._freeze = settings, optimiser, freeze
        self.evolution = self._evolution_of(model)
        self.space = self.evolution.space
        self.scores: list[npt.NDArray[np.float64]] = []
        self._founder = copy.deepcopy(model)

    def _evolution_of(self, network: nn.Module) -> Evolution:
        return Evolution(network, self._settings, optimiser=self._optimiser, freeze=self._freeze)

    @property
    def epoch(self) -> int:
        """How many epochs are complete."""
        return self.evolution.epoch

    def members(self) -> Sequence[Member]:
        """Pair by pair, plus before minus."""
        return self.evolution.ask()

    def weights(self, member: Member) -> Tensor:
        """A member's exact weights; one of an earlier epoch is rebuilt by replaying the scores before it.

        The same member has the same bits, however it is rebuilt.
        """
        if member.epoch == self.epoch:
            return self.evolution.weights(member)
        if not 0 <= member.epoch < self.epoch:
            raise ValueError(f"member {member} is of no epoch from 0 to {self.epoch}")
        replayed = self._evolution_of(copy.deepcopy(self._founder))
        for fitness in self.scores[: member.epoch]:
            replayed.tell(fitness)
        return replayed.weights(member)

    def rebuild(self, name: str) -> nn.Module:
        """A copy of the model with the weights of the member of this name, such as ``12.345+``."""
        model = copy.deepcopy(self.model)
        self.space.write(self.weights(Member.parse(name)), model)
        return model

    def tell(self, fitness: npt.NDArray[np.float64]) -> None:
        """Move the model."""
        self.evolution.tell(fitness)
        self.scores.append(fitness)

    def reset(self) -> None:
        """Begin again with the weights of the start."""
        self.model.load_state_dict(self._founder.state_dict())
        self.evolution = self._evolution_of(self.model)
        self.history, self.scores, self.best = [], [], None

    def state_dict(self) -> dict[str, Any]:
        """Everything: the evolution's state, history, scores, best member, and the start."""
        return {
            "evolution": self.evolution.state_dict(),
            "founder": {name: value.clone() for name, value in self._founder.state_dict().items()},
            "history": [[*report[:4], str(report.best) if report.best else ""] for report in self.history],
            "scores": torch.from_numpy(np.array(self.scores, dtype=np.float64)),
            "best": [str(self.best.member), self.best.fitness] if self.best else [],
            "best_weights": self.best.weights.clone() if self.best else torch.empty(0),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; strict, see :meth:`germline.eggroll.Evolution.load_state_dict`."""
        missing = sorted(set(self.state_dict()) ^ set(state))
        if missing:
            raise ValueError(f"the state and this trainer differ in having {', '.join(missing)}")
        history = [
            EpochReport(epoch, mean, std, best, Member.parse(name) if name else None)
            for epoch, mean, std, best, name in state["history"]
        ]
        best = state["best"]
        self.evolution.load_state_dict(state["evolution"])
        self._founder.load_state_dict(state["founder"])
        self.history, self.scores = history, list(state["scores"].numpy().copy())
        self.best = Best(Member.parse(best[0]), best[1], state["best_weights"].clone()) if best else None

    def save(self, path: str | Path) -> None:
        """Write a checkpoint: tensors and JSON (safetensors), no pickle; complete or not at all."""
        checkpoint.save(self.state_dict(), Path(path))

    def load(self, path: str | Path) -> None:
        """Go on from a checkpoint."""
        self.load_state_dict(checkpoint.load(Path(path)))
