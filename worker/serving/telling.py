"""What one client is told of the models, and when: the rules by which none of them delays the others.

Clients take announcements one after the other and reach each model before they read on. So they are first
told of all models that are well, together; a model in trouble is left out until it is well; and one that this
client gave up comes back to it after a pause, in a frame of its own. Who takes over from another one is told
of in the frame before: clients forget at once and reach out slowly, and would have nobody meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from germline.models.announcements import Announced

FIRST_PAUSE_S = 10.0
"""Before a model comes back to a client that gave it up; twice as long each time."""
LONGEST_PAUSE_S = 300.0
LOOK_S = 5.0
"""Between two looks whether a model in trouble is well again."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A model that is served.

    Attributes:
        announced: as it is announced, but for the host, which depends on who listens.
        experiment: that it is of.
        trouble: why it is not announced now; empty if it is.
    """

    announced: Announced
    experiment: str
    trouble: str = ""


@dataclass(slots=True)
class _GivenUp:
    times: int
    back_s: float


class Teller:
    """What one client has been told, and what it is to be told next."""

    def __init__(self, host: str) -> None:
        """A client that reaches nodes at this host."""
        self._host = host
        self._told: dict[str, Announced] = {}
        self._given_up: dict[str, _GivenUp] = {}

    def first(self, offers: Mapping[str, Offer]) -> list[Announced]:
        """What the first frame announces."""
        well = [self._at_host(offer) for offer in offers.values() if not offer.trouble]
        self._told = {model.model_id: model for model in well}
        return well

    def news(self, offers: Mapping[str, Offer], now_s: float) -> list[list[Announced]]:
        """The frames that are due: who is new; then who has left; then each model that comes back."""
        wanted = {
            name: self._at_host(offer)
            for name, offer in offers.items()
            if name in self._told or not offer.trouble
        }
        back = [name for name in wanted if name in self._given_up and name not in self._told]
        due = [name for name in back if self._given_up[name].back_s <= now_s]
        new = [model for name, model in wanted.items() if name not in back and self._told.get(name) != model]
        left = [replace(model, state="STOPPED") for name, model in self._told.items() if name not in offers]
        self._told = {name: model for name, model in wanted.items() if name not in back or name in due}
        self._given_up = {name: kept for name, kept in self._given_up.items() if name in offers}
        return [frame for frame in (new, left) if frame] + [[wanted[name]] for name in due]

    def given_up(self, model_id: str, now_s: float) -> bool:
        """The client has given a model up; false if it was not told of it."""
        if self._told.pop(model_id, None) is None:
            return False
        times = self._given_up[model_id].times + 1 if model_id in self._given_up else 1
        pause_s = min(FIRST_PAUSE_S * 2 ** min(times - 1, 16), LONGEST_PAUSE_S)
        self._given_up[model_id] = _GivenUp(times, now_s + pause_s)
        return True

    def wait_s(self, now_s: float) -> float:
        """How long nothing is due by itself."""
        back = [kept.back_s - now_s for name, kept in self._given_up.items() if name not in self._told]
        return max(0.0, min([LOOK_S, *back]))

    def _at_host(self, offer: Offer) -> Announced:
        return replace(offer.announced, host=offer.announced.host or self._host)
