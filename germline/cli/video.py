"""A film as an .mp4 that every player shows, written picture by picture."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from germline.cli.errors import CommandError, Exit, needs_extra

if TYPE_CHECKING:
    from worker.tasks.base import Picture

Rgb = npt.NDArray[np.uint8]

_SMALL, _SCALE = 400, 3  # pictures below so many pixels are shown larger


class Video:
    """A file that grows by pictures of one size; use it in a `with` statement. Half a film is not kept."""

    def __init__(self, file: Path) -> None:
        """Write nothing yet.

        Raises:
            CommandError: if it is no .mp4 file, or none can be written there.
        """
        if file.suffix.lower() != ".mp4":
            raise CommandError(f"--output is {file}; allowed: an .mp4 file", Exit.USAGE)
        with needs_extra("local"):
            import imageio_ffmpeg  # noqa: F401 - before minutes of play
        self.pictures = 0
        self.pictures_per_second = 0.0
        self._file, self._draft = file, file.with_name(f".{file.stem}.{os.getpid()}.new{file.suffix}")
        try:
            self._draft.touch()
        except OSError as error:
            raise CommandError(f"{file} cannot be written: {error.strerror}") from None
        self._writer: Generator[None, Any, None] | None = None
        self._shape: tuple[int, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()
        if kind is None and self.pictures:
            self._draft.replace(self._file)
        else:
            self._draft.unlink(missing_ok=True)

    def add(self, picture: Picture, pictures_per_second: float) -> None:
        """Write a picture; the first one says how large all are, and how fast they follow one another.

        Raises:
            CommandError: if nobody could see it; the message says why.
        """
        shown = even(rgb(picture))
        if self._writer is None:
            self._shape, self.pictures_per_second = shown.shape, pictures_per_second
            self._writer = _opened(self._draft, shown.shape[:2], pictures_per_second)
        if shown.shape != self._shape:
            text = f"picture {self.pictures + 1} has the shape {shown.shape}, the first one {self._shape}"
            raise CommandError(f"the episode cannot be filmed: {text}")
        try:
            self._writer.send(np.ascontiguousarray(shown))
        except OSError:
            raise CommandError(f"{self._file} cannot be written beyond picture {self.pictures}") from None
        self.pictures += 1


def rgb(picture: Picture) -> Rgb:
    """A picture as `[height, width, 3]`: grey ones in three colours, without transparency, floats as bytes.

    Raises:
        CommandError: if it is no picture.
    """
    channels = 1 if picture.ndim == 2 else picture.shape[-1]
    if picture.ndim not in (2, 3) or channels not in (1, 3, 4) or 0 in picture.shape:
        text = f"its pictures have the shape {picture.shape}; allowed: grey, RGB or RGBA"
        raise CommandError(f"the episode cannot be filmed: {text}")
    levels = _levels(picture).reshape(*picture.shape[:2], channels)
    return levels.repeat(3, axis=-1) if channels == 1 else levels[..., :3]


def _levels(picture: Picture) -> Rgb:
    """Levels of 0 to 255."""
    if picture.dtype == np.uint8:
        return picture.astype(np.uint8, copy=False)
    most = 255 if picture.dtype.kind in "iu" else 1
    low, high = float(picture.min()), float(picture.max())
    if not 0 <= low <= high <= most:
        text = f"its pictures are {picture.dtype} from {low:g} to {high:g}; allowed: 0 to {most}"
        raise CommandError(f"the episode cannot be filmed: {text}")
    levels: Rgb = np.rint(picture.astype(np.float32) * (255 / most)).astype(np.uint8)
    return levels


def even(picture: Rgb) -> Rgb:
    """A picture of even height and width, as films want them: an odd one's last line stands twice."""
    height, width = picture.shape[:2]
    if height % 2 or width % 2:
        return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return picture


def _opened(file: Path, size: tuple[int, ...], pictures_per_second: float) -> Generator[None, Any, None]:
    import imageio_ffmpeg

    height, width = size
    scale = _SCALE if max(height, width) < _SMALL else 1
    writer: Generator[None, Any, None] = imageio_ffmpeg.write_frames(
        str(file),
        (width, height),
        fps=pictures_per_second,
        codec="libx264",
        macro_block_size=1,  # sizes are even already; another filter would take the place of the next line's
        output_params=["-vf", f"scale=iw*{scale}:ih*{scale}:flags=neighbor", "-movflags", "+faststart"],
    )
    writer.send(None)
    return writer
