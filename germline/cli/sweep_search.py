"""Where a sweep's trials come from: planned ones, or those that Optuna chooses by what came of others.

Optuna: Akiba et al. 2019, arXiv 1907.10902.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from germline.cli.axes import Axis, Changes, Choices, Planned, Search, Trial, at_random, grid
from germline.cli.errors import CommandError, Exit, needs_extra
from germline.cli.trials import Plan, noted
from germline.spec import SpecError

if TYPE_CHECKING:
    import optuna


def search_of(
    axes: Sequence[Axis], random: int | None, optuna: int | None, plan: Plan, folder: Path
) -> Search:
    """Where the trials of a sweep come from.

    Args:
        axes: what is varied.
        random: so many draws; or None.
        optuna: so many trials that Optuna chooses; or None. Without both: every combination.
        plan: what the trials have in common; its seed draws.
        folder: where the sweep lives, and may have begun.

    Raises:
        ValueError: for a range in a grid.
        CommandError: where another sweep is in the folder, no trial can be run, or Optuna is missing.
    """
    if optuna is not None:
        return OptunaSearch(axes, optuna, plan.seed, [each["changes"] for each in noted(folder)])
    planned = grid(axes) if random is None else at_random(axes, random, plan.seed)
    _check_same_sweep(folder, planned, plan.replicates)
    _check_one_can_run(plan, planned)
    return Planned(planned)


def _check_same_sweep(folder: Path, planned: Sequence[Changes], replicates: int) -> None:
    """What is in the folder is a part of this sweep: it may have grown, and is never written over."""
    for each in noted(folder):
        place = each["trial"] - 1
        is_planned = place < len(planned) and dict(planned[place]) == each["changes"]
        if not is_planned or len(each["experiments"]) != replicates:
            times = f", with {len(each['experiments'])} replicates" if len(each["experiments"]) > 1 else ""
            raise CommandError(
                f"{folder} holds another sweep: its trial {each['trial']} is {each['label']}{times}; choose "
                "another --name or --folder, or repeat the command of that sweep",
                Exit.USAGE,
            )


def _check_one_can_run(plan: Plan, planned: Sequence[Changes]) -> None:
    """Settings that are none are left out, one by one; where all are, the command was meant otherwise."""
    refusals = []
    for changes in planned:
        try:
            list(plan.specs(Trial(1, changes)))
        except SpecError as error:
            refusals.append(error)
        else:
            return
    paths = ", ".join(dict.fromkeys(path for changes in planned for path in changes))
    hint = "" if "." in paths else "; a path is written in full, such as algorithm.ga.power"
    raise CommandError(f"--over {paths}: no trial can be run; {refusals[0]}{hint}", Exit.USAGE)


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
