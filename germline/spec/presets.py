"""Specs for a budget of frames: the genetic algorithm's settings, each with where it comes from.

What was measured stands in benchmarks/search.md: little, on Frostbite, for ten million frames. Where a number
comes from the paper, or from nothing but judgement, its comment says so.
"""

from __future__ import annotations

from string import Template
from typing import Final, Literal, NamedTuple, get_args

Budget = Literal["10M", "100M", "1B"]
"""Emulator frames, everything counted."""

BUDGETS: Final[tuple[Budget, ...]] = get_args(Budget)


class _Sizes(NamedTuple):
    """What depends on the budget; see the comments in `_SPEC`."""

    frames: int
    cap_frames: int
    window: int
    parents: int
    founders: int
    candidates: int
    source: str


_SIZES: Final[dict[Budget, _Sizes]] = {
    "10M": _Sizes(
        10_000_000, 4_000, 100, 10, 100, 4, "a tenth of the paper's, to turn over often in some 4,000 games"
    ),
    "100M": _Sizes(100_000_000, 8_000, 300, 15, 300, 6, "between the paper's and what suits ten million"),
    "1B": _Sizes(1_000_000_000, 20_000, 1_000, 20, 1_000, 10, "the paper's, Such et al. 2018"),
}

_SPEC = Template("""\
# Written by `germline spec --for-frames $budget --game $game`. "Measured" is benchmarks/search.md, which
# is of Frostbite alone; "judgement" was not measured.

name = "$name"

[task.atari]
game = "$game"
# The paper's: no sticky actions, thirty starts (so a champion's score is exact), 20,000 frames.
protocol = "uber2018"

[policy]
$policy

[evaluation]
# Measured: at equal frames, the best of many founders on one start are better than of fewer on several.
episodes = 1
# So that everybody can verify the card.
precision = "int8"
lease_s = 1_800.0
# Judgement: more than half of the founders stand still, for 20,000 frames. Games of new individuals
# are cut here; candidates and the champion play whole ones.
cap_frames = $cap_frames

[algorithm.ga]
# Judgement: $source.
window = $window
parents = $parents
# Measured: the best six of 60 founders score alike, so many more find little.
founders = $founders
$power
# Judgement: a race costs thirty games at most, and few go to its end.
candidates = $candidates
validation_share = 0.2

[stop]
frames = $frames
""")

_POLICY = """\
# Measured: at equal frames its children are ahead of those of "motion", which sees nothing that stands still.
name = "uber2018"\
"""
_POWER = """\
# Measured: children keep 92 % of their parents' score, and 7 of 20 are better. At 0.002, the paper's, they
# keep 46 %, and 1 of 10 is better; at 0.005, 24 %.
power = 0.0003\
"""


def preset(game: str, budget: Budget) -> str:
    """A spec, as TOML with comments, for a game and a budget."""
    sizes = _SIZES[budget]
    numbers = {field: f"{value:_}" for field, value in sizes._asdict().items() if isinstance(value, int)}
    name = f"{game.replace('_', '-')}-{budget.lower()}"
    words = {"game": game, "name": name, "budget": budget, "source": sizes.source}
    return _SPEC.substitute(numbers, **words, policy=_POLICY, power=_POWER)
