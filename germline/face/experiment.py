"""`germline.experiment`: one experiment to look at, of a run's folder or of a master."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from germline.cli import cards
from germline.cli.errors import CommandError
from germline.cli.source import MasterSource, Source
from germline.cli.target import Target, name_or_only
from germline.cli.words import counted, mean_text, number, played_word
from germline.client import Client, Experiment, Individual
from germline.connection import Security
from germline.face import html
from germline.face.arrays import History, Individuals
from germline.face.errors import in_words
from germline.face.policy import Policy


@dataclass(frozen=True, slots=True, repr=False)
class Video:
    """A film of one episode; a notebook shows it.

    Attributes:
        path: of the .mp4 file.
        returned: the episode's return.
        about: whose it is, in words.
    """

    path: Path
    returned: float
    about: str

    def __repr__(self) -> str:
        return f"<germline video of {self.about}; a return of {number(self.returned)}>"

    def _repr_html_(self) -> str:
        return html.film(self.path, f"{self.about}; a return of {number(self.returned)}")


class Champion:
    """The best of an experiment, as it was when it was asked for.

    Attributes:
        individual: what is known of it.
        policy: its network, to act, to measure, and to take apart.
    """

    def __init__(self, individual: Individual, policy: Policy, words: str) -> None:
        """Take what :meth:`OpenExperiment.champion` found; `words` say how good it is."""
        self.individual, self.policy, self._words = individual, policy, words

    def __repr__(self) -> str:
        return f"<germline champion {self.policy.name}, {self._words}>"

    def video(self, path: str | Path | None = None, *, seed: int = 0, force: bool = False) -> Video:
        """Film one episode; needs no display, and the extras `worker` and `local`.

        Args:
            path: of an .mp4 file; one among the system's temporary files by default.
            seed: of the episode, as for `policy.evaluate`.
            force: write over a file that is there.

        Raises:
            GermlineError: if its task cannot be filmed, or a file is there.
        """
        file = Path(path) if path is not None else Path(tempfile.mkdtemp()) / f"{self.policy.name}.mp4"
        returned = self.policy.record(file, seed=seed, force=force)
        return Video(file, returned, f"{self.policy.name}, an episode of seed {seed}")

    def _repr_html_(self) -> str:
        rows = [("score", self._words), ("mutations", f"{self.individual.mutations:,}")]
        if math.isfinite(self.individual.fitness):  # what of it is not known any more is no number
            rows.append(("fitness of its own evaluation", number(self.individual.fitness)))
        return html.table(f"champion {self.policy.name}", rows)


class OpenExperiment:
    """One experiment; each method looks anew. A notebook shows how it stands, and its curve."""

    def __init__(self, opened: Callable[[], AbstractContextManager[Source]], device: str = "auto") -> None:
        """Look through whatever `opened` opens; :func:`experiment` makes it."""
        self._opened, self._device = opened, device

    def __repr__(self) -> str:
        look = self.look()
        return f"<germline experiment {look.name}, {look.state}, {counted(look.evaluations, 'evaluation')}>"

    @in_words
    def look(self) -> Experiment:
        """As it stands."""
        with self._opened() as source:
            return source.experiment()

    @in_words
    def history(self) -> History:
        """The curve of the run, as arrays."""
        with self._opened() as source:
            return History.of(source.history())

    @in_words
    def individuals(self, limit: int = 100) -> Individuals:
        """The best of the population, at most `limit` (1 to 10,000), as arrays."""
        with self._opened() as source:
            return Individuals.of(source.individuals(limit))

    @in_words
    def champion(self) -> Champion:
        """The champion, or the best while there is none; of an evolution strategy the best measured centre.

        Raises:
            GermlineError: if nobody was evaluated yet, or no centre is stored.
        """
        with self._opened() as source:
            look = source.experiment()
            if look.spec.algorithm.HasField("eggroll"):
                individual, playable = look.champion, cards.of_centre(look, source.centre())
            else:
                individual = source.individual()
                playable = cards.of_experiment(look, individual)
        if individual is None:
            raise CommandError(f"{look.name} has measured no centre yet")
        return Champion(individual, Policy(playable, self._device), mean_text(individual))

    def _repr_html_(self) -> str:
        look, history = self.look(), self.history()
        champion = mean_text(look.champion) if look.champion else "none yet"
        rows = [("state", look.state), ("evaluations", f"{look.evaluations:,}"), ("champion", champion)]
        rows.insert(2, (played_word(look.spec), f"{look.frames:,}"))
        if look.trouble:
            rows.append(("trouble", look.trouble))
        words = f"median of the population over evaluations, within its 10 and 90 % quantiles, of {look.name}"
        low, high = history.fitness[:, 1], history.fitness[:, 3]
        x = history.evaluations.astype(float)
        return html.table(f"experiment {look.name}", rows) + html.curve(x, low, history.median, high, words)


@in_words
def experiment(
    source: str | Path | Client, name: str | None = None, *, device: str = "auto"
) -> OpenExperiment:
    """One experiment to look at.

    Args:
        source: the folder of a run, which may be going on or over, or a client, as :func:`germline.connect`
            gives it.
        name: of the experiment; may be left out where there is only one.
        device: where its champion's network runs: auto, cpu, cuda or mps.

    Raises:
        GermlineError: if there is none.
    """
    if isinstance(source, Client):
        client, chosen = source, name_or_only(source, name)
        found = OpenExperiment(lambda: nullcontext(MasterSource(client, chosen)), device)
    else:
        folder = Path(source)
        if not folder.is_dir():
            raise CommandError(f"{folder} is no folder; allowed: one that a run made, or a client")
        found = OpenExperiment(lambda: Target("", folder, Security()).source(name), device)
    found.look()
    return found
