"""The pages in a real browser, of a real master: what they say in every state, and that it is true."""

import asyncio
import re

import pytest
from playwright.async_api import Browser

from germline.client import Client
from germline.dashboard.server import Dashboard
from master.server import Master
from tests.germline.dashboard.house import STRANGE, hand_worker, shown, spec_of, visiting

pytestmark = pytest.mark.browser

SEEN = """
    Object.defineProperty(document, "hidden", {{ configurable: true, get: () => {} }});
    document.dispatchEvent(new Event("visibilitychange"));
"""


async def create(master: Master, name: str = "one", more: str = "") -> None:
    await steer(master, "create", spec_of(name, more=more))


async def steer(master: Master, verb: str, *arguments: object) -> object:
    def ask() -> object:
        with Client(master.address) as client:
            return getattr(client, verb)(*arguments)

    return await asyncio.to_thread(ask)


async def test_an_empty_master_says_what_to_do(dashboard: Dashboard, browser: Browser) -> None:
    async with visiting(browser, dashboard.address) as visit:
        await visit.open("/")
        await visit.sees("No experiment yet")
        assert "germline submit" in await visit.text()
        await visit.open("/workers")
        await visit.sees("No worker is connected")
        await visit.text()
        visit.check()


async def test_an_experiment_without_results_says_so(
    master: Master, dashboard: Dashboard, browser: Browser
) -> None:
    await create(master)
    async with visiting(browser, dashboard.address) as visit:
        await visit.open("/")
        await visit.page.get_by_role("link", name="one").click()
        await visit.sees("Waiting for a worker.")
        await visit.sees("Nothing is evaluated yet.")
        await visit.sees("The curve begins with the first evaluations.")
        await visit.text()
        visit.check()


async def test_what_is_shown_is_what_the_master_says(
    master: Master, dashboard: Dashboard, browser: Browser
) -> None:
    await create(master)
    async with hand_worker(master.address) as worker, visiting(browser, dashboard.address) as visit:
        await worker.play(60)
        await visit.open("/e/one")
        await visit.sees("Table of")
        with Client(master.address) as client:
            now = await asyncio.to_thread(client.experiment, "one")
            bands = await asyncio.to_thread(client.bands, "one")
        assert now.champion is not None
        facts = await visit.page.locator(".facts").inner_text()
        assert f"{now.champion.validated_mean or now.champion.fitness:,.1f}" in facts
        assert f"{now.evaluations}" in facts
        await visit.page.get_by_text("Table of").click()
        rows = await visit.page.locator(".as-table tbody tr").all_inner_texts()
        assert re.findall(r"[\d.]+", rows[0])[0] == str(now.evaluations) == str(bands.end[-1])
        assert f"{bands.q50[-1]:.1f}" in rows[0]
        assert await visit.page.locator(".plot canvas").count() == 1
        await visit.text()
        visit.check()


async def test_a_score_that_the_master_takes_in_is_shown_within_two_seconds(
    master: Master, dashboard: Dashboard, browser: Browser
) -> None:
    await create(master)
    async with hand_worker(master.address) as worker, visiting(browser, dashboard.address) as visit:
        await worker.play(3)
        await visit.open("/e/one")
        shown = visit.page.locator(".fact-value[title='3']")
        await shown.wait_for()
        await worker.play(1)
        await visit.page.locator(".fact-value[title='4']").wait_for(timeout=2_000)
        visit.check()


async def test_pause_completion_and_an_unknown_name_have_sentences(
    master: Master, dashboard: Dashboard, browser: Browser
) -> None:
    await create(master, more="[stop]\nevaluations = 3\n")
    async with hand_worker(master.address) as worker, visiting(browser, dashboard.address) as visit:
        await visit.open("/e/one")
        await steer(master, "pause", "one")
        await visit.sees("Nothing new is lent")
        await steer(master, "resume", "one")
        await visit.sees("running")
        await worker.play(3)
        await visit.sees("complete")
        await visit.sees("No champion yet.")
        await visit.sees(re.compile("It ran for"))
        await visit.text()
        await visit.open("/e/nobody")
        await visit.sees("It is not here.")
        await visit.text()
        await visit.open("/nowhere")
        await visit.sees("Nothing is here")
        visit.check(allowed=["404"])


async def test_words_of_strangers_are_words(master: Master, dashboard: Dashboard, browser: Browser) -> None:
    async with (
        hand_worker(master.address, device=STRANGE),
        visiting(browser, dashboard.address) as visit,
    ):
        await visit.open("/workers")
        await visit.sees(STRANGE)
        assert await visit.page.locator("img").count() == 0
        visit.check()


async def test_curves_are_compared_on_one_chart_and_the_address_keeps_the_choice(
    master: Master, dashboard: Dashboard, browser: Browser
) -> None:
    await create(master, "one")
    async with hand_worker(master.address) as worker, visiting(browser, dashboard.address) as visit:
        await worker.play(30)
        await steer(master, "pause", "one")
        await create(master, "two")
        await worker.play(20)
        await visit.open("/")
        for name in ("one", "two"):
            await visit.page.get_by_label(f"Compare {name}").check()
        await visit.page.get_by_role("button", name="Median").click()
        await visit.page.locator(".plot canvas").wait_for()
        assert "compare=one%2Ctwo" in visit.page.url
        await visit.page.reload()
        label = await visit.page.locator(".plot").get_attribute("aria-label") or ""
        assert re.match(r"The median of one, two\. one: [\d.]+; two: [\d.]+$", label), label
        await visit.text()
        visit.check()


async def test_zoom_axis_and_range_are_in_the_address_and_survive_a_reload(
    master: Master, dashboard: Dashboard, browser: Browser
) -> None:
    await create(master)
    async with hand_worker(master.address) as worker, visiting(browser, dashboard.address) as visit:
        await worker.play(40)
        await visit.open("/e/one")
        await (
            visit.page.get_by_role("button", name="Steps")
            .or_(visit.page.get_by_role("button", name="Calls"))
            .click()
        )
        await visit.page.get_by_role("button", name="Zoom in").click()
        await visit.page.wait_for_url(re.compile(r"axis=frames.*from=\d+.*to=\d+"))
        await visit.page.reload()
        await visit.page.get_by_role("button", name="All", exact=True).click()
        await visit.page.wait_for_url(re.compile(r"axis=frames$"))
        visit.check()


async def test_who_may_steer_steers(master: Master, browser: Browser) -> None:
    await create(master)
    async with (
        shown(master.address, allow_control=True) as dashboard,
        visiting(browser, dashboard.address) as visit,
    ):
        await visit.open("/e/one")
        await visit.page.get_by_role("button", name="Pause").click()
        await visit.sees("Nothing new is lent")
        await visit.page.get_by_role("button", name="Resume").click()
        await visit.page.get_by_text("Nothing new is lent").wait_for(state="detached")
        await visit.page.get_by_role("button", name="Stop…").click()
        await visit.page.get_by_role("button", name="Leave it").click()
        await visit.page.get_by_role("button", name="Stop…").click()
        await visit.page.get_by_role("button", name="Stop it").click()
        await visit.sees("stopped")
        visit.check()
    with Client(master.address) as client:
        assert (await asyncio.to_thread(client.experiment, "one")).state == "stopped"


async def test_a_hidden_tab_asks_for_nothing_and_is_up_to_date_when_it_is_seen_again(
    master: Master, dashboard: Dashboard, browser: Browser
) -> None:
    await create(master)
    async with hand_worker(master.address) as worker, visiting(browser, dashboard.address) as visit:
        await worker.play(3)
        await visit.open("/e/one")
        await visit.page.locator(".fact-value[title='3']").wait_for()
        await visit.page.evaluate(SEEN.format("true"))
        asked: list[str] = []
        visit.page.on("request", lambda request: asked.append(request.url))
        await worker.play(2)
        await visit.page.wait_for_timeout(2_500)  # in which a tab that is seen would have asked
        assert asked == []
        await visit.page.evaluate(SEEN.format("false"))
        await visit.page.locator(".fact-value[title='5']").wait_for()
        visit.check()
