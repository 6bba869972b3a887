"""The life of a worker on one page.

Two threads. The event loop talks: it takes leases from the stream and tells scores. The playing thread
plays: it ticks the rollouts of all experiments in turn, and native code may keep it for as long as it likes.
Between them, orders go one way and scores the other.

    master --leases--> link --assignments--> playing thread --> rollout
    master <-results-- link <----scores----- outbox <-------------------
"""

from __future__ import annotations

import asyncio
import enum
import logging
import os
import signal
from collections.abc import Callable

from germline import signals
from worker import metrics
from worker.config import WorkerConfig
from worker.connection.channel import Dial
from worker.connection.link import Link
from worker.connection.results_log import ResultsLog
from worker.connection.worker_state import LinkSettings, WorkerState
from worker.leaving import watch_idleness, watch_time
from worker.machine import identify, prepare
from worker.playing.engine_builder import EngineBuilder
from worker.playing.watchdog import Watchdog
from worker.spot import watch_notice

logger = logging.getLogger(__name__)

FIRST_SLOTS = 2  # individuals to ask for before the first engine has sized itself
_NAMED = 16  # tickets in one line of the log
LAST_TICK_S = 2.0  # longest wait for native code that still plays when the worker leaves


class Ending(enum.Enum):
    """How a worker's life ends."""

    PLAIN = enum.auto()
    STILL_PLAYING = enum.auto()
    """Native code had to be left running."""
    HUNG = enum.auto()
    """What it played never came back: it should be started again."""


async def work(config: WorkerConfig, heed: Callable[[asyncio.Event], None] | None = None) -> Ending:
    """Play what the master lends until told to stop, or until the playing hangs.

    Args:
        config: the settings.
        heed: is given what stops the worker once it is set; signals do that, without it.

    Raises:
        RefusedError: if the master refuses this worker for good.
        SetupError: if this machine does not have the device.
    """
    device = prepare(config.device, config.threads)
    dial = Dial(config)
    results_log = ResultsLog(config.results_log) if config.results_log else None
    builder = EngineBuilder(device, config.slots or None, config.cache_mib << 20, config.allowed_code)
    link = Link(
        LinkSettings(
            master=config.master,
            dial=dial,
            go_on=dial.go_on,
            metadata=config.security.metadata(),
            identity=identify(device, config.worker_id),
            slots=config.slots or FIRST_SLOTS,
            build=builder.build,
            results_log=results_log,
        )
    )
    end_metrics = metrics.serve(config, link.state, link.state.settings.identity)
    stop = asyncio.Event()
    (heed or _heed_signals)(stop)
    link.state.playing.start()
    watches = [
        asyncio.create_task(watch_notice(config.spot_notice, stop)),
        asyncio.create_task(_watch_playing(link.state, stop)),
        asyncio.create_task(watch_time(config.for_, stop)),
        asyncio.create_task(watch_idleness(config.exit_when_idle, link.state.leases, stop)),
    ]
    try:
        await link.keep(stop)
    finally:
        for watch in watches:
            watch.cancel()
        end_metrics()
        finished = await asyncio.to_thread(link.state.playing.stop, LAST_TICK_S)
        if results_log is not None:
            results_log.close()
    if link.state.hang is not None:
        return Ending.HUNG
    return Ending.PLAIN if finished else Ending.STILL_PLAYING


async def _watch_playing(state: WorkerState, stop: asyncio.Event) -> None:
    """Leave when what is played never comes back."""
    state.hang = await Watchdog(state.playing).wait()
    tickets = ", ".join(f"{key.experiment}.{key.ticket}" for key in state.hang.playing[:_NAMED])
    logger.error("%s; it was one of the tickets %s", state.hang.reason, tickets or "(none)")
    stop.set()


def _heed_signals(stop: asyncio.Event) -> None:
    """Let SIGTERM and Ctrl-C ask the worker to leave, and the end of whoever started it."""

    def left_alone() -> None:
        logger.info("whoever started this worker is gone: handing the leases back")
        stop.set()

    signals.heed(on_signal(stop, os._exit), left_alone)


def on_signal(stop: asyncio.Event, leave: Callable[[int], object]) -> Callable[[signal.Signals], None]:
    """What to do about signals: the first asks the worker to leave, the second has it `leave` at once.

    The first one that comes after a spot notice is still the first: leases are being handed back.
    """
    earlier: list[signal.Signals] = []

    def asked(number: signal.Signals) -> None:
        if earlier:
            leave(128 + number)
        earlier.append(number)
        logger.info("%s: handing the leases back; a second one ends this worker at once", number.name)
        stop.set()

    return asked
