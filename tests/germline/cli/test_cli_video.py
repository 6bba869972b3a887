"""Films of whatever environments draw: they play, in the right colours, at their own pace."""

import weakref
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest

from germline.cli.errors import CommandError
from germline.cli.video import Video, rgb

RED = (200, 0, 0)


def filmed(file: Path, pictures: list[np.ndarray], pace: float = 50.0) -> tuple[dict[str, Any], np.ndarray]:
    """What a reader says of a film, and its first picture."""
    with Video(file) as video:
        for picture in pictures:
            video.add(picture, pace)
    reader = imageio_ffmpeg.read_frames(str(file))
    about: dict[str, Any] = next(reader)
    width, height = about["size"]
    picture = np.frombuffer(next(reader), np.uint8).reshape(height, width, 3)
    reader.close()
    return about, picture


@pytest.mark.parametrize(
    "picture",
    [
        np.full((101, 101, 3), RED, np.uint8),
        np.full((64, 64, 4), (*RED, 255), np.uint8),
        np.full((64, 65, 3), (200 / 255, 0.0, 0.0)),
        np.full((33, 64, 3), RED, np.int64),
        np.full((501, 401, 3), RED, np.uint8),
    ],
    ids=["odd", "RGBA", "floats", "integers", "large"],
)
def test_a_film_shows_what_was_drawn_whatever_the_shape_of_its_pictures(
    picture: np.ndarray, tmp_path: Path
) -> None:
    about, seen = filmed(tmp_path / "film.mp4", [picture] * 5)

    red, green, blue = seen.reshape(-1, 3).mean(axis=0)
    assert red > 190
    assert max(green, blue) < 10
    assert round(about["fps"]) == 50
    assert not any(extent % 2 for extent in about["size"])


@pytest.mark.parametrize("shape", [(2, 4), (2, 4, 1)])
def test_grey_pictures_are_shown_in_three_colours(shape: tuple[int, ...]) -> None:
    picture = np.arange(8, dtype=np.uint8).reshape(shape)

    assert np.array_equal(rgb(picture), np.stack([picture.reshape(2, 4)] * 3, axis=-1))


@pytest.mark.parametrize(
    ("picture", "says"),
    [
        (np.zeros((4, 4, 2), np.uint8), r"the shape \(4, 4, 2\); allowed: grey, RGB or RGBA"),
        (np.zeros((3,), np.uint8), r"the shape \(3,\)"),
        (np.zeros((0, 4, 3), np.uint8), r"the shape \(0, 4, 3\)"),
        (np.full((4, 4, 3), 1.5), "float64 from 1.5 to 1.5; allowed: 0 to 1"),
        (np.full((4, 4, 3), np.nan), "float64 from nan to nan"),
        (np.full((4, 4, 3), 256, np.int32), "int32 from 256 to 256; allowed: 0 to 255"),
    ],
)
def test_what_is_no_picture_is_refused_with_a_sentence(picture: np.ndarray, says: str) -> None:
    with pytest.raises(CommandError, match=says):
        rgb(picture)


def test_a_picture_is_written_when_it_comes_and_not_kept(tmp_path: Path) -> None:
    kept = []
    with Video(tmp_path / "film.mp4") as video:
        for _ in range(10):
            picture = np.zeros((16, 16, 3), np.uint8)
            kept.append(weakref.ref(picture))
            video.add(picture, 10.0)
        del picture

        assert sum(each() is not None for each in kept) <= 1, "the last one may still be on its way"


def test_half_a_film_is_not_kept(tmp_path: Path) -> None:
    large, small = np.zeros((16, 16, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(
        CommandError, match=r"picture 2 has the shape \(8, 8, 3\), the first one \(16, 16, 3\)"
    ):
        filmed(tmp_path / "film.mp4", [large, small])

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("film.avi", "film.avi; allowed: an .mp4 file"),
        ("nowhere/film.mp4", "cannot be written: No such file"),
    ],
)
def test_where_no_film_can_lie_is_said_before_the_play(name: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=says):
        Video(tmp_path / name)
