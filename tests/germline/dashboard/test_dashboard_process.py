"""`germline dashboard` as a process: its link, its end, and masters that go and come back."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import monotonic

import pytest
from playwright.async_api import Browser

from germline.client import Client
from germline.ports import free_port
from tests.germline.dashboard.house import fetch, hand_worker, mastered, spec_of, visiting

PATIENCE_S = 60.0


@asynccontextmanager
async def process(*arguments: str, cwd: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *arguments, cwd=cwd,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()


async def link_of(started: asyncio.subprocess.Process) -> str:
    assert started.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        return str(json.loads(await started.stdout.readline())["link"])


@pytest.mark.browser
async def test_ten_tabs_load_and_a_dashboard_that_is_told_to_go_goes(
    tmp_path: Path, browser: Browser
) -> None:
    async with mastered(tmp_path) as master, AsyncExitStack() as tabs:
        await asyncio.to_thread(create, master.address)
        shows = process(
            "germline.dashboard",
            "--master",
            master.address,
            "--listen",
            "127.0.0.1:0",
            "--json",
            cwd=tmp_path,
        )
        started = await tabs.enter_async_context(shows)
        address = (await link_of(started)).rstrip("/")
        session = await browser.new_context()
        for _ in range(10):
            page = await session.new_page()
            await page.goto(f"{address}/e/one")
            await page.get_by_text("Waiting for a worker.").wait_for()
        assert len(session.pages) == 10
        async with hand_worker(master.address) as worker:
            await worker.play(2)
            for page in session.pages:
                await page.bring_to_front()
                await page.locator(".fact-value[title='2']").wait_for(timeout=5_000)
        told_s = monotonic()
        started.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_S):
            assert await started.wait() == 0
        assert monotonic() - told_s < 3.0
        await session.close()


@pytest.mark.browser
async def test_a_master_that_dies_is_missed_and_found_again(tmp_path: Path, browser: Browser) -> None:
    address = f"127.0.0.1:{free_port()}"
    master = ("master", "--listen", address, "--store-folder", "store", "--metrics-port", "-1")
    shows = ("germline.dashboard", "--master", address, "--listen", "127.0.0.1:0", "--json")
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(process(*master, cwd=tmp_path))
        await asyncio.to_thread(create, address)
        dashboard = (await link_of(await stack.enter_async_context(process(*shows, cwd=tmp_path)))).rstrip(
            "/"
        )
        visit = await stack.enter_async_context(visiting(browser, dashboard))
        await visit.open("/e/one")
        await visit.sees("Waiting for a worker.")
        first.kill()
        await visit.page.get_by_text("The master is away.").wait_for(timeout=5_000)
        assert "Waiting for a worker." in await visit.text()
        assert (await fetch(dashboard, "/api/experiments/one")).status == 503
        await stack.enter_async_context(process(*master, cwd=tmp_path))
        await visit.page.get_by_text("The master is away.").wait_for(state="detached", timeout=60_000)
        await visit.text()
        visit.check(allowed=["503", "ERR_"])


@pytest.mark.browser
async def test_a_folder_without_a_master_shows_how_its_run_stood(tmp_path: Path, browser: Browser) -> None:
    spec = ("name = 'short'", "[task.function]", "path = 'worker.tasks.function:noisy_sphere'",
            "dimension = 5", "[policy]", "name = 'vector'", "[algorithm.ga]", "window = 10", "parents = 2",
            "[stop]", "evaluations = 400")  # fmt: skip
    (tmp_path / "short.toml").write_text("\n".join(spec))
    program = "from germline.cli import main; main()"
    ran = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, "run", "short.toml", "--workers", "1", "--json", "--verdict", "0",
        cwd=tmp_path, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    async with asyncio.timeout(PATIENCE_S):
        assert await ran.wait() == 0
    shows = ("germline.dashboard", "--run", "runs/short", "--listen", "127.0.0.1:0", "--json")
    async with AsyncExitStack() as stack:
        started = await stack.enter_async_context(process(*shows, cwd=tmp_path))
        address = (await link_of(started)).rstrip("/")
        visit = await stack.enter_async_context(visiting(browser, address))
        await visit.open("/")
        await visit.page.get_by_role("link", name="short").click()
        await visit.sees("complete")
        await visit.sees("Table of 400 points")
        await visit.sees("From the archive, which has every evaluation: each evaluation is a point.")
        assert "400" in await visit.page.locator(".facts").inner_text()
        await visit.text()
        await visit.open("/workers")
        await visit.sees("No worker is connected")
        await visit.open("/e/short/i/champion")
        await visit.sees("There is nothing to watch.")
        visit.check()


def create(address: str) -> None:
    with Client(address) as client:
        client.wait_until_ready(PATIENCE_S)
        client.create(spec_of())
