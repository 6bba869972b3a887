"""What tests of the dashboard share: a real master, a worker that is played by hand, and a real browser."""

from __future__ import annotations

import asyncio
import http.client
import importlib.resources
import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from grpc import aio
from playwright.async_api import Browser, Page, async_playwright
from playwright.async_api import TimeoutError as NotSeenError

from germline import noise
from germline.client import Client
from germline.dashboard.server import Dashboard, serving
from germline.dashboard.settings import DashboardSettings
from germline.spec import loads
from germline.v1 import spec_pb2, worker_pb2
from germline.v1.worker_pb2_grpc import WorkerServiceStub
from master.config import MasterConfig
from master.server import Master

PATIENCE_MS = 20_000
STRANGE = "<img src=x onerror=alert(1)>"
_BROWSERS = ("/usr/bin/chromium-headless-shell", "/usr/bin/chromium")
_ODD = re.compile(r"\bundefined\b|\bNaN\b|\bnull\b|\[object |Infinity")


def spec_of(name: str = "one", seed: int = 0, more: str = "") -> spec_pb2.ExperimentSpec:
    """A small search whose first champion comes after some ten evaluations."""
    return loads(f"""
name = "{name}"
seed = {seed}
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[algorithm.ga]
window = 20
parents = 4
candidates = 2
validation_episodes = 4
validation_share = 0.5
{more}""")


class HandWorker:
    """A worker that is played by hand: scores grow up to 10, so that somebody is crowned."""

    def __init__(
        self, call: aio.StreamStreamCall[worker_pb2.WorkerMessage, worker_pb2.MasterMessage]
    ) -> None:
        self._call = call
        self._sequence = 0

    async def play(self, evaluations: int, behaviour: Callable[[int], bytes] = lambda _: b"") -> None:
        """Tell so many scores, and what was done, one after the other; each is durable when this returns."""
        for _ in range(evaluations):
            self._sequence += 1
            await self._call.write(worker_pb2.WorkerMessage(credit=worker_pb2.Credit(evaluations=1)))
            (lease,) = (await self._hear("leases")).leases.leases
            result = worker_pb2.Result(
                lease=lease.key,
                returns=[float(min(self._sequence, 10))] * len(lease.episode_seeds),
                frames=40,
                steps=10,
                behaviour=behaviour(self._sequence),
            )
            results = worker_pb2.Results(sequence=self._sequence, results=[result])
            await self._call.write(worker_pb2.WorkerMessage(results=results))
            await self._hear("acknowledgement")

    async def _hear(self, kind: str) -> worker_pb2.MasterMessage:
        while isinstance(message := await self._call.read(), worker_pb2.MasterMessage):
            if message.WhichOneof("kind") == kind:
                return message
        raise AssertionError(await self._call.details())


@asynccontextmanager
async def hand_worker(address: str, name: str = "by-hand", device: str = "cpu") -> AsyncIterator[HandWorker]:
    """A worker that is connected while the context lasts."""
    async with aio.insecure_channel(address) as channel:
        call = WorkerServiceStub(channel).Work()
        hello = worker_pb2.Hello(
            worker_id=name,
            device=device,
            noise_version=noise.VERSION,
            noise_digest=noise.self_test_digest(),
            slots=4,
        )
        await call.write(worker_pb2.WorkerMessage(hello=hello))
        yield HandWorker(call)
        call.cancel()


@asynccontextmanager
async def mastered(folder: Path) -> AsyncIterator[Master]:
    """A master with a store of its own."""
    config = MasterConfig(listen="localhost:0", metrics_port=-1, store_folder=folder / "store")
    async with Master.serving(config) as master:
        yield master


@asynccontextmanager
async def shown(address: str, **settings: Any) -> AsyncIterator[Dashboard]:
    """A dashboard of the master at this address."""
    given: dict[str, Any] = {"host": "127.0.0.1", "port": 0}
    chosen = DashboardSettings(**(given | settings))
    async with serving(Client(address), chosen) as dashboard:
        yield dashboard


class Reply(NamedTuple):
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def told(self) -> Any:
        """The JSON of it."""
        return json.loads(self.body)


async def fetch(
    address: str,
    path: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Reply:
    """One request, as it is: no browser's manners, no redirects."""

    def asked() -> Reply:
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=20)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, found, answer.read())
        finally:
            connection.close()

    return await asyncio.to_thread(asked)


def browser_path() -> str:
    """Where a browser is; skips, loudly, where there is none."""
    named = os.environ.get("GERMLINE_BROWSER")
    for path in [named] if named else _BROWSERS:
        if shutil.which(path):
            return path
    return pytest.skip(f"no browser: none of {named or ', '.join(_BROWSERS)} is there")


@asynccontextmanager
async def opened_browser(*flags: str) -> AsyncIterator[Browser]:
    """A browser while the context lasts."""
    path = browser_path()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path, chromium_sandbox=False, args=list(flags)
        )
        try:
            yield browser
        finally:
            await browser.close()


class Visit:
    """A page in a browser, and all that went wrong in it."""

    def __init__(self, page: Page, address: str) -> None:
        self.page, self.address = page, address
        self.errors: list[str] = []
        self.strangers: list[str] = []
        page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self._seen(request.url))
        page.set_default_timeout(PATIENCE_MS)

    def _seen(self, url: str) -> None:
        if not url.startswith((self.address, "data:", "blob:")):
            self.strangers.append(url)

    async def open(self, path: str) -> None:
        """Go to a path of the dashboard."""
        await self.page.goto(self.address + path)

    async def sees(self, text: str | re.Pattern[str]) -> None:
        """Wait until this text can be seen."""
        try:
            await self.page.get_by_text(text).first.wait_for(state="visible")
        except NotSeenError:
            said = await self.page.inner_text("body")
            raise AssertionError(f"{text} is not in: {said}; {self.errors}") from None

    async def until(self, expression: str) -> None:
        """Wait until this JavaScript holds; the browser's own way of waiting is kept away by our policy."""
        async with asyncio.timeout(PATIENCE_MS / 1_000):
            while not await self.page.evaluate(expression):
                await asyncio.sleep(0.05)

    async def text(self) -> str:
        """All that the page says; nothing in it is a program's way of saying nothing."""
        said = await self.page.inner_text("body")
        assert said.strip()
        assert not (odd := _ODD.search(said)), f"{odd} in {said}"
        return said

    def check(self, *, allowed: Sequence[str] = ()) -> None:
        """Nothing went wrong, but for errors with one of these texts in them, and nobody else was asked."""
        wrong = [error for error in self.errors if not any(part in error for part in allowed)]
        assert wrong == []
        assert self.strangers == []


AXE = (importlib.resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


async def found_by_axe(page: Page) -> list[str]:
    """What is wrong, by rule and place."""
    await page.evaluate(AXE)
    options = {"runOnly": {"type": "tag", "values": RULES}}
    found: dict[str, Any] = await page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in found["violations"]
        for node in each["nodes"]
    ]


@asynccontextmanager
async def visiting(browser: Browser, address: str, **context: Any) -> AsyncIterator[Visit]:
    """A tab of its own session."""
    chosen = {"timezone_id": "UTC", "locale": "en-GB", "reduced_motion": "reduce"} | context
    session = await browser.new_context(**chosen)
    try:
        yield Visit(await session.new_page(), address)
    finally:
        await session.close()
