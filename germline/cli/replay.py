"""One episode as a film and a table: what a person sees, what the network sees beside it, and each step."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from germline.cli.errors import CommandError, needs_extra
from germline.cli.observation_file import ObservationFile
from germline.cli.output import Json
from germline.cli.playing import film
from germline.cli.video import Video, even, rgb
from germline.genome import Genome
from germline.v1 import spec_pb2

if TYPE_CHECKING:
    from worker.networks.forward.base import Outputs
    from worker.tasks.base import Actions, Observations, Picture

_FEW = 8  # numbers of an observation that a table has room for
_MOST_OUTPUTS = 64  # that a table has room for
_GAP = 8  # dark columns between the two pictures
_EVERY = 60  # pictures between two words on how far it is

Rgb = npt.NDArray[np.uint8]


class Tape:
    """Notes each step of an episode, and puts what the network sees beside what a person sees. A Witness."""

    def __init__(self, progress: Callable[[int], None], observed: ObservationFile | None = None) -> None:
        """Nothing is noted yet; `progress` hears of pictures now and then, `observed` takes what was seen."""
        self.actions: list[Json] = []
        self.rewards: list[float] = []
        self.outputs: list[Json] = []
        self.seen: list[Json] = []
        self.shows_input = False
        self._progress, self._pictures, self._observed = progress, 0, observed

    def look(self, picture: Picture, seen: Observations) -> Picture:
        """The picture, and beside it what the network sees, if that is a picture, too."""
        self._pictures += 1
        if self._pictures % _EVERY == 0:
            self._progress(self._pictures)
        if self._observed is not None:
            self._observed.add(seen)
        self.shows_input = seen.ndim > 1
        if self.shows_input:
            return beside(rgb(picture), seen)
        if seen.size <= _FEW:
            self.seen.append([round(float(number), 4) for number in seen])
        return picture

    def note(self, action: Actions, reward: float, outputs: Outputs | None) -> None:
        """What was done, what it brought, and what the network answered."""
        if outputs is not None and outputs.size <= _MOST_OUTPUTS:
            self.outputs.append([float(f"{float(each):.5g}") for each in outputs])
        done: Json = action.tolist()
        self.actions.append(done)
        self.rewards.append(reward)


def beside(picture: Rgb, seen: Observations) -> Rgb:
    """Both in one picture; the network sees `[k, height, width]`, oldest first, or `[height, width]`."""
    tiles = seen if seen.ndim == 3 else seen[np.newaxis]
    side = int(np.ceil(np.sqrt(len(tiles))))
    height, width = tiles.shape[1:]
    grid = np.zeros((side * height, side * width), np.uint8)
    for place, tile in enumerate(tiles):
        row, column = divmod(place, side)
        grid[row * height : (row + 1) * height, column * width : (column + 1) * width] = grey(tile)
    tall = max(picture.shape[0], grid.shape[0])
    parts = [_padded(picture, tall), np.zeros((tall, _GAP, 3), np.uint8), _padded(rgb(grid), tall)]
    return even(np.concatenate(parts, axis=1))


def grey(tile: npt.NDArray[np.generic]) -> Rgb:
    """A picture in shades of grey, 0 to 255, of one in bytes or in shares."""
    if tile.dtype == np.uint8:
        return tile.astype(np.uint8, copy=False)
    return np.rint(np.clip(tile.astype(np.float32), 0, 1) * 255).astype(np.uint8)


def _padded(picture: Rgb, tall: int) -> Rgb:
    above = (tall - picture.shape[0]) // 2
    return np.pad(picture, ((above, tall - picture.shape[0] - above), (0, 0), (0, 0)))


def replay(
    spec: spec_pb2.ExperimentSpec,
    policy: Genome | bytes,
    seed: int,
    file: Path,
    *,
    observations: Path | None = None,
    allow_code: str | None,
    progress: Callable[[int], None],
) -> dict[str, Json]:
    """Play one episode, on the CPU, and film it; what there is to know of it.

    Args:
        spec: says task, network and precision.
        policy: a genome, or the file of an evolution strategy's centre.
        seed: of the episode.
        file: takes the film, an .mp4.
        observations: takes what the network saw, for :mod:`germline.cli.saliency`; None: nothing does.
        allow_code: what the spec may have imported, as for a worker; None for anything.
        progress: is told of the pictures so far.

    Raises:
        CommandError: if it cannot be played or filmed here; the message says why.
    """
    with needs_extra("worker"):
        from worker.playing.engine_builder import engine_settings
        from worker.plugins import make_task
    settings = engine_settings(spec)
    check_allowed(settings, allow_code)
    with ExitStack() as open_files:
        video = open_files.enter_context(Video(file))
        observed = open_files.enter_context(ObservationFile(observations)) if observations else None
        tape = Tape(progress, observed)
        returned = film(spec, policy, seed, "cpu", video, 1.0, tape)
    names = getattr(make_task(settings.task, settings.task_arguments), "action_names", None)
    return {
        "return": returned,
        "pictures": video.pictures,
        "pictures_per_second": video.pictures_per_second,
        "shows_input": tape.shows_input,
        "action_names": list(names) if names else None,
        "action": tape.actions,
        "reward": tape.rewards,
        "outputs": tape.outputs,
        "are_sums": spec.evaluation.precision == spec_pb2.PRECISION_INT8,
        "observed": 0 if observed is None else min(observed.count, len(tape.actions)),
        "seen": tape.seen[: len(tape.actions)],
    }


def check_allowed(settings: object, allow_code: str | None) -> None:
    """Raise CommandError if the settings name code that may not be imported here."""
    from worker.allowed_code import AllowedCode
    from worker.playing.playable import EngineSettings, code_named_by

    assert isinstance(settings, EngineSettings)  # noqa: S101 - the caller made them
    if allow_code is None:
        return
    if why := AllowedCode.of(allow_code).why_not(code_named_by(settings)):
        raise CommandError(why.replace("this worker", "this dashboard"))
