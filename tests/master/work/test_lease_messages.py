"""How much work goes into one message."""

from germline.algorithms.slices import SliceAsk
from master.work.fleet import MAX_LEASES_PER_MESSAGE, MAX_SEEDS_PER_MESSAGE, in_messages
from master.work.lendings import Lease
from master.work.pending_work import Work


def work(*seeds: int) -> list[Work]:
    """A piece of work with so many episode seeds each."""
    asks = [SliceAsk(ticket, 0, ticket, 1, (7,) * count) for ticket, count in enumerate(seeds)]
    return [Work(ask, Lease(ask.ticket, 1, "w", 0.0)) for ask in asks]


def test_work_goes_in_messages_of_so_many_leases() -> None:
    pieces = work(*[1] * (2 * MAX_LEASES_PER_MESSAGE + 1))
    parts = list(in_messages(pieces))
    assert [len(part) for part in parts] == [MAX_LEASES_PER_MESSAGE, MAX_LEASES_PER_MESSAGE, 1]
    assert [piece for part in parts for piece in part] == pieces
    assert list(in_messages([])) == []


def test_work_of_many_episodes_goes_in_messages_that_a_worker_takes() -> None:
    half = MAX_SEEDS_PER_MESSAGE // 2
    parts = in_messages(work(half, half, half, 3 * half, 1))
    assert [[len(piece.ask.episode_seeds) for piece in part] for part in parts] == [
        [half, half], [half], [3 * half], [1],
    ]  # fmt: skip
