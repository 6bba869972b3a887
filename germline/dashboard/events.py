"""What happened to experiments while this dashboard looked: pauses, troubles, quarantines, restarts.

The master tells how things stand, not what was; so a thread looks every few seconds, whoever else does,
and notes what changed, and where on the run's axes that was.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import time

from germline.cli.output import Json
from germline.cli.words import duration
from germline.client import Experiment, MasterError, NotReachableError
from germline.dashboard.source import Source

_EVERY_S = 3.0
_MOST_KEPT = 200


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to an experiment, and where it then was."""

    name: str
    text: str
    at: float
    evaluations: int
    frames: int
    seconds: float

    def told(self) -> dict[str, Json]:
        """For browsers."""
        return {
            "text": self.text,
            "at": self.at,
            "evaluations": self.evaluations,
            "frames": self.frames,
            "seconds": round(self.seconds, 1),
        }


class Events:
    """Looks, and notes what changed; :meth:`start` begins."""

    def __init__(self, source: Source, now: Callable[[], float] = time) -> None:
        self._source, self._now = source, now
        self._events: deque[Event] = deque(maxlen=_MOST_KEPT)
        self._last: dict[str, Experiment] = {}
        self._away: set[str] | None = None
        self._lost_s: float | None = None
        self._stopped = threading.Event()

    def start(self) -> None:
        """Look until :meth:`close`."""
        threading.Thread(target=self._run, name="events", daemon=True).start()

    def close(self) -> None:
        """Look no more."""
        self._stopped.set()

    def of(self, name: str) -> list[Event]:
        """What happened to an experiment, oldest first."""
        return [event for event in list(self._events) if event.name == name]

    def _run(self) -> None:
        while not self._stopped.is_set():
            self.look()
            self._stopped.wait(_EVERY_S)

    def look(self) -> None:
        """One look."""
        try:
            found = {each.name: each for each in self._source.experiments()}
            away = {each.worker_id for each in self._source.quarantined()}
        except NotReachableError:
            self._lost_s = self._lost_s or self._now()
            return
        except MasterError:
            return
        self._note_return(found)
        for name, now in found.items():
            self._note_change(self._last.get(name), now)
        self._note_quarantine(found, away)
        self._last = found

    def _note_return(self, found: dict[str, Experiment]) -> None:
        """A master that was away, or that has begun anew: it counts lost leases from its own start."""
        if self._lost_s is not None:
            text = f"the master was away for {duration(self._now() - self._lost_s)}"
            self._lost_s = None
        elif any(
            now.leases_lost < self._last[name].leases_lost
            for name, now in found.items()
            if name in self._last
        ):
            text = "the master was started anew"
        else:
            return
        for now in found.values():
            if not now.is_over:
                self._note(now, text)

    def _note_change(self, before: Experiment | None, now: Experiment) -> None:
        if before is None:
            return
        if now.state != before.state:
            verb = "went on" if now.state == "running" else f"is {now.state}"
            self._note(now, f"it {verb}" + (f": {now.trouble}" if now.trouble else ""))
        elif now.trouble and now.trouble != before.trouble:
            self._note(now, now.trouble)
        if now.failed > before.failed:
            last = now.set_aside[-1].reason if now.set_aside else ""
            self._note(now, f"{now.failed - before.failed} could not be scored: {last}")

    def _note_quarantine(self, found: dict[str, Experiment], away: set[str]) -> None:
        """A worker that was proven wrong, or is back, on every experiment that runs."""
        changes = [] if self._away is None else [
            *(f"{worker} is in quarantine" for worker in sorted(away - self._away)),
            *(f"{worker} is out of quarantine" for worker in sorted(self._away - away)),
        ]  # fmt: skip
        self._away = away
        for now in found.values():
            for text in changes if now.state == "running" else ():
                self._note(now, text)

    def _note(self, now: Experiment, text: str) -> None:
        self._events.append(
            Event(now.name, text[:500], self._now(), now.evaluations, now.frames, now.running_s)
        )
