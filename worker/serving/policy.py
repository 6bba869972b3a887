"""A policy as its callers see it: observations in, actions out; and how one is built from its seeds."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from germline import weights
from germline.genome import Genome
from germline.v1 import spec_pb2
from germline.weights import Layout
from worker.networks.fixed_weights import FixedPopulation, centre_weights
from worker.networks.population import Population
from worker.playing.engine_builder import engine_settings
from worker.playing.engines import population_maker
from worker.playing.normaliser import Normaliser
from worker.playing.playable import EngineSettings, Playable, playable
from worker.tasks.base import (
    Actions,
    ActionSpace,
    ContinuousActions,
    EpisodicTask,
    SetupError,
    Spaces,
    StickActions,
    WeightsTask,
)

if TYPE_CHECKING:
    import pandas as pd

_ONE = Genome.founder(0)  # a population of fixed weights asks nobody
_BUILDING = (
    threading.Lock()
)  # environments import themselves, and how weights start is watched: one at a time


class ArgumentError(ValueError):
    """A call with arguments that the model cannot take: the caller's mistake, and not the model's."""


class Player:
    """One network that answers observations, `rows` at a time, each row with a memory of its own."""

    def __init__(self, population: Population, spaces: Spaces, normaliser: Normaliser | None = None) -> None:
        """Play the network in the population's only slot; it sees what the normaliser shows it."""
        self._population, self._spaces, self._normaliser = population, spaces, normaliser
        self.rows = population.rows
        shape, kind = (1, population.rows, *spaces.observation_shape), spaces.observation_dtype
        self._observations: npt.NDArray[np.uint8] | npt.NDArray[np.float32] = np.zeros(shape, kind)

    def begin(self, row: int) -> None:
        """Forget what a row has seen."""
        self._population.begin(0, row)

    def act(self, observations: npt.NDArray[np.float64]) -> Actions:
        """The actions for up to `rows` observations, one a row, `[k, *shape]`."""
        count = len(observations)
        active = np.zeros((1, self.rows), np.bool_)
        active[0, :count] = True
        self._observations[0, :count] = observations
        seen = self._observations
        if self._normaliser is not None:
            seen = self._normaliser.see(seen, active)
        return self._population.act(seen, active)[0, :count]


class PolicyModel:
    """A policy that is called. One caller at a time; it remembers from call to call if its network does.

    An observation is a number, a list of numbers (of lists, as the task has them), or a row of a table; an
    action is a whole number, a number, or a list of numbers where the task wants several.
    """

    def __init__(self, make: Callable[[], Player], spaces: Spaces, about: Mapping[str, object]) -> None:
        """Serve the network that `make` builds; `about` says what it is."""
        self._spaces, self._about = spaces, dict(about)
        self._live, self._single = make(), make()
        self._last: object = None
        self.reset()

    def act(self, observation: object) -> object:
        """The action after one more observation."""
        self._last = self._plain(self._live.act(self._one(observation))[0])
        return self._last

    def tick(self, observation: object) -> None:
        """See one more observation; `predict()` then tells the action."""
        self.act(observation)

    def predict(self, observations: object = None) -> object:
        """Actions for observations that have nothing to do with each other, or the one after the last tick.

        Args:
            observations: a table with an observation in each row, which is answered by a table with a column
                `action` (or `action_0`, `action_1` ...); a list of observations, answered by a list; a single
                one, answered by its action. Without any: the action after the last `tick`.
        """
        if observations is None:
            return self._last
        if _is_table(observations):
            return self._of_table(observations)
        many = self._many(observations)
        if many is None:
            return self._plain(self._answers(self._one(observations))[0])
        return [self._plain(action) for action in self._answers(many)]

    def reset(self) -> None:
        """Forget what was seen."""
        self._live.begin(0)
        self._last = None

    def name(self) -> str:
        """Who this is."""
        return str(self._about.get("name", ""))

    def describe(self) -> dict[str, object]:
        """What it is, what it sees and what it answers."""
        return {
            **self._about,
            "observation_shape": list(self._spaces.observation_shape),
            "observation_type": str(self._spaces.observation_dtype),
            "actions": _described(self._spaces.actions),
        }

    def _of_table(self, table: pd.DataFrame) -> pd.DataFrame:
        import pandas as pd  # noqa: PLC0415 - of an extra, and whoever has a table has it

        try:
            rows = table.to_numpy(np.float64)
        except (TypeError, ValueError) as error:
            raise ArgumentError(f"the table holds other than numbers: {error}") from None
        actions = self._answers(self._checked(rows, len(rows)))
        flat = actions.reshape(len(rows), -1)
        names = ["action"] if flat.shape[1] == 1 else [f"action_{place}" for place in range(flat.shape[1])]
        return pd.DataFrame(flat, index=table.index, columns=names)

    def _answers(self, observations: npt.NDArray[np.float64]) -> Actions:
        """The actions for observations, each of which is the first that the network sees."""
        rows = self._single.rows
        parts: list[Actions] = []
        for start in range(0, len(observations), rows):
            part = observations[start : start + rows]
            for row in range(len(part)):
                self._single.begin(row)
            parts.append(self._single.act(part).copy())
        if not parts:
            raise ArgumentError("there is no observation; allowed: one or more")
        return np.concatenate(parts)  # type: ignore[return-value]  # all of one kind

    def _one(self, value: object) -> npt.NDArray[np.float64]:
        return self._checked(_numbers(value), 1)

    def _many(self, value: object) -> npt.NDArray[np.float64] | None:
        """A list of observations as an array; None if it is a single one."""
        shape = self._spaces.observation_shape
        numbers = _numbers(value)
        if numbers.ndim != len(shape) + 1 or numbers.shape[1:] != shape:
            return None
        return self._checked(numbers, len(numbers))

    def _checked(self, numbers: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float64]:
        """So many observations in the task's own shape. Raises ArgumentError for what is none."""
        shape = self._spaces.observation_shape
        if numbers.size != count * int(np.prod(shape)) or not count:
            raise ArgumentError(
                f"{count} observations have shape {list(numbers.shape)}; allowed: {count} of {list(shape)}"
                if count != 1
                else f"the observation has shape {list(numbers.shape)}; allowed: {list(shape)}"
            )
        if np.isnan(numbers).any():
            raise ArgumentError("the observation holds NaN; allowed: numbers")
        if self._spaces.observation_dtype == np.uint8 and not _are_bytes(numbers):
            raise ArgumentError("the observation is a picture; allowed: whole numbers from 0 to 255")
        return numbers.reshape(count, *shape)

    def _plain(self, action: npt.NDArray[np.generic] | np.generic) -> object:
        """An action as Python has it."""
        if not isinstance(self._spaces.actions, ContinuousActions):
            return int(np.asarray(action).item())
        values = np.asarray(action, np.float64).ravel().tolist()
        return values[0] if len(values) == 1 else values


class VectorModel:
    """The weights that a function task looks for: there is nothing to see and nothing to do."""

    def __init__(self, values: list[float], about: Mapping[str, object]) -> None:
        """Serve these weights."""
        self._values, self._about = values, dict(about)

    def weights(self) -> list[float]:
        """The weights."""
        return self._values

    def predict(self) -> list[float]:
        """The weights."""
        return self._values

    def name(self) -> str:
        """Who this is."""
        return str(self._about.get("name", ""))

    def describe(self) -> dict[str, object]:
        """What it is."""
        return {**self._about, "dimension": len(self._values)}


def build_policy(
    spec: spec_pb2.ExperimentSpec,
    policy: Genome | bytes,
    about: Mapping[str, object],
    device: torch.device,
) -> PolicyModel | VectorModel:
    """Build a policy to be called, which answers as it did in its experiment.

    Args:
        spec: says task, network and precision.
        policy: a genome, or the file of an evolution strategy's centre.
        about: what callers are told of it.
        device: where the network runs.

    Raises:
        SetupError: if this machine cannot play it; the message says why.
    """
    settings = engine_settings(spec)
    with _BUILDING:
        built = playable(settings)
        if isinstance(built.task, WeightsTask):
            return VectorModel(_flat(built, policy).tolist(), about)
        return PolicyModel(player_maker(settings, built, policy, device), built.task.spaces, about)


def player_maker(
    settings: EngineSettings, built: Playable, policy: Genome | bytes, device: torch.device
) -> Callable[[], Player]:
    """What makes players of one network, a genome's or a centre's, as its experiment plays it."""
    task, network = built
    if not isinstance(task, EpisodicTask):
        raise SetupError("the task plays no episodes, and measures no weights")

    make_normaliser = settings.normalisation.maker(task.spaces)

    def normaliser() -> Normaliser | None:
        if make_normaliser is None:
            return None
        made = make_normaliser(1, settings.rows)
        made.begin(0, _ONE)
        return made

    def make() -> Player:
        if isinstance(policy, Genome):
            population = population_maker(settings, task.spaces, network, device, 0)(1)
            population.fill(0, policy)
            return Player(population, task.spaces, normaliser())
        fixed = FixedPopulation(
            centre_weights(network, policy), network, task.spaces, 1, settings.rows,
            precision=settings.precision, device=device,
        )  # fmt: skip
        fixed.fill(0, _ONE)
        return Player(fixed, task.spaces, normaliser())

    return make


def _flat(built: Playable, policy: Genome | bytes) -> torch.Tensor:
    if isinstance(policy, bytes):
        return centre_weights(built.policy, policy)
    layout = Layout.of(built.policy)
    flat = torch.zeros(layout.size)
    weights.rebuild(policy, layout, flat)
    return flat


def _numbers(value: object) -> npt.NDArray[np.float64]:
    """Whatever a caller sent, as an array. Raises ArgumentError where it is none."""
    if isinstance(value, str):
        raise ArgumentError(f"the observation is the text {value[:40]!r}; allowed: numbers")
    if value is None or isinstance(value, dict):
        raise ArgumentError(
            f"the observation is {'None' if value is None else 'an object'}; allowed: numbers"
        )
    try:
        return np.asarray(value, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ArgumentError(f"the observation is no array of numbers: {error}") from None


def _are_bytes(numbers: npt.NDArray[np.float64]) -> bool:
    return bool(((numbers >= 0) & (numbers <= 255) & (numbers == np.floor(numbers))).all())


def _is_table(value: object) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.DataFrame)


def _described(actions: ActionSpace) -> object:
    """How many actions there are to choose from; or the bounds of each number."""
    if isinstance(actions, ContinuousActions):
        return np.stack([actions.low.ravel(), actions.high.ravel()], axis=1).tolist()
    if isinstance(actions, StickActions):
        return int(actions.table.max()) + 1
    return actions.count
