"""`germline.load`: one evolved network, to act with, to measure, to film, or to take apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from germline.card import Score
from germline.cli import cards
from germline.cli.archive import Archive
from germline.cli.cards import Playable
from germline.cli.errors import CommandError
from germline.cli.files import check_free
from germline.cli.folder import RunFolder
from germline.cli.playing import film, fresh_seeds, play
from germline.cli.policies import write_policy
from germline.cli.source import MasterSource
from germline.cli.target import name_or_only
from germline.cli.video import Video
from germline.client import Client
from germline.face.errors import in_words
from germline.genome import Genome
from germline.spec import to_toml
from germline.statistics import mean_interval

if TYPE_CHECKING:
    from torch import nn

    from germline.face.actor import Action, Actor


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What came of fresh episodes.

    Attributes:
        mean: of their returns.
        interval: the mean's 95 % confidence interval; None below two episodes.
        returns: one for each episode, raw.
        seed: that names the episodes.
    """

    mean: float
    interval: tuple[float, float] | None
    returns: tuple[float, ...]
    seed: int


class Policy:
    """One evolved network: of a policy card, an exported file, or a run's champion.

    Building it takes the extra `worker`, and happens when it is first needed.
    """

    def __init__(self, playable: Playable, device: str = "auto") -> None:
        """Take what plays; :func:`load` finds it.

        Args:
            playable: a spec and a genome, or the file of an evolution strategy's centre.
            device: where the network runs: auto, cpu, cuda or mps.
        """
        self._playable, self._device = playable, device

    def __repr__(self) -> str:
        return f"<germline.Policy {self._playable.about}>"

    @property
    def name(self) -> str:
        """The genome's id, 16 hexadecimal digits; of a centre, what its file is called."""
        return self._playable.name

    @property
    def genome(self) -> Genome | None:
        """Its seeds: the initialisation's, then the mutations, oldest first. A centre has none."""
        return self._playable.policy if isinstance(self._playable.policy, Genome) else None

    @property
    def score(self) -> Score | None:
        """The validated score on its card; None if nobody says one."""
        return self._playable.card.score if self._playable.card else None

    @property
    def spec(self) -> str:
        """Its task, policy and precision as a spec, TOML text."""
        return to_toml(self._playable.spec)

    @cached_property
    def network(self) -> nn.Module:
        """A plain torch module with its weights, float32 on the CPU, in evaluation mode."""
        return self._network()

    @property
    def weights(self) -> dict[str, npt.NDArray[np.float32]]:
        """The parameters that evolved, by name, each a copy."""
        return {
            name: parameter.detach().numpy().copy()
            for name, parameter in self.network.named_parameters()
            if parameter.requires_grad
        }

    def act(self, observation: object) -> Action:
        """The action after one more observation: what the environment's `step` takes.

        A network that remembers remembers from call to call; :meth:`reset` begins an episode.

        Args:
            observation: as the environment gives it.

        Raises:
            ValueError: if it is none of the task's.
            GermlineError: if the task is a function, which has nothing to see.
        """
        return self._actor.act(observation)

    def reset(self) -> None:
        """Forget what was seen: an episode begins."""
        self._actor.reset()

    @in_words
    def evaluate(self, episodes: int = 30, *, seed: int = 0) -> Evaluated:
        """Play fresh episodes, those of `germline evaluate` under the same seed.

        Args:
            episodes: how many, at least 1.
            seed: names them: the same seed, the same episodes.

        Raises:
            GermlineError: if one of them has no finite return.
        """
        if episodes < 1:
            raise CommandError(f"episodes is {episodes}; allowed: 1 or more")
        seeds = fresh_seeds(seed, episodes)
        played = dict(play(self._playable.spec, self._playable.policy, seeds, self._device))
        returns = tuple(played[position] for position in range(episodes))
        _refuse_unscored(returns)
        mean, low, high = mean_interval(returns)
        return Evaluated(mean, (low, high) if episodes > 1 else None, returns, seed)

    @in_words
    def record(self, path: str | Path, *, seed: int = 0, speed: float = 1.0, force: bool = False) -> float:
        """Film one episode; needs no display.

        Args:
            path: of an .mp4 file.
            seed: of the episode, as for :meth:`evaluate`.
            speed: 1 is the game's own pace.
            force: write over a file that is there.

        Returns:
            The episode's return.
        """
        file = Path(path)
        check_free(file, (".mp4",), force=force)
        with Video(file) as video:
            spec, policy = self._playable.spec, self._playable.policy
            return film(spec, policy, fresh_seeds(seed, 1)[0], self._device, video, speed)

    @in_words
    def save(self, path: str | Path, *, force: bool = False) -> str:
        """Write the weights, float32, as `germline export` does; :func:`load` reads them again.

        Args:
            path: of a .safetensors file, or a .toml file for the card alone.
            force: write over a file that is there.

        Returns:
            The digest of the weights, 16 hexadecimal digits; of a card, the genome's id.
        """
        file = Path(path)
        check_free(file, (".safetensors", ".toml"), force=force)
        if file.suffix.lower() == ".safetensors":
            return write_policy(self._playable, file)
        if self._playable.card is None:
            raise CommandError(f"{self.name} is a centre, which no card can spell; save it as .safetensors")
        cards.save(file, self._playable.card)
        return self.name

    @cached_property
    def _actor(self) -> Actor:
        return self._make_actor()

    @in_words
    def _make_actor(self) -> Actor:
        from germline.face.actor import Actor

        return Actor(self._playable.spec, self._playable.policy, self._device)

    @in_words
    def _network(self) -> nn.Module:
        from germline.face.actor import network

        return network(self._playable.spec, self._playable.policy)


@in_words
def load(source: str | Path | Client, experiment: str | None = None, *, device: str = "auto") -> Policy:
    """A policy from a file, the champion of a run, or the champion of an experiment on a master.

    Args:
        source: a policy card (.toml), what `germline export` wrote (.safetensors), the folder of a run, or
            a client, as :func:`germline.connect` gives it.
        experiment: of a client: its name; may be left out where there is only one.
        device: where its network runs: auto, cpu, cuda or mps.

    Raises:
        GermlineError: if there is no such file or experiment, or it holds something else.
    """
    if isinstance(source, Client):
        return Policy(_of_master(MasterSource(source, name_or_only(source, experiment))), device)
    if experiment is not None:
        raise CommandError(f"experiment is {experiment!r}; allowed: None, unless the source is a client")
    path = Path(source)
    return Policy(_of_folder(path) if path.is_dir() else cards.of_file(_file(path)), device)


def _of_master(source: MasterSource) -> Playable:
    """The champion of an experiment as it stands, or the best measured centre of an evolution strategy."""
    look = source.experiment()
    if look.spec.algorithm.HasField("eggroll"):
        return cards.of_centre(look, source.centre())
    return cards.of_experiment(look, source.individual())


def _of_folder(path: Path) -> Playable:
    """The champion of a run by its card, or the centre of an evolution strategy by what it played."""
    folder = RunFolder(path)
    if folder.centre.exists():
        return cards.of_centre(Archive(folder).experiment(), folder.centre.read_bytes())
    if not folder.champion.exists():
        raise CommandError(f"{path} holds no champion.toml and no centre.safetensors")
    return cards.of_file(folder.champion)


def _file(path: Path) -> Path:
    """A file that holds a policy."""
    if not path.is_file():
        raise CommandError(f"{path} is no file; allowed: a policy card, an exported policy, a run's folder")
    return path


def _refuse_unscored(returns: Sequence[float]) -> None:
    unscored = [place for place, returned in enumerate(returns) if not math.isfinite(returned)]
    if unscored:
        first = unscored[0]
        raise CommandError(f"episode {first + 1} returned {returns[first]}; there is no mean")
