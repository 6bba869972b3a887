"""What `germline serve` serves: policies of cards, of a run, or of a master's experiments, as models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from germline.cli import cards
from germline.cli.cards import Playable
from germline.cli.errors import CommandError
from germline.cli.output import notes
from germline.cli.source import Source
from germline.cli.target import Target
from germline.client import MasterError

if TYPE_CHECKING:
    from germline.client import Individual
    from worker.allowed_code import AllowedCode
    from worker.serving.fleet import Served

MAX_MODELS = 200
"""Of one `germline serve`; each has a port and a thread."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be served, in a person's words.

    Attributes:
        target: a run's folder or a master.
        files: policy cards and exported centres; in place of the target.
        experiment: of the target; None for each that it has.
        best: how many of an experiment's population: the champion, and the best after it.
        device: where networks run.
        allowed: code that experiments of a master may have imported here; None for any.
    """

    target: Target
    files: tuple[Path, ...]
    experiment: str | None
    best: int
    device: str
    allowed: AllowedCode | None

    def look(self) -> list[Served]:
        """The models to serve now. Raises LookError."""
        from worker.serving.service import LookError

        found: dict[str, Served] = {}
        try:
            for experiment, policy in self._policies():
                served = self._served(experiment, policy)
                if served is not None:
                    found.setdefault(served.model_id, served)
        except (CommandError, MasterError) as error:
            raise LookError(str(error)) from error
        if len(found) > MAX_MODELS:
            raise LookError(f"{len(found)} models are to be served; allowed: up to {MAX_MODELS}")
        return list(found.values())

    def _policies(self) -> Iterator[tuple[str, Playable]]:
        """Each policy with the name of its experiment."""
        if self.files:
            for path in self.files:
                policy = cards.of_file(path)
                named = policy.card.experiment if policy.card else policy.spec.name
                yield named or path.stem, policy
            return
        for source in self._sources():
            yield from _of_source(source, self.best)

    def _sources(self) -> Iterator[Source]:
        if self.experiment is not None or self.target.run is not None:
            with self.target.source(self.experiment) as source:
                yield source
            return
        with self.target.connect() as client:
            names = [each.name for each in client.experiments() if each.state != "damaged"]
        for name in names:
            with self.target.source(name) as source:
                yield source

    def _served(self, experiment: str, policy: Playable) -> Served | None:
        from worker.playing.engine_builder import engine_settings
        from worker.playing.playable import code_named_by
        from worker.serving.fleet import Served
        from worker.serving.recipe import Recipe

        settings = engine_settings(policy.spec)
        refused = self.allowed.why_not(code_named_by(settings)) if self.allowed else ""
        if refused:
            notes.print(f"germline: {experiment} is not served: {refused}")
            return None
        recipe = Recipe(policy.spec, policy.policy, _about(policy, experiment), self.device)
        infos = {"cruncher_id": "germline", "cruncher_name": "germline", "about": policy.about}
        return Served(
            model_id=f"{experiment}-{_version(policy)}",
            experiment=experiment,
            build=recipe.build,
            infos=infos,
            recipe=recipe,
        )


def _of_source(source: Source, best: int) -> Iterator[tuple[str, Playable]]:
    """The champion of an experiment and the best after it, or the centre of an evolution strategy."""
    experiment = source.experiment()
    if experiment.spec.algorithm.HasField("eggroll"):
        if centre := source.centre():
            yield experiment.name, cards.of_centre(experiment, centre)
        return
    if not experiment.population:
        return
    individuals: list[Individual] = [source.individual()]
    if best > 1:
        individuals += source.individuals(best)
    by_id = {each.id: each for each in individuals}
    for individual in list(by_id.values())[:best]:
        yield experiment.name, cards.of_experiment(experiment, individual)


def _version(policy: Playable) -> str:
    """What tells one policy of an experiment from the next."""
    if not isinstance(policy.policy, bytes):
        return policy.name
    from germline.eggroll import centre_file

    return centre_file.read(policy.policy).digest[:16]


def _about(policy: Playable, experiment: str) -> dict[str, object]:
    """What callers are told of a policy."""
    about: dict[str, object] = {
        "name": f"{experiment}-{_version(policy)}",
        "experiment": experiment,
        "about": policy.about,
    }
    if policy.card and policy.card.score:
        about |= {"mean": policy.card.score.mean, "episodes": policy.card.score.episodes}
    return about
