"""What an engine is: evaluations in, what was played out, under whatever keys its owner knows them by."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import Generic, NamedTuple, Protocol, TypeVar

from germline.genome import Genome
from germline.pairs import Slice
from worker.networks.population import Individual
from worker.playing.stages import Stages

Key = TypeVar("Key", bound=Hashable)


class Evaluation(NamedTuple, Generic[Key]):
    """Work: play an individual under each of the seeds.

    Attributes:
        key: whatever the owner knows it by.
        genome: the individual: a genome, or a member of an evolution strategy's epoch, or a slice of members.
        episode_seeds: one episode for each, at least one.
        parent: the genome without its last mutation; finding it out costs the length of a long line.
        cap_frames: each episode is cut with the step that reaches so many frames; 0: the task alone ends it.
        is_observed: whether a run that learns what to normalise by is told what was seen.
    """

    key: Key
    genome: Individual
    episode_seeds: tuple[int, ...]
    parent: Genome | None = None
    cap_frames: int = 0
    is_observed: bool = False

    @property
    def size(self) -> int:
        """How many evaluations it counts for, in credit and in room: one for each member of a slice."""
        return 2 * self.genome.pairs or 1 if isinstance(self.genome, Slice) else 1


class Played(NamedTuple, Generic[Key]):
    """What came of an evaluation.

    Attributes:
        key: the evaluation's.
        returns: sum of raw rewards of each episode, in the order of the seeds. With a failure there are none,
            or those of a slice's members that could be scored, and NaN for the others.
        frames: emulator frames of all episodes together.
        steps: agent steps of all episodes together.
        play_s: seconds from the first step to the last.
        failure: why it could not be scored, for people; empty if it was.
        cut: how many of the episodes its cap cut; None for an evaluation without a cap.
        behaviour: what was done, packed; empty where the experiment has none, and with a failure.
        observed: what was seen, packed; empty where it is not asked for, and with a failure.
    """

    key: Key
    returns: tuple[float, ...]
    frames: int
    steps: int
    play_s: float
    failure: str = ""
    cut: int | None = None
    behaviour: bytes = b""
    observed: bytes = b""


class Engine(Protocol[Key]):
    """What the worker's loop drives, whatever the task. Not safe for use by several threads."""

    @property
    def slots(self) -> int:
        """How many evaluations it plays at a time; falls when the device's memory runs out."""
        ...

    @property
    def frames(self) -> int:
        """Emulator frames so far, of unfinished episodes too."""
        ...

    @property
    def stages(self) -> Stages:
        """Where the time of its ticks went, since it was built."""
        ...

    def room(self) -> int:
        """How many more evaluations it takes now."""
        ...

    def busy(self) -> bool:
        """Whether there is anything to play."""
        ...

    def in_play(self) -> Collection[Key]:
        """What is being played now; if a tick never comes back, it is because of one of these."""
        ...

    def submit(self, evaluation: Evaluation[Key]) -> None:
        """Take work; more than there is room for waits."""
        ...

    def tick(self) -> list[Played[Key]]:
        """Play one step of everything; what is finished with it.

        What the task raises costs the evaluation that it is of. What else is raised means that the experiment
        cannot be played here.
        """
        ...

    def cancel(self, keys: Collection[Key]) -> None:
        """Stop playing these; keys that are not being played are ignored."""
        ...

    def drop(self) -> None:
        """Stop playing everything."""
        ...

    def close(self) -> None:
        """Free the task."""
        ...
