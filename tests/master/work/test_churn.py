"""Where machines are taken away, that is no work's fault; what ends its workers is found all the same."""

import random

import pytest

from germline.algorithms.slices import SliceAsk
from master.work.churn import Churn, Odds
from master.work.leases import Start
from master.work.pending_work import PendingWork

AWAY_S, TURN_S = 30.0, 0.5
LOSSES_A_SECOND = 0.5 / 60  # half of the workers, each minute
WORKERS, SLOTS = 20, 4
LONG_S, SHORT_S = 60.0, 1.0


class Fleet:
    """Workers that are killed all the time, and play short evaluations and long ones; some work kills."""

    def __init__(
        self, *, killer: int = -1, reckons: bool = True, losses_a_second: float = LOSSES_A_SECOND
    ) -> None:
        self.now = 0.0
        self.pending = PendingWork(600.0, lambda: self.now, [Start(1, 0)], max_attempts=3)
        self.told, self.aside = set[int](), list[int]()
        self._killer, self._reckons, self._rate = killer, reckons, losses_a_second
        self._chance = random.Random(5)  # noqa: S311 - losses
        self._churn = Churn()
        self._asked = self._names = self.killed = 0
        self._playing: dict[str, dict[int, float]] = {}  # by worker and ticket, when it is done
        self._away: list[tuple[float, str]] = []

    def run(self, seconds: float) -> None:
        while self.now < seconds:
            self._take_turn()

    def _take_turn(self) -> None:
        self.now += TURN_S
        self._churn.live(WORKERS, TURN_S)
        while len(self._playing) < WORKERS:
            self._names += 1
            self._playing[f"w{self._names}"] = {}
        while self.pending.waiting_for_any < 2 * WORKERS * SLOTS:
            self.pending.add([SliceAsk(self._asked, 0, self._asked, 1, (0,))])
            self._asked += 1
        while self._away and self._away[0][0] <= self.now:
            self._give_up(self._away.pop(0)[1])
        for worker in list(self._playing):
            self._play(worker)

    def _play(self, worker: str) -> None:
        playing = self._playing[worker]
        self.killed += self._killer in playing
        if self._killer in playing or self._chance.random() < self._rate * TURN_S:
            del self._playing[worker]
            self._away.append((self.now + AWAY_S, worker))
            return
        for ticket in [ticket for ticket, until in playing.items() if until <= self.now]:
            del playing[ticket]
            self.pending.settle(ticket)
            self.pending.close(ticket, worker)
            self.told.add(ticket)
        self._lend(worker, playing)

    def _lend(self, worker: str, playing: dict[int, float]) -> None:
        pending, crew = self.pending, list(self._playing)
        if pending.is_on_trial(worker):
            return
        if pending.retries.has_trials and pending.retries.wants_trial(worker, crew):
            work = pending.lend_trial(worker, SLOTS, crew) if not playing else []
        else:
            work = pending.lend(worker, SLOTS - len(playing), (), crew) if len(playing) < SLOTS else []
        for piece in work:
            playing[piece.ask.ticket] = self.now + (LONG_S if self.is_long(piece.ask.ticket) else SHORT_S)

    def _give_up(self, worker: str) -> None:
        held = self.pending.tickets_of(worker)
        if held and not self.pending.is_on_trial(worker):
            self._churn.lose()
        odds = self._churn.odds(AWAY_S) if self._reckons else Odds()
        for ticket in self.pending.lose(worker, "it is gone", held, len(held), odds):
            self.aside.append(ticket)
            self.pending.settle(ticket)
            self.pending.close(ticket, worker)
        self.pending.give_back(worker)

    @staticmethod
    def is_long(ticket: int) -> bool:
        return bool(ticket % 2)


def test_long_evaluations_are_not_set_aside_for_the_fate_of_their_machines() -> None:
    fleet, careless = Fleet(), Fleet(reckons=False)
    for each in (fleet, careless):
        each.run(1_200.0)
    assert len(careless.aside) > 20  # so many would be, and all of them long ones
    assert all(map(Fleet.is_long, careless.aside))
    assert len(fleet.aside) <= 1


def test_all_that_was_asked_is_told_or_set_aside_or_still_pending() -> None:
    fleet = Fleet()
    fleet.run(300.0)
    done = fleet.told | set(fleet.aside)
    pending = {ticket for ticket in range(fleet.pending.next_ticket) if ticket not in done}
    for ticket in pending:
        assert fleet.pending.piece(ticket).ticket == ticket
    oldest = min(pending)
    assert fleet.told.issuperset(set(range(oldest)) - set(fleet.aside))


@pytest.mark.parametrize(("losses_a_second", "most"), [(0.0, 6), (LOSSES_A_SECOND, 15)])
def test_work_that_ends_its_workers_is_found_however_often_others_are_lost(
    losses_a_second: float, most: int
) -> None:
    fleet = Fleet(killer=6, losses_a_second=losses_a_second)
    while not fleet.aside:
        fleet.run(fleet.now + 10.0)
    assert fleet.aside == [6]
    assert 3 <= fleet.killed <= most


def test_no_number_of_losses_keeps_work_for_ever() -> None:
    pending = PendingWork(100.0, lambda: 0.0, [Start(1, 0)], max_attempts=3)
    pending.add([SliceAsk(0, 0, 0, 1, (0,))])
    always = Odds(losses_a_second=1e9, silent_s=-1.0)
    given_up: list[int] = []
    for number in range(15):
        assert not given_up
        lent = pending.lend_trial if number else pending.lend
        assert len(lent(f"w{number}", 1, ())) == 1
        given_up = pending.lose(f"w{number}", "it is gone", [0], 1, always)
    assert given_up == [0]


def test_the_odds_grow_with_the_time_that_work_was_held_and_a_loss_that_is_explained_has_none() -> None:
    churn = Churn()
    assert churn.odds().within(60.0) == 0.0
    churn.lose()
    assert 0 < churn.odds().within(1.0) < churn.odds().within(60.0) < 1
    assert churn.odds(silent_s=30.0).within(31.0) == pytest.approx(churn.odds().within(1.0))
    assert churn.odds(silent_s=30.0).within(10.0) == 0.0
    before = churn.odds().losses_a_second
    churn.live(20, 1e5)
    assert churn.odds().losses_a_second == pytest.approx(before * 1_200 / (1_200 + 2e6), rel=0.01)
