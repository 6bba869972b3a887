"""A replay in a real browser, of a score that a real worker told: film, seeking, steps, the same return."""

import asyncio
import base64
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser

from germline.client import Client, Experiment
from germline.dashboard.replays import Job, Replays
from germline.dashboard.server import Dashboard
from germline.genome import Genome, format_id
from germline.spec import loads, to_toml
from master.server import Master
from tests.germline.dashboard.house import Visit, fetch, found_by_axe, spec_of, visiting

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PATIENCE_S = 120.0
PONG = loads("""
name = "pong"
[task.atari]
game = "pong"
max_frames = 400
[policy]
name = "motion"
[evaluation]
precision = "int8"
[algorithm.ga]
window = 10
parents = 2
candidates = 1
validation_share = 0.9
[stop]
evaluations = 120
""")


@asynccontextmanager
async def worker(address: str, folder: Path) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "worker", "--master", address, "--device", "cpu", "--slots", "4", cwd=folder,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def complete(master: Master, folder: Path) -> Experiment:
    """A run whose champion has played all thirty starts."""

    def watch() -> Experiment:
        with Client(master.address) as client:
            client.create(PONG)
            *_, last = client.watch("pong", 0.2)
            return last

    async with asyncio.timeout(PATIENCE_S), worker(master.address, folder):
        return await asyncio.to_thread(watch)


async def test_a_champion_is_played_again_and_returns_what_it_returned(
    master: Master, dashboard: Dashboard, browser: Browser, tmp_path: Path
) -> None:
    final = await complete(master, tmp_path)
    assert final.champion is not None
    assert len(final.champion.start_returns) == 30
    async with visiting(browser, dashboard.address) as visit:
        page = visit.page
        page.set_default_timeout(PATIENCE_S * 1_000)
        await visit.open("/e/pong")
        await page.get_by_role("link", name="Watch it play").click()
        await page.get_by_label("Episode").select_option("start-3")
        await page.wait_for_url(re.compile("episode=start-3"))
        await page.get_by_role("button", name="Play it").click()
        await page.locator("video").wait_for()
        await visit.until("document.querySelector('video').readyState >= 2")
        stored = final.champion.start_returns[2]
        facts = await page.locator(".film-facts").inner_text()
        assert f"{stored:.1f} in the run, the same." in facts
        assert re.search(rf"Return\s+{re.escape(f'{stored:.1f}')}", facts)
        await page.evaluate("document.querySelector('video').play()")
        await visit.until("document.querySelector('video').currentTime > 0.2")
        await page.evaluate("document.querySelector('video').pause()")
        await visit.sees("Table of")
        await page.locator(".plot").focus()
        await page.keyboard.press("End")
        await visit.until("document.querySelector('video').currentTime > 6")
        await visit.sees(re.compile(r"Step 100, \w+"))
        await visit.sees("What the network answered in step 100")
        told = (await fetch(dashboard.address, re.sub("film.mp4", "steps", await film_of(visit)))).told
        assert told["are_sums"]
        assert [outputs.index(max(outputs)) for outputs in told["outputs"]] == told["action"]
        chosen = page.locator("tbody tr", has_text="chosen")
        assert told["action_names"][told["action"][99]] in await chosen.inner_text()
        await page.get_by_role("button", name="One step back").click()
        await page.get_by_role("button", name="Look at step 99").click()
        await visit.sees("Of step 99: the size of the gradient")
        await visit.sees("by the float network of the same weights")
        drawn = "document.querySelector('canvas.seen').toDataURL()"
        over = await page.evaluate(drawn)
        await page.get_by_role("button", name="The picture", exact=True).click()
        await visit.until(f"{drawn} !== '{over}'")
        await visit.text()
        for theme in ("light", "dark"):
            await page.emulate_media(color_scheme=theme)
            assert await found_by_axe(page) == []
        visit.check()
        film = await page.get_by_role("link", name="Download the film").get_attribute("href")
        part = await fetch(dashboard.address, str(film), headers={"range": "bytes=100-199"})
        assert (part.status, len(part.body)) == (206, 100)
        await kept_when_asked_for_again(visit)
        await parents_and_children(master, dashboard, visit)


async def kept_when_asked_for_again(visit: Visit) -> None:
    """Reload is the same page, and what was played once is there at once."""
    await visit.page.reload()
    assert await visit.page.get_by_label("Episode").input_value() == "start-3"
    await visit.page.get_by_role("button", name="Play it").click()
    await visit.page.locator("video").wait_for(timeout=3_000)  # what was played once is kept


async def parents_and_children(master: Master, dashboard: Dashboard, visit: Visit) -> None:
    """Both play the same episode, and what is said of them is what the master and their films say."""

    def family() -> tuple[str, str, str]:
        with Client(master.address) as client:
            known = [client.individual("pong", each.id) for each in client.individuals("pong")]
        child = next(each for each in known if each.genome and each.genome.last)
        assert child.genome is not None
        parent = child.genome.parent()
        assert parent is not None
        assert child.genome.last is not None
        return format_id(child.id), format_id(parent.id), str(child.genome.last.seed)

    child, parent, seed = await asyncio.to_thread(family)
    page = visit.page
    await visit.open(f"/e/pong/pair?child={child}")
    await visit.sees(f"noise of seed {seed}, times")
    table = await page.locator("tbody").first.inner_text()
    assert parent in table
    assert child in table
    await page.get_by_role("button", name="Let both play it").click()
    await page.get_by_role("button", name="Start both together").click()
    await visit.until("[...document.querySelectorAll('video')].every((film) => film.currentTime > 0.2)")
    await page.get_by_role("button", name="Stop both").click()
    assert await page.evaluate("[...document.querySelectorAll('video')].every((film) => film.paused)")
    await visit.sees(re.compile(r"They act alike (in every step|for \d+ steps, then the parent)"))
    sources = await page.evaluate(
        "[...document.querySelectorAll('video')].map((film) => film.getAttribute('src'))"
    )
    told = [(await fetch(dashboard.address, each.replace("film.mp4", "steps"))).told for each in sources]
    apart = [
        at
        for at, pair in enumerate(zip(*(each["action"] for each in told), strict=False))
        if len(set(pair)) > 1
    ]
    if apart:
        await visit.sees(f"They act alike for {apart[0]} steps")
        await page.get_by_role("button", name="Go to where they part").click()
        at = (apart[0] + 0.5) / told[0]["pictures_per_second"]
        moment = f"Math.abs(film.currentTime - {at}) < 0.01"
        await visit.until(f"[...document.querySelectorAll('video')].every((film) => {moment})")
    await visit.text()
    assert await found_by_axe(page) == []
    await page.set_viewport_size({"width": 320, "height": 800})
    assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    with Client(master.address) as client:
        founder = await asyncio.to_thread(lambda: client.ancestry("pong").trunk.id[0])
    await visit.open(f"/e/pong/pair?child={format_id(founder)}")
    await visit.sees("It has no parent.")
    visit.check()


async def film_of(visit: Visit) -> str:
    return str(await visit.page.get_by_role("link", name="Download the film").get_attribute("href"))


async def test_what_cannot_be_shown_says_why(master: Master, dashboard: Dashboard, browser: Browser) -> None:
    def create() -> None:
        with Client(master.address) as client:
            client.create(PONG)
            client.create(spec_of("one"))

    await asyncio.to_thread(create)
    async with visiting(browser, dashboard.address) as visit:
        for path, sentence in (
            ("/e/pong/i/champion", "has no individual with a score yet"),
            ("/e/pong/i/0123456789abcdef", "It cannot be shown."),
            ("/e/pong/i/nobody", "It cannot be shown."),
        ):
            await visit.open(path)
            await visit.sees(sentence)
            await visit.text()
        visit.check(allowed=["404", "409", "400"])


async def test_code_that_nobody_allowed_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evil.py").write_text("open('was-here', 'w')")
    monkeypatch.chdir(tmp_path)
    spec = to_toml(PONG).replace('name = "motion"', 'name = "evil:Net"')
    genome = base64.b64encode(Genome.founder(1).encode()).decode()
    replays = Replays()
    replay = replays.want(Job(spec=spec, genome=genome, seed=31, allow_code=""))
    async with asyncio.timeout(PATIENCE_S):
        while replay.state not in ("done", "failed"):
            await asyncio.sleep(0.05)
    assert replay.state == "failed"
    assert "evil:Net" in replay.why
    assert "this dashboard may not import" in replay.why
    assert not (tmp_path / "was-here").exists()
    replays.close()
