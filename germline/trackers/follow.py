"""Follows an experiment and tells a tracker: reads, notes what it will tell, tells it, notes that it did."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from germline.client import Experiment, HistoryPoint, NotReachableError
from germline.trackers.base import Champion, Row, Tracker, TrackerError
from germline.trackers.cursor import Cursor
from germline.trackers.rows import champion_key, to_rows

logger = logging.getLogger(__name__)

BETWEEN_CHAMPIONS_S = 60.0
"""Shortest time between two champions that are shown: a film takes seconds, and early ones do not last."""

_LONGEST_WAIT_S = 30.0


class Source(Protocol):
    """Where the curve is read."""

    def watch(self, interval_s: float) -> Iterator[Experiment]:
        """The experiment, again and again, until it is over; once where nothing changes any more."""
        ...

    def history(self) -> list[HistoryPoint]:
        """Its curve."""
        ...


Present = Callable[[Experiment], Champion | None]
"""Makes a look's champion ready to be shown; None if nothing can be shown of it."""


class Follower:
    """Tells one tracker of one experiment, over outages of either side.

    Attributes:
        told: rows that were told since the start.
    """

    def __init__(
        self,
        tracker: Tracker,
        cursor: Cursor,
        present: Present = lambda _look: None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Begin nothing yet.

        Args:
            tracker: is told.
            cursor: remembers.
            present: makes champions ready.
            clock: tells seconds.
            sleep: waits.
        """
        self.told = 0
        self._tracker, self._cursor, self._present = tracker, cursor, present
        self._clock, self._sleep = clock, sleep
        self._shown_s = float("-inf")
        self._is_out = False

    def follow(
        self, opened: Callable[[], AbstractContextManager[Source]], interval_s: float
    ) -> Experiment | None:
        """Tell everything until the experiment is over, or its source has nothing more.

        Args:
            opened: opens the source; again after it was away.
            interval_s: between two looks.

        Returns:
            The last look.
        """
        self._resume()
        last: Experiment | None = None
        wait_s = interval_s
        try:
            while True:
                try:
                    with opened() as source:
                        for last in source.watch(interval_s):
                            wait_s = interval_s
                            self._tell(source, last)
                    return last
                except NotReachableError as error:
                    self._say_out(error)
                    self._sleep(wait_s)
                    wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
        finally:
            self._tracker.close(is_over=last is not None and last.is_over)

    def _resume(self) -> None:
        """Go on; a tracker that cannot even begin is no outage: somebody is there to read why."""
        try:
            wanted = self._tracker.resume(self._cursor.after)
        except TrackerError:
            raise
        except Exception as error:  # whatever another project's library raises
            raise TrackerError(f"the tracker cannot begin: {type(error).__name__}: {error}") from error
        self._cursor.rewind(wanted)
        if self._cursor.pending:
            self._again(lambda: self._send(None))

    def _tell(self, source: Source, look: Experiment) -> None:
        """Tell what is new."""
        rows = to_rows(look, source.history(), self._cursor.after)
        champion = self._new_champion(look)
        if rows or champion:
            self._cursor.begin(rows)
            self._again(lambda: self._send(champion))

    def _send(self, champion: Champion | None) -> None:
        rows: list[Row] = self._cursor.pending
        if champion is not None:
            self._tracker.show(champion)
        if rows:
            self._tracker.log(rows)
        self.told += len(rows)
        self._cursor.done(champion.id if champion is not None else self._cursor.champion)

    def _new_champion(self, look: Experiment) -> Champion | None:
        """A champion that was not shown yet; at most one a minute, and the last one in any case."""
        key = champion_key(look)
        too_soon = self._clock() - self._shown_s < BETWEEN_CHAMPIONS_S and not look.is_over
        if not key or key == self._cursor.champion or too_soon:
            return None
        champion = self._present(look)
        self._shown_s = self._clock()
        return champion

    def _again(self, attempt: Callable[[], None]) -> None:
        """Try until it works. A tracker that is away is said to be once, and costs nobody else anything."""
        wait_s = 1.0
        while True:
            try:
                attempt()
            except TrackerError:
                raise
            except Exception as error:  # whatever another project's library raises
                self._say_out(error)
                self._sleep(wait_s)
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
            else:
                self._say_back()
                return

    def _say_out(self, error: Exception) -> None:
        if not self._is_out:
            logger.warning("%s: %s; trying again until it works", type(error).__name__, error)
        self._is_out = True

    def _say_back(self) -> None:
        if self._is_out:
            logger.warning("it works again; nothing was lost")
        self._is_out = False
