"""What is published of an experiment, and how far it is: a folder for each champion, and a list of them.

Below the destination lie, for an experiment called pong::

    pong/published.json                      the champions, oldest first: the cursor of who publishes
    pong/champion.toml                       the card of the newest one (centre.safetensors for a centre)
    pong/champions/6835dc4bb986a7f6/...      its card, and weights.safetensors and video.mp4 where asked for

Files come before the list that names them: whoever is interrupted publishes a champion again, never half.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from germline.cli import cards
from germline.cli.cards import Playable
from germline.cli.playing import film, fresh_seeds
from germline.cli.policies import digest_of, write_centre, write_weights
from germline.cli.source import Source
from germline.cli.video import Video
from germline.client import Experiment, Individual, RefusedError
from germline.destinations import Destination, DestinationError
from germline.genome import format_id

FORMAT = 1
_LIST, _CARD, _CENTRE = "published.json", "champion.toml", "centre.safetensors"
_HEADS = (_CARD, _CENTRE)  # of the newest champion they lie at the top, too
_SHARPER = 2  # times as many episodes: then a mean has changed enough to tell
_NOTHING_YET = 0  # the id of a centre that is not stored yet


@dataclass(frozen=True, slots=True)
class Published:
    """One champion as it was published.

    Attributes:
        id: of the individual; of a centre, its digest.
        mean: over fresh episodes after it was crowned; None before the first.
        episodes: how many these are.
        evaluations: of the experiment when it was published.
        files: below the destination.
    """

    id: str
    mean: float | None
    episodes: int
    evaluations: int
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Contents:
    """What a champion's folder holds beside its card, and where it is made.

    Attributes:
        weights: its weights as safetensors, which the extra `worker` rebuilds.
        video: one episode as an .mp4, which takes as long as the episode.
        device: where both are made.
    """

    weights: bool = False
    video: bool = False
    device: str = "cpu"


class Publication:
    """One experiment at one destination."""

    def __init__(self, source: Source, destination: Destination, contents: Contents) -> None:
        """Read how far it is.

        Raises:
            DestinationError: it cannot be read, or was written by a later version.
        """
        self._source, self._name = source, source.experiment().name
        self._destination, self._contents = destination, contents
        self.published = _read_list(destination.read(f"{self._name}/{_LIST}"), self._name)

    def follow(self, look: Experiment) -> Published | None:
        """Publish the champion of this look, if it is new or its mean much sharper; returns it if so.

        Raises:
            DestinationError: the destination did not take it; the next look tries again.
        """
        champion = look.champion
        if champion is None or champion.id == _NOTHING_YET:
            return None
        last = self.published[-1] if self.published else None
        if last is None or last.id != format_id(champion.id):
            return self._publish(look, champion, None)
        sharper = champion.validation_episodes >= _SHARPER * max(last.episodes, 1)
        if sharper or (look.is_over and champion.validation_episodes != last.episodes):
            return self._publish(look, champion, last)
        return None

    def _publish(self, look: Experiment, champion: Individual, last: Published | None) -> Published | None:
        """Publish a new champion; of the last one, its card alone. None if somebody else leads by now."""
        policy = self._policy(look, champion)
        if policy is None:
            return None
        folder, files = f"{self._name}/champions/{format_id(champion.id)}", list(last.files if last else ())
        with tempfile.TemporaryDirectory() as made:
            for file in _make(policy, self._contents, Path(made), is_known=last is not None):
                files.append(f"{folder}/{file.name}")
                self._destination.write(files[-1], file.read_bytes())
                if file.name in _HEADS:
                    self._destination.write(f"{self._name}/{file.name}", file.read_bytes())
        mean, episodes = champion.validated_mean, champion.validation_episodes
        names = tuple(dict.fromkeys(files))
        published = Published(format_id(champion.id), mean, episodes, look.evaluations, names)
        champions = [*(each for each in self.published if each is not last), published]
        self._destination.write(f"{self._name}/{_LIST}", _write_list(self._name, champions))
        self.published = champions
        return published

    def _policy(self, look: Experiment, champion: Individual) -> Playable | None:
        """The champion with the score of this look, as it can be played; None if it is not at hand now."""
        try:
            if not look.spec.algorithm.HasField("eggroll"):
                genome = self._source.individual(champion.id).genome
                return cards.of_experiment(look, replace(champion, genome=genome))
            centre = self._source.centre()
        except RefusedError:
            return None
        return cards.of_centre(look, centre) if digest_of(centre) == format_id(champion.id) else None


def _make(policy: Playable, contents: Contents, folder: Path, *, is_known: bool) -> Iterator[Path]:
    """The files of a champion, made in a folder of this machine; of one that is known, its card alone."""
    if policy.card is not None:
        cards.save(folder / _CARD, policy.card)
        yield folder / _CARD
    if is_known:
        return
    if isinstance(policy.policy, bytes):
        write_centre(policy.spec, policy.policy, folder / _CENTRE)
        yield folder / _CENTRE
    elif contents.weights:
        write_weights(policy.spec, policy.policy, folder / "weights.safetensors")
        yield folder / "weights.safetensors"
    if contents.video:
        with Video(folder / "video.mp4") as video:
            film(policy.spec, policy.policy, fresh_seeds(0, 1)[0], contents.device, video, 1.0)
        yield folder / "video.mp4"


def _write_list(name: str, champions: Sequence[Published]) -> bytes:
    table = {"format": FORMAT, "experiment": name, "champions": [asdict(each) for each in champions]}
    return json.dumps(table, indent=1).encode()


def _read_list(data: bytes | None, name: str) -> list[Published]:
    """Read what :func:`_write_list` wrote. Raises DestinationError, saying what is wrong."""
    if data is None:
        return []
    try:
        table = json.loads(data)
        if table["format"] != FORMAT or table["experiment"] != name:
            raise ValueError(f"it is of {table['experiment']}, in format {table['format']}; not {FORMAT}")
        return [Published(**{**each, "files": tuple(each["files"])}) for each in table["champions"]]
    except (ValueError, TypeError, KeyError) as error:
        raise DestinationError(f"{name}/{_LIST} there cannot be read: {error}") from None
