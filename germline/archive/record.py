"""One record of the archive: a single evaluation, in 80 bytes.

The layout is frozen with the format's version (:mod:`germline.archive.part`): a golden file in
``tests/golden`` holds it.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from germline.genome import format_id

Records: TypeAlias = NDArray[np.void]
"""`[N]` of :data:`RECORD`."""

BEHAVIOUR_NUMBERS: Final = 8
"""The first so many numbers of a behaviour are kept."""

RECORD: Final = np.dtype(
    [
        ("individual", "<u8"),  # the genome's id; of a member of an epoch: see member_id
        ("parent", "<u8"),  # id of the genome without its last mutation; 0: none
        ("mutation", "<u8"),  # seed of the last mutation; a founder's initialisation seed
        ("seed", "<u8"),  # of the first episode; it stands for the start where a protocol has finitely many
        ("fitness", "<f8"),  # mean return of the episodes
        ("frames", "<u4"),  # emulator frames of all episodes together; of a slice, its share
        ("running_cs", "<u4"),  # running time of the experiment when it was told, in hundredths of a second
        ("power", "<f4"),  # of the last mutation; always a float32 value
        ("cap_frames", "<u4"),  # frames after which episodes were cut; 0: whole games
        ("behaviour", "<u2", (BEHAVIOUR_NUMBERS,)),  # 0..65535 over the range that the spec states
        ("worker", "<u2"),  # its number in the experiment, from 1; 65535: that, or a later one
        ("rank", "<u2"),  # of the last mutation; 0: dense
        ("episodes", "<u2"),  # how many returns the fitness is the mean of
        ("flags", "u1"),
        ("behaviours", "u1"),  # how many numbers of the behaviour count, 0 to 8
    ]
)

FOUNDER: Final = 1
"""An individual without a parent."""
REPLAY: Final = 2
"""Fresh episodes of an individual that is known: a candidate's, which decide a title."""
MEASUREMENT: Final = 4
"""Fresh episodes of the champion that decide nothing, or an evolution strategy's centre itself."""
MEMBER: Final = 8
"""A member of an epoch, which has no genome: an evolution strategy's, or an own population's."""

LARGEST_U2: Final = 0xFFFF
_LARGEST_U4: Final = 0xFFFFFFFF


def member_id(epoch: int, member: int) -> int:
    """Name a member of an epoch: the epoch's number in the upper half, the member's in the lower.

    Members of an evolution strategy count plus before minus, pair after pair; 0xFFFFFFFF is the centre
    itself.
    """
    return (epoch & _LARGEST_U4) << 32 | (member & _LARGEST_U4)


CENTRE: Final = _LARGEST_U4
"""The member that is the centre itself."""


def name_of(individual: int, flags: int) -> str:
    """What people call who played: 16 hexadecimal digits, or the epoch and the member."""
    if not flags & MEMBER:
        return format_id(individual)
    epoch, member = individual >> 32, individual & _LARGEST_U4
    return f"{epoch}.centre" if member == CENTRE else f"{epoch}.{member}"
