"""What an algorithm promises its master.

An algorithm hands out work (``ask``), is told what came of it (``tell``), and writes itself down
(``snapshot``, ``restore``). It is deterministic: the same asks and tells in the same order give the same
state, and whatever is random about ask number k is a digest of (experiment seed, k), so a restart cannot
change a die.

Example, with one result a worker never sent::

    first, second = algorithm.ask(2)            # pending: first, second
    algorithm.tell(Result(second.ticket, returns=(1.0,), frames=400, steps=100))
    list(algorithm.pending())                   # [first]: it may be told late, for ever
    algorithm.tell(Result(second.ticket, ...))  # raises AlreadyToldError, counts nothing
"""

from __future__ import annotations

import enum
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

from germline.genome import Genome

JsonValue: TypeAlias = bool | int | float | str | Sequence["JsonValue"] | dict[str, "JsonValue"] | None


class Purpose(enum.Enum):
    """Why an individual plays."""

    EXPLORE = 1  # a new individual's first episodes
    VALIDATE = 2  # a candidate's fresh episodes, which decide who is champion
    MEASURE = 3  # a champion's fresh episodes, which decide nothing and are all that is reported of it


class Ask(NamedTuple):
    """One piece of work.

    Attributes:
        ticket: names this work for ever; counts up from 0.
        genome: who plays.
        purpose: why.
        episode_seeds: one uint64 for each episode to play, in this order.
        parent_id: id of the genome without its last mutation; None for a founder and for validation.
            Children of one litter follow each other with the same ``parent_id``.
        cap_frames: emulator frames after which its episodes are cut; 0: they are whole games. A return under
            a cap is another number than that of a whole game, and the two are never compared.
    """

    ticket: int
    genome: Genome
    purpose: Purpose
    episode_seeds: tuple[int, ...]
    parent_id: int | None = None
    cap_frames: int = 0


class Result(NamedTuple):
    """What came of an Ask.

    Attributes:
        ticket: of the Ask.
        returns: the sum of raw rewards of each episode, in the order of ``episode_seeds``.
        frames: emulator frames played, all episodes together.
        steps: agent actions taken, all episodes together.
        failure: why it could not be scored; empty if it was. No algorithm is told of it otherwise.
        cut: how many of the episodes the Ask's cap cut, the others were whole games; None for an Ask without.
        behaviour: what was done, as :func:`germline.behaviour.pack` writes it; of a slice, one member's after
            the other's. Empty where the experiment has none.
        observed: what was seen, as :meth:`germline.observed.Observed.pack` writes it; empty where the
            experiment does not normalise, or does not ask this ticket.
    """

    ticket: int
    returns: tuple[float, ...]
    frames: int
    steps: int
    failure: str = ""
    cut: int | None = None
    behaviour: bytes = b""
    observed: bytes = b""


def check_result(result: Result, episodes: int) -> None:
    """Raise ValueError, naming the field, unless an Ask of so many episodes can have this result."""
    if result.failure:
        raise ValueError(f"failure is {result.failure!r}; it is no result, set ticket {result.ticket} aside")
    if len(result.returns) != episodes:
        raise ValueError(
            f"returns has {len(result.returns)} values; ticket {result.ticket} asked for {episodes} episodes"
        )
    if not math.isfinite(sum(result.returns)):
        raise ValueError(f"returns is {result.returns}; every return, and their sum, must be finite")
    for field, value in (("frames", result.frames), ("steps", result.steps)):
        if value < 0:
            raise ValueError(f"{field} is {value}; it counts from 0")


def check_cut(result: Result, cap_frames: int) -> None:
    """Raise ValueError unless an Ask with this cap, 0 for none, can have a result that was cut so."""
    if (result.cut is not None) != bool(cap_frames) or not 0 <= (result.cut or 0) <= len(result.returns):
        cap = f"a cap of {cap_frames:,} frames" if cap_frames else "no cap"
        allowed = f"0 to {len(result.returns)}, its episodes" if cap_frames else "none"
        raise ValueError(f"cut is {result.cut}; ticket {result.ticket} has {cap}, allowed: {allowed}")


class Champion(NamedTuple):
    """What is known of the best individual.

    Attributes:
        genome: who it is.
        mean: its mean return; of a validated one, over episodes that were asked for after it was crowned and
            decide nothing. NaN while there are none.
        episodes: how many episodes that is.
        standard_error: of the mean; NaN where one episode, or none, tells nothing of it, infinite where it
            is beyond what is counted.
        validated: False for a provisional leader, which has not yet played enough fresh episodes.
        returns: where the protocol has finitely many starts, and all were played: the return from each, in
            the order of the settings. Then the mean is exact.
        title_episodes: how many episodes decided its title, none of which is in its mean; 0 where that is
            exact, and of a provisional leader.
        proven: what fresh episodes confirm: the least of the mean that made it look good and of that of at
            least as many episodes since; minus infinity before these are played.
        title_mean: over the episodes that decided its title, and so too good; NaN where none did.
    """

    genome: Genome
    mean: float
    episodes: int
    standard_error: float
    validated: bool
    returns: tuple[float, ...] = ()
    title_episodes: int = 0
    proven: float = -math.inf
    title_mean: float = math.nan

    @property
    def known_mean(self) -> float:
        """The mean or, while it is not measured yet, what decided its title: a number, but a lucky one."""
        return self.mean if self.episodes else self.title_mean


@dataclass(frozen=True, slots=True)
class NewChampion:
    """The title changed hands: this individual now has the best validated mean.

    Attributes:
        genome: the new champion.
        mean: its mean return over the fresh episodes that decided the title, and so too good: nobody should
            report it.
        episodes: how many fresh episodes that is.
    """

    genome: Genome
    mean: float
    episodes: int


Event: TypeAlias = NewChampion


class TicketError(ValueError):
    """A result names a ticket that awaits none."""


class AlreadyToldError(TicketError):
    """The ticket's result is known; telling it again counts nothing."""


class UnknownTicketError(TicketError):
    """No such ticket was asked, or it was lost in a restart."""


class Algorithm(Protocol):
    """The one door between an algorithm and its master."""

    def ask(self, n: int) -> list[Ask]:
        """Hand out n pieces of work; never blocks and never hands out fewer."""
        ...

    def tell(self, result: Result) -> list[Event]:
        """Take one result, however late.

        Raises:
            AlreadyToldError: the ticket was told before.
            UnknownTicketError: the ticket was never asked.
            ValueError: a return is NaN or infinite, or their number is wrong. Nothing has changed then.
        """
        ...

    def set_aside(self, ticket: int) -> None:
        """Wait for this ticket no more: who plays cannot be scored. Raises as :meth:`tell` does."""
        ...

    def forget(self, individuals: Collection[int]) -> None:
        """Let nothing count that was told of these individuals; those that are known are asked anew."""
        ...

    def knows(self, individual_id: int) -> bool:
        """Whether a score of this individual still counts."""
        ...

    def adopt(self, ask: Ask) -> None:
        """Take back an Ask made before a restart, as if it had just been asked."""
        ...

    def pending(self) -> Iterable[Ask]:
        """The asks not yet told, in order of their tickets."""
        ...

    def snapshot(self) -> dict[str, JsonValue]:
        """The whole state as JSON values."""
        ...

    def restore(self, snapshot: dict[str, JsonValue]) -> None:
        """Become what :meth:`snapshot` wrote; raises ValueError, naming the field, if it does not fit."""
        ...
