"""Everybody can use it: axe finds nothing in both themes and at both widths, and keys reach everything."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from germline.client import Client
from germline.dashboard.server import Dashboard
from master.server import Master
from tests.germline.dashboard.house import found_by_axe, hand_worker, mastered, shown, spec_of, visiting

pytestmark = pytest.mark.browser


async def populate(master: Master) -> None:
    def create() -> None:
        with Client(master.address) as client:
            client.create(spec_of("one"))
            client.create(spec_of("two"))

    await asyncio.to_thread(create)


@pytest.mark.parametrize("width", [320, 1_280])
@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_axe_finds_nothing_and_nothing_is_wider_than_the_page(
    tmp_path: Path, browser: Browser, theme: str, width: int
) -> None:
    async with (
        mastered(tmp_path) as master,
        shown(master.address, allow_control=True) as dashboard,
        hand_worker(master.address) as worker,
        visiting(
            browser, dashboard.address, color_scheme=theme, viewport={"width": width, "height": 800}
        ) as visit,
    ):
        await visit.open("/")
        await visit.sees("No experiment yet")
        wrong = await found_by_axe(visit.page)
        await populate(master)
        await worker.play(60)
        for path, sign in (("/?compare=one,two&of=median", "Compared"), ("/workers", "by-hand"),
                           ("/health", "Checks"),
                           ("/e/one", "Table of"), ("/e/nobody", "It is not here.")):  # fmt: skip
            await visit.open(path)
            await visit.sees(sign)
            wrong += [f"{path} {each}" for each in await found_by_axe(visit.page)]
            wide = await visit.page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, path
        assert wrong == []
        visit.check(allowed=["404"])


async def test_the_door_is_accessible(tmp_path: Path, browser: Browser) -> None:
    async with (
        mastered(tmp_path) as master,
        shown(master.address, token="a" * 20) as dashboard,
        visiting(browser, dashboard.address) as visit,
    ):
        await visit.open("/?token=wrong")
        await visit.sees("The token of this link is wrong")
        assert await found_by_axe(visit.page) == []
        await visit.page.get_by_label("Token").fill("b" * 20)
        await visit.page.keyboard.press("Enter")
        await visit.sees("This is not the token.")
        await visit.page.get_by_label("Token").fill("a" * 20)
        await visit.page.keyboard.press("Enter")
        await visit.sees("No experiment yet")
        visit.check(allowed=["401"])


async def test_a_keyboard_does_it_all(master: Master, dashboard: Dashboard, browser: Browser) -> None:
    await populate(master)
    async with hand_worker(master.address) as worker, visiting(browser, dashboard.address) as visit:
        await worker.play(60)
        page = visit.page
        await visit.open("/")
        await page.get_by_label("Compare one").wait_for()
        await page.keyboard.press("Tab")
        assert await focused(page) == "To the content"
        await page.keyboard.press("/")
        await page.keyboard.type("one")
        await page.get_by_label("Compare two").wait_for(state="detached")
        assert page.url.endswith("?search=one")
        await page.keyboard.press("Tab")
        await page.get_by_label("Order").focus()
        await page.evaluate("document.activeElement.blur()")
        await page.keyboard.press("j")
        assert await focused(page) == "one"
        await page.keyboard.press("Enter")
        await visit.sees("Table of")
        await page.locator(".plot").focus()
        await page.keyboard.press("Home")
        first = await page.locator(".legend-at").inner_text()
        await page.keyboard.press("ArrowRight")
        assert await page.locator(".legend-at").inner_text() != first
        await page.locator("[aria-live=polite]").get_by_text("median").wait_for(state="attached")
        await page.keyboard.press("+")
        await page.wait_for_url("**from=*")
        await page.keyboard.press("0")
        await page.wait_for_url(dashboard.address + "/e/one")
        await page.keyboard.press("p")
        await visit.sees("Live updates are stopped.")
        await page.keyboard.press("p")
        await page.get_by_text("Live updates are stopped.").wait_for(state="detached")
        await page.keyboard.press("?")
        await visit.sees("Keyboard")
        await page.keyboard.press("Escape")
        await page.locator("dialog").wait_for(state="detached")
        await page.keyboard.press("g")
        await page.keyboard.press("w")
        await page.wait_for_url(dashboard.address + "/workers")
        visit.check()


async def focused(page: Page) -> str:
    return str(await page.evaluate("document.activeElement.textContent"))


async def test_a_chosen_theme_stays_chosen(dashboard: Dashboard, browser: Browser) -> None:
    async with visiting(browser, dashboard.address, color_scheme="light") as visit:
        await visit.open("/")
        await visit.page.get_by_role("button", name="Dark").click()
        await visit.page.reload()
        await visit.page.get_by_role("button", name="Light").wait_for()
        ground = "getComputedStyle(document.body).backgroundColor"
        assert await visit.page.evaluate(ground) == "rgb(16, 18, 20)"
        visit.check()
