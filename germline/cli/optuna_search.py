"""Trials that Optuna chooses by what came of those before (Akiba et al. 2019, arXiv 1907.10902)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from germline.cli.axes import Axis, Changes, Choices, Trial
from germline.cli.errors import needs_extra

if TYPE_CHECKING:
    import optuna


class OptunaSearch:
    """So many trials by Optuna's TPE sampler, which models good and bad settings. A Search."""

    def __init__(self, axes: Sequence[Axis], trials: int, seed: int, earlier: Sequence[Changes] = ()) -> None:
        """Begin a study in memory.

        Args:
            axes: what is varied.
            trials: how many.
            seed: of what is drawn.
            earlier: the first trials of a sweep that goes on, which are asked for again.

        Raises:
            CommandError: where Optuna is not installed.
        """
        with needs_extra("sweep"):
            import optuna
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=seed)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._axes, self._left = tuple(axes), trials
        for changes in earlier:
            known = {axis.path: _place(axis, changes[axis.path]) for axis in axes if axis.path in changes}
            self._study.enqueue_trial(known)
        self._asked: dict[int, optuna.trial.Trial] = {}

    def next(self) -> Trial | None:
        """The next trial; those that still run count as of middling value."""
        if not self._left:
            return None
        self._left -= 1
        asked = self._study.ask()
        number = asked.number + 1
        self._asked[number] = asked
        return Trial(number, {axis.path: _suggested(asked, axis) for axis in self._axes})

    def tell(self, trial: Trial, value: float | None) -> None:
        """Learn from it; a trial of which nothing came failed."""
        import optuna

        failed = optuna.trial.TrialState.FAIL if value is None else None
        self._study.tell(self._asked.pop(trial.number), value, state=failed)


def _place(axis: Axis, value: object) -> object:
    """A value as Optuna knows it: of choices, which of them it is."""
    return axis.values.index(value) if isinstance(axis, Choices) else value


def _suggested(asked: optuna.trial.Trial, axis: Axis) -> object:
    if isinstance(axis, Choices):
        place = asked.suggest_categorical(axis.path, list(range(len(axis.values))))
        return axis.values[int(place)]
    if axis.whole:
        return asked.suggest_int(axis.path, int(axis.low), int(axis.high), log=axis.log)
    return asked.suggest_float(axis.path, axis.low, axis.high, log=axis.log)
