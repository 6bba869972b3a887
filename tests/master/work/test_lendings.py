"""Leases by worker are those by work, whatever is put and popped."""

from hypothesis import given
from hypothesis import strategies as st

from master.work.lendings import Lease, Lendings

LEASES = st.builds(
    Lease, st.integers(0, 7), st.integers(1, 3), st.sampled_from(["a", "b", "c"]), st.floats(0, 9)
)


@given(st.lists(LEASES | st.integers(0, 7)))
def test_each_worker_holds_what_is_its_own_in_the_order_of_lending(changes: list[Lease | int]) -> None:
    lendings, plain = Lendings(), dict[int, Lease]()
    for change in changes:
        if isinstance(change, int):
            assert lendings.pop(change) == plain.pop(change, None)
        else:
            lendings.put(change)
            plain.pop(change.ticket, None)
            plain[change.ticket] = change
    assert list(lendings) == list(plain.values())
    assert len(lendings) == len(plain)
    for worker in ("a", "b", "c"):
        assert lendings.of(worker) == [lease for lease in plain.values() if lease.worker == worker]
    assert dict(lendings.counts()) == {
        worker: len(lendings.of(worker)) for worker in ("a", "b", "c") if lendings.of(worker)
    }
