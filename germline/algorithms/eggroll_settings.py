"""What shapes the epochs of an evolution strategy."""

from __future__ import annotations

from dataclasses import dataclass

from germline.algorithms.centre_novelty import CentreNoveltySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class EggrollSettings:
    """What shapes an epoch; everything that shapes the update is the workers' business.

    Attributes:
        pairs: antithetic pairs of an epoch.
        slice_pairs: pairs of one piece of work.
        episodes: episodes of each member; both members of a pair play the same ones.
        close_share: share of the pairs with which :meth:`Eggroll.close_early` may close an epoch.
        validation_epochs: epochs between two measurements of the centre; 0 for none.
        validation_episodes: episodes of one measurement that decide whether the centre leads.
        reported_episodes: further ones that decide nothing and are all that is reported of it; 0: what
            decided is reported, too, as before there were any.
        starts: an episode seed for each start, where the protocol has finitely many and some are reported:
            then a measurement plays each start once, in place of both.
        novelty: what novelty means to the strategy; None: nothing.
        normalise_observations: whether the run learns what observations are normalised by.
    """

    pairs: int = 64
    slice_pairs: int = 4
    episodes: int = 1
    close_share: float = 1.0
    validation_epochs: int = 10
    validation_episodes: int = 10
    reported_episodes: int = 10
    starts: tuple[int, ...] = ()
    novelty: CentreNoveltySettings | None = None
    normalise_observations: bool = False

    def __post_init__(self) -> None:
        """Refuse what makes no sense, by the field's name."""
        for field in ("pairs", "slice_pairs", "episodes", "validation_episodes"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field} is {getattr(self, field)}; allowed: at least 1")
        for field in ("validation_epochs", "reported_episodes"):
            if getattr(self, field) < 0:
                raise ValueError(f"{field} is {getattr(self, field)}; allowed: at least 0")
        if self.novelty is not None and self.validation_epochs != 1:
            raise ValueError(f"validation_epochs is {self.validation_epochs}; allowed with novelty: 1")
        if not 0 < self.close_share <= 1:
            raise ValueError(f"close_share is {self.close_share}; allowed: above 0 and at most 1")

    @property
    def slices(self) -> int:
        """Slices of one epoch; the last may be short."""
        return -(-self.pairs // self.slice_pairs)

    @property
    def tickets_per_epoch(self) -> int:
        """One for each slice and one, used or not, for the centre."""
        return self.slices + 1

    @property
    def centre_episodes(self) -> int:
        """Episodes of one measurement of the centre."""
        return len(self.starts) or self.validation_episodes + self.reported_episodes
