"""What feeds are made of: looks at a master that may go away at any moment, and come back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from germline.cli.output import Json
from germline.client import Experiment, MasterError, NotReachableError
from germline.dashboard import answers
from germline.dashboard.feeds import Producer
from germline.dashboard.health import Seen, report
from germline.dashboard.metrics import Metrics, MetricsReader
from germline.dashboard.source import Source

_INTERVAL_S = 1.0
_OVER_S = 3.0  # between two looks at what is over, which may be extended
_LIST_S = 2.0
_LOST_S = 1.0


def experiment(source: Source, name: str) -> Producer:
    """One experiment by the master's own stream."""

    def looks() -> Iterator[Json]:
        for seen in source.watch(name, _INTERVAL_S, patience_s=0):
            yield answers.finite(answers.look(seen))

    return _again_and_again(looks, _OVER_S)


def experiments(source: Source) -> Producer:
    """All of them, in one call for everybody who looks."""

    def look() -> Iterator[Json]:
        yield {"experiments": [answers.finite(row(each)) for each in source.experiments()]}

    def row(each: Experiment) -> dict[str, Json]:
        return answers.look(each) | {"task": answers.task_text(each.spec)}

    return _again_and_again(look, _LIST_S)


def workers(source: Source) -> Producer:
    """The fleet, those in quarantine among them."""

    def look() -> Iterator[Json]:
        yield fleet(source)

    return _again_and_again(look, _LIST_S)


def fleet(source: Source) -> Json:
    """The workers as the master sees them now."""
    found, away = source.workers(), source.quarantined()
    return answers.finite(
        {"workers": list(map(answers.worker, found)), "quarantined": list(map(answers.quarantined, away))}
    )


def health(source: Source, reader: MetricsReader | None) -> Producer:
    """How the fleet fares."""

    def look() -> Iterator[Json]:
        yield health_of(source, reader)

    return _again_and_again(look, _LIST_S)


def health_of(source: Source, reader: MetricsReader | None) -> Json:
    """How the fleet fares now."""
    metrics, note = _metrics(reader)
    seen = Seen(source.experiments(), source.workers(), source.quarantined(), metrics)
    return answers.finite({**report(seen), "note": note})


def _metrics(reader: MetricsReader | None) -> tuple[Metrics | None, str]:
    """What the master counts, or why that is not known."""
    if reader is None:
        return None, "Store and journal are shown, too, when --metrics says where the master's metrics are."
    try:
        return reader.read(), ""
    except (OSError, ValueError) as error:
        return None, f"{reader.url} cannot be read: {error}"


def _again_and_again(look: Callable[[], Iterator[Json]], pause_s: float) -> Producer:
    """Looks until nobody wants any more; what goes wrong is a value, too."""

    def producing(stopped: threading.Event) -> Iterator[Json]:
        while not stopped.is_set():
            try:
                for value in look():
                    yield value
                    if stopped.is_set():
                        return
                stopped.wait(pause_s)
            except NotReachableError as error:
                yield {"lost": str(error)}
                stopped.wait(_LOST_S)
            except MasterError as error:
                yield {"refused": str(error), "code": error.code}
                stopped.wait(pause_s)

    return producing
