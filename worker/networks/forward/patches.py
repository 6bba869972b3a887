"""What a convolution's kernel sees at each of its places, copied side by side, a line for each place.

A copy of single bytes costs more than the product that follows; so bytes that lie together are copied as one
wider number wherever the sizes allow it.
"""

from __future__ import annotations

import torch
from torch import Tensor

_WIDE = {8: torch.int64, 4: torch.int32, 2: torch.int16, 1: torch.int8}


def patches(pictures: Tensor, kernel: tuple[int, ...], stride: int) -> Tensor:
    """Of pictures with channels last.

    Args:
        pictures: `[rows, height, width, channels]` int8, contiguous.
        kernel: its height and width.
        stride: places are so far apart.

    Returns:
        `[rows, places down, places across, kernel height * kernel width * channels]` int8.
    """
    rows, height, width, channels = pictures.shape
    size = _widest(channels)
    line = width * channels // size
    step = stride * channels // size
    taken = _wide(pictures, size).as_strided(
        (rows, *_places((height, width), kernel, stride), kernel[0], kernel[1] * channels // size),
        (height * line, stride * line, step, line, 1),
    )
    return _bytes(taken, kernel[0] * kernel[1] * channels)


def patches_of_planes(pictures: Tensor, kernel: tuple[int, ...], stride: int) -> Tensor:
    """Of pictures plane by plane, `[rows, planes, height, width]`; a line is planes, height, width."""
    rows, planes, height, width = pictures.shape
    size = _widest(width, stride, kernel[1])
    line = width // size
    taken = _wide(pictures, size).as_strided(
        (rows, *_places((height, width), kernel, stride), planes, kernel[0], kernel[1] // size),
        (planes * height * line, stride * line, stride // size, height * line, line, 1),
    )
    return _bytes(taken, planes * kernel[0] * kernel[1])


def _places(size: tuple[int, int], kernel: tuple[int, ...], stride: int) -> tuple[int, int]:
    down, across = ((n - k) // stride + 1 for n, k in zip(size, kernel, strict=True))
    return down, across


def _widest(*extents: int) -> int:
    """The largest number of bytes, up to eight, that divides all of these."""
    return next(size for size in _WIDE if all(extent % size == 0 for extent in extents))


def _wide(pictures: Tensor, size: int) -> Tensor:
    return pictures.contiguous().view(-1).view(_WIDE[size])


def _bytes(taken: Tensor, inputs: int) -> Tensor:
    """The copy, as bytes: a line of `inputs` for each place."""
    return taken.contiguous().view(-1).view(torch.int8).view(*taken.shape[:3], inputs)
