"""The worker's bookkeeping keeps its promises whatever the network does."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from worker.connection.leases import MAX_BATCH, MAX_RETURNS, MAX_UNACKNOWLEDGED, Batch, LeaseBook
from worker.connection.prefetch import COVER_S, MAX_PREFETCH, Prefetch
from worker.playing.lease_work import ExperimentKey, LeaseKey, Score


def key(ticket: int, experiment: int = 1) -> LeaseKey:
    return LeaseKey(ExperimentKey(experiment), ticket, 1)


def score(ticket: int, experiment: int = 1) -> Score:
    return Score(key(ticket, experiment), (float(ticket),), frames=4, steps=1, play_s=0.1)


def test_credit_fills_the_room_once() -> None:
    leases = LeaseBook(room=5)
    leases.begin_stream()
    assert leases.grant() == 5
    assert leases.grant() == 0


def test_a_slice_takes_as_much_room_as_it_has_members() -> None:
    leases = LeaseBook(room=10)
    leases.grant()
    leases.lend([key(1)], evaluations=8)
    leases.lend([key(2)], evaluations=8)
    assert leases.grant() == 0
    leases.score([score(1)])
    assert leases.grant() == 2
    leases.revoke([key(2)])
    assert leases.grant() == 8


def test_a_new_stream_starts_without_credit_and_counts_what_is_held() -> None:
    leases = LeaseBook(room=5)
    leases.grant()
    leases.lend([key(1), key(2)])
    leases.begin_stream()
    assert leases.grant() == 3


def test_a_played_lease_makes_room_before_it_is_acknowledged() -> None:
    leases = LeaseBook(room=2)
    leases.grant()
    leases.lend([key(1), key(2)])
    leases.score([score(1)])
    assert leases.grant() == 1


def test_a_room_that_shrinks_takes_no_credit_until_it_is_empty_enough() -> None:
    leases = LeaseBook(room=4)
    leases.grant()
    leases.lend([key(n) for n in range(4)])
    leases.room = 2
    leases.score([score(0), score(1)])
    assert leases.grant() == 0
    leases.score([score(2)])
    assert leases.grant() == 1


def test_scores_that_no_master_keeps_stop_the_credit() -> None:
    leases = LeaseBook(room=MAX_UNACKNOWLEDGED + 1)
    tickets = range(MAX_UNACKNOWLEDGED)
    leases.grant()
    leases.lend(key(n) for n in tickets)
    leases.score(score(n) for n in tickets)
    assert leases.grant() == 0
    batch = leases.next_batch()
    assert batch is not None
    assert len(batch.scores) == MAX_BATCH
    leases.acknowledge(batch.sequence)
    assert leases.grant() > 0


def test_scores_of_many_episodes_are_told_in_messages_that_a_master_takes() -> None:
    leases = LeaseBook(room=100)
    sizes = [MAX_RETURNS // 2] * 3 + [2 * MAX_RETURNS] + [1] * 5
    leases.lend(key(n) for n in range(len(sizes)))
    leases.score(score(n)._replace(returns=(1.0,) * size) for n, size in enumerate(sizes))
    told = []
    while batch := leases.next_batch():
        told.append([len(each.returns) for each in batch.scores])
    assert told == [sizes[:2], sizes[2:3], sizes[3:4], sizes[4:]]


def test_a_revoked_lease_is_not_told() -> None:
    leases = LeaseBook(room=2)
    leases.lend([key(1), key(2)])
    leases.revoke([key(1), key(77)])
    assert leases.score([score(1), score(2)]) == 1
    batch = leases.next_batch()
    assert batch is not None
    assert batch.scores == (score(2),)


def test_dropping_an_experiment_leaves_the_others_alone() -> None:
    leases = LeaseBook(room=4)
    leases.lend([key(1, experiment=1), key(1, experiment=2)])
    leases.drop_experiment(ExperimentKey(1))
    assert leases.unplayed() == [key(1, experiment=2)]


def test_acknowledging_twice_or_too_early_changes_nothing() -> None:
    leases = LeaseBook(room=1)
    leases.lend([key(1)])
    leases.score([score(1)])
    assert leases.acknowledge(1) is None
    batch = leases.next_batch()
    assert batch is not None
    assert leases.acknowledge(batch.sequence) == batch
    assert leases.acknowledge(batch.sequence) is None
    assert leases.owed() == 0


def test_prefetch_covers_the_exchange_at_high_speed_and_hoards_nothing_at_low_speed() -> None:
    quick, slow = Prefetch(now_s=0.0), Prefetch(now_s=0.0)
    quick.note(1000, now_s=1.0)
    slow.note(2, now_s=1.0)
    assert quick.beyond(slots=8) == 1000 * COVER_S
    assert slow.beyond(slots=8) == 1
    assert slow.beyond(slots=64) == 8


def test_prefetch_is_bounded() -> None:
    prefetch = Prefetch(now_s=0.0)
    prefetch.note(10**9, now_s=1.0)
    assert prefetch.beyond(slots=8) == MAX_PREFETCH


class LedgerMachine(RuleBasedStateMachine):
    """A master that remembers everything, across a network that may break at any step."""

    lent = Bundle("lent")
    in_flight = Bundle("in_flight")

    def __init__(self) -> None:
        super().__init__()
        self.leases = LeaseBook(room=8)
        self.credit = 0
        self.tickets = 0
        self.played: set[LeaseKey] = set()
        self.durable: set[LeaseKey] = set()
        self.sent: dict[int, Batch] = {}

    @rule()
    def give_credit(self) -> None:
        self.credit += self.leases.grant()

    @rule(target=lent, wanted=st.integers(1, 4))
    def lend(self, wanted: int) -> object:
        count = min(wanted, self.credit)
        self.credit -= count
        keys = [key(self.tickets + n) for n in range(count)]
        self.tickets += count
        self.leases.lend(keys)
        return multiple(*keys)

    @rule(lease=consumes(lent))
    def play(self, lease: LeaseKey) -> None:
        self.played.add(lease)
        self.leases.score([score(lease.ticket)])

    @rule(lease=consumes(lent))
    def revoke(self, lease: LeaseKey) -> None:
        self.leases.revoke([lease])
        self.leases.score([score(lease.ticket)])

    @rule(target=in_flight)
    def tell(self) -> object:
        batch = self.leases.next_batch()
        if batch is None:
            return multiple()
        assert batch.sequence not in self.sent
        self.sent[batch.sequence] = batch
        return batch

    @rule(batch=consumes(in_flight))
    def acknowledge(self, batch: Batch) -> None:
        self.durable.update(told.key for told in batch.scores)
        self.leases.acknowledge(batch.sequence)

    @rule(batch=in_flight)
    def acknowledge_but_lose_the_answer(self, batch: Batch) -> None:
        self.durable.update(told.key for told in batch.scores)

    @rule(room=st.integers(1, 16))
    def resize(self, room: int) -> None:
        self.leases.room = room

    @rule()
    def reconnect(self) -> None:
        self.credit = 0
        self.leases.begin_stream()

    @invariant()
    def a_grant_never_fills_more_than_the_room(self) -> None:
        before = self.credit + len(self.leases.unplayed())
        granted = self.leases.grant()
        self.credit += granted
        assert before + granted <= max(before, self.leases.room)

    @invariant()
    def no_score_is_forgotten_before_it_is_durable(self) -> None:
        assert self.played - self.durable <= set(self.leases.held())

    @invariant()
    def a_repeated_message_says_what_it_said(self) -> None:
        for batch in self.leases.unacknowledged():
            assert self.sent[batch.sequence] == batch


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
