"""What holds a fleet up, in a sentence, and what a person should look at, from what the master says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from germline.bottleneck import in_words, weighted
from germline.cli.output import Json
from germline.cli.words import counted, number
from germline.client import Experiment, QuarantinedWorker, Worker
from germline.dashboard.metrics import Metrics

_BUSY, _IDLE = 0.85, 0.6
_LATE_S = 0.25
_SLOW_COMMIT_S = 0.1


class Seen(NamedTuple):
    """One look at everything.

    Attributes:
        experiments: all of them.
        workers: those that are connected.
        quarantined: those that were proven wrong.
        metrics: what the master counts; None where nobody said where that is.
    """

    experiments: Sequence[Experiment]
    workers: Sequence[Worker]
    quarantined: Sequence[QuarantinedWorker]
    metrics: Metrics | None


class Check(NamedTuple):
    """One thing that may be wrong.

    Attributes:
        name: what is looked at.
        state: "good", "look" or "bad".
        text: what was found, in words.
    """

    name: str
    state: str
    text: str


def report(seen: Seen) -> dict[str, Json]:
    """Everything that the page Health shows."""
    return {
        "bottleneck": bottleneck(seen),
        "checks": [check._asdict() for check in checks(seen)],
        "numbers": numbers(seen.metrics) if seen.metrics else None,
    }


def bottleneck(seen: Seen) -> str:
    """What everybody waits for."""
    running = [each for each in seen.experiments if each.state == "running"]
    workers, wanted = len(seen.workers), sum(each.workers_wanted for each in running)
    if seen.metrics and seen.metrics.value("germline_store_failing"):
        return "The store takes nothing in, so no score counts and nothing new is lent until it does."
    if not running:
        return "Nothing is running, so nothing is waited for."
    if not workers:
        return f"No worker is connected, so nothing is played; {_could_use(wanted)}."
    return _of_workers(seen.workers, wanted, seen.metrics)


def _of_workers(workers: Sequence[Worker], wanted: int, metrics: Metrics | None) -> str:
    busy = _busy(workers)
    share = f"{100 * busy:.0f} %"
    if busy >= _BUSY and wanted > len(workers):
        return (
            f"Workers: {counted(len(workers), 'worker')}, busy {share} of the time, and "
            f"{_could_use(wanted)}. More of them make it faster." + _stage(workers)
        )
    if busy >= _BUSY:
        return (
            f"The machines themselves: their workers play {share} of the time, and there are as many as the "
            "experiments can use. Faster machines or a cheaper precision make it faster, more workers do not."
            + _stage(workers)
        )
    if metrics and (late_s := metrics.value("germline_loop_late_most_seconds")) and late_s > _LATE_S:
        return f"The master: workers play only {share} of the time, and its loop was late by {late_s:.2f} s."
    if busy < _IDLE and wanted < len(workers):
        return (
            f"The search: {counted(len(workers), 'worker')}, busy only {share} of the time, since "
            f"{_could_use(wanted)}. A larger window, more parallelism or another experiment uses the rest."
        )
    if busy < _IDLE:
        return (
            f"Workers wait: they play only {share} of the time although there is work. Just after a start "
            "that is usual; if it stays, look at the network to the master, and at games that are very short."
        )
    return f"Nothing stands out: workers play {share} of the time, and {_could_use(wanted)}."


def _stage(workers: Sequence[Worker]) -> str:
    """What most of their time goes into, as a sentence of its own; empty while they do not say."""
    told = ((each.stage_shares, each.busy_share * each.slots) for each in workers)
    words = in_words(weighted(told))
    return f" {words[0].upper()}{words[1:]}." if words else ""


def _could_use(wanted: int) -> str:
    return f"the experiments can use {wanted:,}"


def _busy(workers: Sequence[Worker]) -> float:
    """Share of the time in which they play, weighted by what each can play at a time."""
    slots = sum(worker.slots for worker in workers)
    return sum(worker.busy_share * worker.slots for worker in workers) / slots if slots else 0.0


def checks(seen: Seen) -> Iterator[Check]:
    """What may be wrong, one by one."""
    yield from _of_store(seen.metrics)
    yield _of_troubles(seen.experiments)
    yield _of_quarantine(seen.quarantined)
    yield _of_fleet(seen.workers)
    lost = sum(each.leases_lost for each in seen.experiments)
    done = sum(each.evaluations for each in seen.experiments)
    often = lost > max(20, done // 20)
    text = (
        f"{counted(lost, 'lease')} ran out or came back since the master's start; their work is lent again."
    )
    yield Check("Leases", "look" if often else "good", text)
    failed = sum(each.failed for each in seen.experiments)
    text = f"{counted(failed, 'individual')} could not be scored" if failed else "everybody could be scored"
    yield Check("Evaluations", "look" if failed else "good", f"{text[0].upper()}{text[1:]}.")
    yield _of_verification(seen.experiments)


def _of_store(metrics: Metrics | None) -> Iterator[Check]:
    if metrics is None:
        return
    failing = metrics.value("germline_store_failing")
    text = "It takes nothing in." if failing else "It takes in what is told."
    yield Check("Store", "bad" if failing else "good", text)
    commit_s = metrics.mean("germline_journal_commit_seconds")
    if commit_s is not None:
        slow = commit_s > _SLOW_COMMIT_S
        text = f"A group of events is durable after {1_000 * commit_s:.1f} ms on average."
        yield Check("Journal", "look" if slow else "good", text)


def _of_troubles(experiments: Sequence[Experiment]) -> Check:
    troubled = [f"{each.name}: {each.trouble}" for each in experiments if each.trouble]
    return Check("Experiments", "bad" if troubled else "good", "; ".join(troubled) or "None is in trouble.")


def _of_quarantine(quarantined: Sequence[QuarantinedWorker]) -> Check:
    named = ", ".join(each.worker_id for each in quarantined)
    text = (
        f"Proven wrong, and without work until they are released: {named}." if named else "Nobody is in it."
    )
    return Check("Quarantine", "bad" if named else "good", text)


def _of_fleet(workers: Sequence[Worker]) -> Check:
    unable = ", ".join(each.worker_id for each in workers if each.trouble)
    if unable:
        return Check("Workers", "look", f"These cannot play everything: {unable}.")
    slow = _slow(workers)
    if slow:
        return Check("Workers", "look", f"Far slower than the others of their device: {', '.join(slow)}.")
    return Check("Workers", "good", f"{counted(len(workers), 'worker')}, all of them able.")


def _slow(workers: Sequence[Worker]) -> list[str]:
    """Busy workers at less than a third of the median speed of their device."""
    found = []
    for device in {each.device for each in workers}:
        speeds = sorted(each.frames_per_second for each in workers if each.device == device)
        if len(speeds) < 3:
            continue
        floor = speeds[len(speeds) // 2] / 3
        found += [
            each.worker_id
            for each in workers
            if each.device == device and each.busy_share > _IDLE and each.frames_per_second < floor
        ]
    return sorted(found)


def _of_verification(experiments: Sequence[Experiment]) -> Check:
    differed = sum(each.verification.differed for each in experiments)
    agreed = sum(each.verification.agreed + each.verification.close for each in experiments)
    if differed:
        return Check(
            "Checks", "look", f"{counted(differed, 'result')} came out differently on another worker."
        )
    text = (
        f"{counted(agreed, 'result')} played again, none of them different."
        if agreed
        else "None was due yet."
    )
    return Check("Checks", "good", text)


def numbers(metrics: Metrics) -> list[Json]:
    """What the master counts, in rows of name and text."""
    rows: list[tuple[str, str, float | None]] = [
        ("Evaluations since its start", "", metrics.value("germline_evaluations_total")),
        ("Events made durable", "", metrics.value("germline_journal_events_total")),
        ("Work that waits", "", metrics.value("germline_queue_depth")),
        ("Work that is lent", "", metrics.value("germline_leases_active")),
        ("Leases that ran out", "", metrics.value("germline_leases_expired_total")),
        ("Results refused", "", metrics.total("germline_results_refused_total")),
        ("Loop late, at most", " s", metrics.value("germline_loop_late_most_seconds")),
    ]
    return [
        {"name": name, "text": number(value, 3 if unit else 0) + unit}
        for name, unit, value in rows
        if value is not None
    ]
