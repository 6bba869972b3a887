"""A run whose arithmetic is its workers' own: they come and go, and nothing stalls, is lost or doubled."""

import math
from collections import Counter, deque
from collections.abc import Callable

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from germline.algorithms.own import OwnRun
from germline.algorithms.own_epoch import Part, Slice
from germline.algorithms.own_orders import Kind, Order, Phase, UnknownTaskError

POPULATION = 7


def made_up(epoch: int, member: int) -> float:
    """What a member's return in an epoch is, whoever evaluates it."""
    return 100.0 * epoch + member


class Client:
    """A worker as the peers' are: one order after the other, and a state that only orders change."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.orders: deque[Order] = deque()
        self.state: int | None = None  # updates in it
        self.optimised: Counter[int] = Counter()

    def answer(self, run: OwnRun) -> bool:
        """Take the oldest order; whether a state is on its way to the store because of it."""
        order = self.orders.popleft()
        return bool(getattr(self, f"_{order.kind.value}")(run, order))

    def _welcome(self, run: OwnRun, order: Order) -> None:
        self.state = order.epoch if order.epoch >= 0 else None

    def _initialise(self, run: OwnRun, order: Order) -> bool:
        assert self.state is None
        self.state = 0
        return run.initialise(self.name, order.task)

    def _evaluate(self, run: OwnRun, order: Order) -> None:
        assert self.state == order.epoch, "evaluates with the state of another epoch"
        parts = [Part(s, tuple(made_up(order.epoch, m) for m in range(s, e))) for s, e in order.slices]
        assert run.tell(self.name, order.task, parts)

    def _optimise(self, run: OwnRun, order: Order) -> None:
        assert self.state == order.epoch, "optimises the state of another epoch"
        assert run.open.returns.tolist() == [made_up(order.epoch, m) for m in range(POPULATION)]
        self.optimised[order.epoch] += 1
        assert self.optimised[order.epoch] == 1, "optimises an epoch twice"
        self.state += 1
        assert run.optimise(self.name, order.task)

    def _share(self, run: OwnRun, order: Order) -> bool:
        assert self.state == order.epoch + 1, "shares a state that is behind"
        return run.share(self.name, order.task)

    def _stop(self, run: OwnRun, order: Order) -> None:
        assert run.is_over


class Crew(RuleBasedStateMachine):
    """Joins, deaths, answers, pauses, ends and restarts of the master, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.run_ = OwnRun(POPULATION, most_slices=2)
        self.clients: dict[str, Client] = {}
        self.born = 0
        self.is_storing = False
        self.most_updates = -1

    def deliver(self) -> None:
        for order in self.run_.take_orders():
            if order.worker in self.clients:
                self.clients[order.worker].orders.append(order)

    @precondition(lambda self: len(self.clients) < 5)
    @rule(room=st.integers(1, 10))
    def join(self, room: int) -> None:
        self.born += 1
        name = f"w{self.born}"
        self.clients[name] = Client(name)
        self.run_.join(name, room)
        self.deliver()

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.clients)))
        del self.clients[name]
        self.run_.leave(name)
        self.deliver()

    @precondition(lambda self: any(client.orders for client in self.clients.values()))
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        busy = sorted(name for name, client in self.clients.items() if client.orders)
        client = self.clients[data.draw(st.sampled_from(busy))]
        self.is_storing |= client.answer(self.run_)
        self.deliver()

    @precondition(lambda self: self.is_storing)
    @rule()
    def store(self) -> None:
        self.is_storing = False
        self.run_.stored()
        self.deliver()

    @rule(is_held=st.booleans())
    def pause(self, is_held: bool) -> None:
        self.run_.hold(is_held)
        self.deliver()

    @precondition(lambda self: not self.run_.is_over)
    @rule()
    def stop(self) -> None:
        self.run_.end()
        self.deliver()
        assert all(client.orders[-1].kind is Kind.STOP for client in self.clients.values())
        self.clients.clear()  # their streams end with that

    @precondition(lambda self: self.run_.is_over)
    @rule()
    def extend(self) -> None:
        self.run_.reopen()
        self.clients.clear()

    @rule()
    def restart(self) -> None:
        kept, self.run_ = self.run_.snapshot(), OwnRun(POPULATION, most_slices=2)
        self.run_.restore(kept)
        assert self.run_.snapshot() == kept
        self.clients, self.is_storing = {}, False

    @invariant()
    def nobody_is_lost_or_doubled(self) -> None:
        held = [s for m in self.run_.members.values() if m.task for s in m.task.slices]
        told = [part.slice for part in self.run_.open.told()]
        members = Counter(m for s in (*held, *told) for m in range(s.start, s.end))
        assert max(members.values(), default=0) <= 1
        assert len(members) + self.run_.open.free == POPULATION
        assert self.run_.updates >= self.most_updates
        self.most_updates = self.run_.updates

    def teardown(self) -> None:
        """Whatever happened: with one worker that answers, the run goes on."""
        if self.run_.is_over:  # who came since then was sent home
            self.run_.reopen()
            self.clients.clear()
        if not self.clients:
            self.join(3)
        self.run_.hold(False)
        self.deliver()
        goal = self.run_.updates + 3
        for _ in range(400):
            if self.is_storing:
                self.store()
            for client in list(self.clients.values()):
                if client.orders:
                    self.is_storing |= client.answer(self.run_)
                    self.deliver()
            self.nobody_is_lost_or_doubled()
            if self.run_.updates >= goal:
                break
        assert self.run_.updates >= goal, f"stalls in {self.run_.phase}"
        assert {client.state for client in self.clients.values()} <= {None, goal, goal + 1}, (
            "somebody is behind"
        )


TestCrew = Crew.TestCase


def served(*rooms: int, population: int = POPULATION) -> tuple[OwnRun, list[str]]:
    """A run in its first epoch, with workers of these rooms."""
    run = OwnRun(population)
    names = [f"w{k}" for k in range(len(rooms))]
    for name, room in zip(names, rooms, strict=True):
        run.join(name, room)
    first = next(order for order in run.take_orders() if order.kind is Kind.INITIALISE)
    assert run.initialise(first.worker, first.task)
    run.stored()
    return run, names


def kinds(run: OwnRun) -> list[tuple[str, Kind]]:
    return [(order.worker, order.kind) for order in run.take_orders()]


def tell_all(run: OwnRun) -> None:
    """Everybody evaluates until nothing is left."""
    while run.phase is Phase.EVALUATE:
        for order in run.take_orders():
            if order.kind is Kind.EVALUATE:
                run.tell(order.worker, order.task, [Part(s, (0.0,) * (e - s)) for s, e in order.slices])


def test_who_comes_while_the_first_state_is_made_waits_for_it() -> None:
    run = OwnRun(POPULATION)
    run.join("a", 2)
    run.join("b", 2)
    welcome, first = run.take_orders()
    assert (welcome.worker, welcome.kind, welcome.epoch, first.kind) == (
        "a",
        Kind.WELCOME,
        -1,
        Kind.INITIALISE,
    )
    assert run.initialise("a", first.task)
    assert run.take_orders() == []
    run.stored()
    assert kinds(run) == [("b", Kind.WELCOME), ("a", Kind.EVALUATE), ("b", Kind.EVALUATE)]


def test_another_makes_the_first_state_when_its_maker_dies() -> None:
    run = OwnRun(POPULATION)
    run.join("a", 2)
    run.join("b", 2)
    run.take_orders()
    run.leave("a")
    assert kinds(run) == [("b", Kind.WELCOME), ("b", Kind.INITIALISE)]


def test_a_worker_gets_as_many_members_as_it_has_room_for_and_a_dead_ones_go_to_the_living() -> None:
    run, _ = served(3, 2)
    lent = {o.worker: o for o in run.take_orders() if o.kind is Kind.EVALUATE}
    assert lent["w0"].slices == (Slice(0, 3),)
    assert lent["w1"].slices == (Slice(3, 5),)
    run.leave("w0")
    run.tell("w1", lent["w1"].task, [Part(3, (1.0, 1.0))])
    (again,) = run.take_orders()
    assert (again.worker, again.slices) == ("w1", (Slice(0, 2),))


def test_an_order_has_no_more_slices_than_are_allowed() -> None:
    run = OwnRun(10, most_slices=1)
    run.recall([Part(2, (0.0,)), Part(5, (0.0,))])
    run.join("a", 8)
    run.initialise("a", run.take_orders()[-1].task)
    run.open.recall([Part(2, (0.0,)), Part(5, (0.0,))])
    run.stored()
    assert [order.slices for order in run.take_orders()] == [(Slice(0, 2),)]


@pytest.mark.parametrize("dead", ["w0", "w1"])
def test_a_death_while_the_others_optimise_delays_nobody(dead: str) -> None:
    run, names = served(4, 4)
    tell_all(run)
    assert run.phase is Phase.OPTIMISE
    survivor = next(name for name in names if name != dead)
    task = run.members[survivor].task
    assert task is not None
    run.optimise(survivor, task.task)
    run.leave(dead)
    assert (survivor, Kind.SHARE) in kinds(run)


def test_the_next_one_shares_when_the_one_that_was_asked_dies_and_who_waits_begins_with_the_old_state() -> (
    None
):
    run, _ = served(7, 7)
    tell_all(run)
    for name in ("w0", "w1"):
        task = run.members[name].task
        assert task is not None
        run.optimise(name, task.task)
    run.join("late", 7)
    run.take_orders()
    run.leave("w0")
    assert kinds(run) == [("w1", Kind.SHARE)]
    run.leave("w1")
    assert kinds(run) == [("late", Kind.WELCOME), ("late", Kind.OPTIMISE)]


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ([Part(0, (1.0, 1.0))], "[0, 2)"),
        ([], "none"),
        ([Part(0, (1.0,) * 4)], "[0, 4)"),
        ([Part(-3, (1.0, 1.0, 1.0))], "[-3, 0)"),
        ([Part(0, (1.0,) * 3), Part(0, (1.0,))], "[0, 3), [0, 1)"),
    ],
)
def test_an_answer_for_other_members_than_those_lent_is_refused_and_changes_nothing(
    parts: list[Part], told: str
) -> None:
    run, _ = served(3)
    order = run.take_orders()[-1]
    before = run.snapshot()
    with pytest.raises(ValueError, match="allowed: each of "):
        run.tell("w0", order.task, parts)
    assert run.snapshot() == before
    assert run.tell("w0", order.task, [Part(1, (1.0, 1.0)), Part(0, (1.0,))])


@pytest.mark.parametrize(
    "parts",
    [
        [Part(0, (1.0,) * POPULATION), Part(-5, ())],
        [Part(0, (1.0,) * POPULATION), Part(10**9, ())],
        [Part(0, (1.0,))] * 200_000,
    ],
    ids=["nobody before the first", "nobody beyond the last", "one again and again"],
)
def test_an_answer_of_more_slices_than_members_or_of_empty_ones_is_refused_in_few_words(
    parts: list[Part],
) -> None:
    run, _ = served(POPULATION)
    order = run.take_orders()[-1]
    before = run.snapshot()
    with pytest.raises(ValueError, match="allowed: the 7 members that were lent") as refused:
        run.tell("w0", order.task, parts)
    assert len(str(refused.value)) < 300
    assert run.snapshot() == before


def test_a_late_answer_changes_nothing_and_one_to_no_question_is_an_error() -> None:
    run, _ = served(3)
    order = run.take_orders()[-1]
    assert run.tell("w0", order.task, [Part(0, (1.0,) * 3)])
    before = run.snapshot()
    assert not run.tell("w0", order.task, [Part(0, (2.0,) * 3)])
    assert not run.tell("gone", order.task, [Part(0, (2.0,) * 3)])
    assert run.snapshot() == before
    ask: list[Callable[[], object]] = [
        lambda: run.optimise("w0", 99),
        lambda: run.share("w0", order.task + 1),
    ]
    for call in ask:
        with pytest.raises(UnknownTaskError, match="that this worker was given to"):
            call()


def test_a_return_that_is_no_number_is_told_all_the_same_and_survives_a_restart() -> None:
    run, _ = served(POPULATION)
    order = run.take_orders()[-1]
    run.tell("w0", order.task, [Part(0, (math.nan, math.inf, *(1.0,) * 5))])
    again = OwnRun(POPULATION)
    again.restore(run.snapshot())
    assert again.open.is_complete
    assert math.isnan(again.open.returns[0])


def test_the_last_state_is_stored_before_everybody_is_sent_home_and_later_ones_are_shown_it() -> None:
    run, _ = served(POPULATION)
    tell_all(run)
    optimise = run.members["w0"].task
    assert optimise is not None
    run.optimise("w0", optimise.task)
    run.share("w0", run.take_orders()[-1].task)
    run.stored(is_last=True)
    assert kinds(run) == [("w0", Kind.STOP)]
    assert run.updates == 1
    run.join("late", 1)
    assert [(o.kind, o.epoch) for o in run.take_orders()] == [(Kind.WELCOME, 1), (Kind.STOP, 0)]
