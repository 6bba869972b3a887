"""`python -m master`: reads the settings, then serves until told to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace

from germline import logs, signals
from germline.settings import parse
from master.archive.opening import ArchiveError
from master.config import MasterConfig
from master.errors import StoreFailingError
from master.gateways import GatewayError
from master.journal.connection import StoreError
from master.journal.journal import OtherStoreError, SupersededError
from master.listening import AddressError
from master.server import Master

_SWITCH_S = 0.0005

logger = logging.getLogger("master")

OK, FAILED = 0, 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a master; return its exit code: 0 told to stop, 1 it cannot serve (any more), 2 wrong settings."""
    config = parse(
        MasterConfig, "germline master", sys.argv[1:] if arguments is None else arguments, os.environ
    )
    logs.configure(config.log_level, config.log_format)
    if config.unprotected:
        logger.warning("serving %s without %s, as insecure says", config.listen, config.unprotected)
    _answer_quickly()
    try:
        asyncio.run(_serve(config))
    except (
        StoreError,
        StoreFailingError,
        AddressError,
        ArchiveError,
        GatewayError,
        SupersededError,
    ) as error:
        logger.error("%s", error)
        return FAILED
    return OK


def _answer_quickly() -> None:
    """Look for cycles less often, and among the young: populations are many, live long and hold none.

    A look at everything takes half a second with a million individuals, in which nobody is answered. And let
    the thread that writes snapshots give way quickly: each of a thousand workers waits for its turn.
    """
    sys.setswitchinterval(_SWITCH_S)
    gc.freeze()
    gc.set_threshold(20_000, 5, 1_000)


async def _serve(config: MasterConfig) -> None:
    """Serve until a signal comes, then drain; a second one kills."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def told(number: signal.Signals) -> None:
        logger.info("got %s", number.name)
        stop.set()
        loop.remove_signal_handler(number)

    def left_alone() -> None:
        logger.info("whoever started this master is gone")
        stop.set()

    signals.heed(told, left_alone)
    while await _is_superseded(config, stop):
        config = replace(config, take_over=False)


async def _is_superseded(config: MasterConfig, stop: asyncio.Event) -> bool:
    """Serve until told to stop, or until another master has taken over: then this one waits for its turn."""
    serving = asyncio.Event()
    life = asyncio.create_task(_live(config, stop, serving))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((life, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not serving.is_set():
        life.cancel()  # nothing is to be drained yet
    try:
        await life
    except asyncio.CancelledError:
        return False
    except OtherStoreError:
        raise
    except SupersededError as error:
        logger.error("%s; this one waits", error)
        return not stop.is_set()
    return False


async def _live(config: MasterConfig, stop: asyncio.Event, serving: asyncio.Event) -> None:
    async with Master.serving(config, environment=os.environ) as master:
        serving.set()
        stopping, breaking = asyncio.create_task(stop.wait()), asyncio.create_task(master.broken())
        await asyncio.wait((stopping, breaking), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if breaking.done():
            breaking.result()
        breaking.cancel()
        await master.drain("the master got a signal to stop")


if __name__ == "__main__":
    sys.exit(main())
