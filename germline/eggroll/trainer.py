"""Training by a function, `fitness_fn(model) -> float`: what every strategy's trainer does.

Here are the history, the best member, callbacks and the care for the model; which members there are, and how
they move the model, is a subclass's business.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from germline.eggroll.module_state import ModuleState
from germline.eggroll.space import Space
from germline.pairs import Member

FitnessFn = Callable[[nn.Module], float]
Callback = Callable[["Trainer", "EpochReport"], None]


class EpochReport(NamedTuple):
    """What an epoch of training came to.

    Attributes:
        epoch: its number, from 0.
        mean_fitness: of its members.
        std_fitness: their standard deviation.
        best_fitness: of its best member.
        best: that member.
    """

    epoch: int
    mean_fitness: float
    std_fitness: float
    best_fitness: float
    best: Member | None


class Best(NamedTuple):
    """The member with the best fitness so far, and its weights as they were."""

    member: Member
    fitness: float
    weights: Tensor


class StopTraining(Exception):  # noqa: N818 - it is a wish, not an error
    """Raised by a callback to end :meth:`Trainer.train` after the epoch."""


class Trainer(ABC):
    """Plays members one after the other through `fitness_fn`, and keeps the books.

    The model is set to each member's weights and then put back: parameters, buffers and training flags are as
    they were before, so statistics of one member never reach another.

    Attributes:
        model: moved by every epoch.
        fitness_fn: of the model with a member's weights; the higher the better.
        space: what evolves.
        history: one report for each epoch.
        best: the best member so far; None before the first.
        callbacks: called with (trainer, report) after every epoch.
    """

    space: Space

    def __init__(self, model: nn.Module, fitness_fn: FitnessFn, callbacks: Iterable[Callback] = ()) -> None:
        self.model = model
        self.fitness_fn = fitness_fn
        self.callbacks = list(callbacks)
        self.history: list[EpochReport] = []
        self.best: Best | None = None

    @property
    @abstractmethod
    def epoch(self) -> int:
        """How many epochs are complete."""

    @abstractmethod
    def members(self) -> Sequence[Member]:
        """The present epoch's members, in the order of their scores."""

    @abstractmethod
    def weights(self, member: Member) -> Tensor:
        """A present member's weights, `[space.size]` float32."""

    @abstractmethod
    def tell(self, fitness: npt.NDArray[np.float64]) -> None:
        """Move the model by the scores of all members, and go on to the next epoch."""

    def step(self) -> EpochReport:
        """One epoch: play every member, then move the model."""
        members = self.members()
        fitness = self.evaluate(members)
        report = _report(self.epoch, members, fitness)
        if report.best and (self.best is None or report.best_fitness > self.best.fitness):
            self.best = Best(report.best, report.best_fitness, self.weights(report.best))
        self.tell(fitness)
        self.history.append(report)
        for callback in self.callbacks:
            callback(self, report)
        return report

    def train(self, epochs: int, *, progress: bool = False) -> list[EpochReport]:
        """So many epochs more, or fewer if a callback raises :class:`StopTraining`.

        Args:
            epochs: how many.
            progress: whether to show a bar.

        Returns:
            The reports of these epochs.
        """
        if epochs < 0:
            raise ValueError(f"epochs is {epochs}; allowed: 0 or more")
        first = len(self.history)
        with ProgressBar(epochs, shown=progress) as bar:
            for _ in range(epochs):
                try:
                    report = self.step()
                except StopTraining:
                    break
                bar.advance(report)
        return self.history[first:]

    def evaluate(self, members: Sequence[Member]) -> npt.NDArray[np.float64]:
        """The fitness of members, `[members]`; the model is afterwards as it was before."""
        before = ModuleState(self.model)
        centre = self.space.read(self.model)
        fitness = np.empty(len(members))
        try:
            for i, member in enumerate(members):
                self.space.write(self.weights(member), self.model)
                with torch.no_grad():
                    fitness[i] = _number(self.fitness_fn(self.model), member)
                before.put_back()
        finally:
            before.put_back()
            self.space.write(centre, self.model)
        return fitness

    def best_model(self) -> nn.Module:
        """A copy of the model with the weights of the best member so far: it has the best fitness.

        Raises:
            RuntimeError: before the first epoch.
        """
        if self.best is None:
            raise RuntimeError("there is no best member before the first epoch: call step() or train() first")
        model = copy.deepcopy(self.model)
        self.space.write(self.best.weights, model)
        return model


class ProgressBar:
    """One line that says how far training is."""

    def __init__(self, epochs: int, *, shown: bool) -> None:
        self._epochs, self._shown = epochs, shown

    def __enter__(self) -> ProgressBar:
        if self._shown:
            from rich.progress import Progress  # noqa: PLC0415 - only those who look at it pay for it

            self._progress = Progress()
            self._progress.start()
            self._task = self._progress.add_task("epochs", total=self._epochs)
        return self

    def advance(self, report: EpochReport) -> None:
        """One epoch more."""
        if self._shown:
            text = f"epoch {report.epoch}: mean {report.mean_fitness:.4g}, best {report.best_fitness:.4g}"
            self._progress.update(self._task, advance=1, description=text)

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._progress.stop()


def _number(fitness: object, member: Member) -> float:
    """What a fitness function gave, as one number."""
    try:
        return float(fitness)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"fitness_fn gave {fitness!r} for member {member}; allowed: one number") from error


def _report(epoch: int, members: Sequence[Member], fitness: npt.NDArray[np.float64]) -> EpochReport:
    """Sum an epoch up; members without a finite fitness do not count."""
    counted = np.where(np.isfinite(fitness), fitness, np.nan)
    if np.isnan(counted).all():
        return EpochReport(epoch, math.nan, math.nan, math.nan, None)
    best = int(np.nanargmax(counted))
    mean, std = float(np.nanmean(counted)), float(np.nanstd(counted))
    return EpochReport(epoch, mean, std, float(counted[best]), members[best])
