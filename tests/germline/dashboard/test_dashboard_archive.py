"""The pages Lineage and Behaviour in a real browser, of a real master whose archive has a whole run in it."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser

from germline.bench.archive import NAME, fill
from germline.client import Client
from germline.dashboard.server import Dashboard
from germline.genome import format_id
from master.config import MasterConfig
from master.server import Master
from tests.germline.dashboard.house import fetch, found_by_axe, shown, spec_of, visiting

pytestmark = pytest.mark.browser

EVALUATIONS = 6_000


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many") / "store"
    asyncio.run(fill(folder, EVALUATIONS))
    return folder


@pytest.fixture
async def archived(store: Path) -> AsyncIterator[Master]:
    config = MasterConfig(listen="localhost:0", metrics_port=-1, store_folder=store)
    async with Master.serving(config) as master:
        yield master


@pytest.fixture
async def board(archived: Master) -> AsyncIterator[Dashboard]:
    async with shown(archived.address) as dashboard:
        yield dashboard


async def test_the_lineage_is_the_champions_line_and_what_is_chosen_stays_in_the_address(
    archived: Master, board: Dashboard, browser: Browser
) -> None:
    with Client(archived.address) as client:
        ancestry = await asyncio.to_thread(client.ancestry, NAME)
    best = max(range(len(ancestry.gains)), key=ancestry.gains.__getitem__)
    chosen = format_id(ancestry.trunk.id[best])
    async with visiting(browser, board.address) as visit:
        await visit.open(f"/e/{NAME}/lineage")
        await visit.sees(f"The champion's line has {ancestry.trunk_length - 1} mutations.")
        assert await visit.page.locator("svg.drawing").count() == 3
        assert await visit.page.locator("svg.drawing *").count() < 1_500
        await visit.page.get_by_role("button", name=chosen).first.click()
        await visit.sees("Chosen:")
        assert f"individual={chosen}" in visit.page.url
        await visit.page.reload()
        await visit.sees("Chosen:")
        await visit.text()
        visit.check()


async def test_a_cell_of_the_map_says_who_was_there_and_reload_says_it_again(
    archived: Master, board: Dashboard, browser: Browser
) -> None:
    async with visiting(browser, board.address) as visit:
        await visit.open(f"/e/{NAME}/behaviour")
        await visit.sees("Cells with the fittest evaluations")
        await visit.page.locator("tbody button").first.click()
        await visit.sees("The fittest 25, best first")
        shown_first = await visit.page.locator("tbody code").first.inner_text()
        with Client(archived.address) as client:
            best = await asyncio.to_thread(client.evaluations, NAME, "best", 1)
        assert shown_first == format_id(best.evaluations.individual[0])
        await visit.page.reload()
        await visit.sees("The fittest 25, best first")
        await visit.page.get_by_role("button", name="Where they differ most").click()
        await visit.sees("The map")
        await visit.text()
        visit.check()


async def test_clicking_into_the_map_chooses_the_nearest_cell(board: Dashboard, browser: Browser) -> None:
    async with visiting(browser, board.address) as visit:
        await visit.open(f"/e/{NAME}/behaviour")
        await visit.page.locator("canvas.drawing").click(position={"x": 30, "y": 30})
        await visit.sees("Who was in cell")
        visit.check()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1_280])
async def test_axe_finds_nothing_on_these_pages(
    board: Dashboard, browser: Browser, scheme: str, width: int
) -> None:
    context = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
    async with visiting(browser, board.address, **context) as visit:
        for page, text in (("lineage", "Whose descendants"), ("behaviour", "Cells with")):
            await visit.open(f"/e/{NAME}/{page}")
            await visit.sees(text)
            assert await found_by_axe(visit.page) == []
            assert await visit.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


async def test_whom_the_population_has_forgotten_can_still_be_asked_for(
    archived: Master, board: Dashboard
) -> None:
    with Client(archived.address) as client:
        page = await asyncio.to_thread(client.evaluations, NAME, "oldest", 2)
    oldest = format_id(page.evaluations.individual[0])
    reply = await fetch(board.address, f"/api/experiments/{NAME}/individuals/{oldest}/episodes")
    assert reply.status == 200
    assert reply.told["individual"]["id"] == oldest
    assert reply.told["known"][0] == {
        "seed": str(page.evaluations.seed[0]), "return": page.evaluations.fitness[0],
    }  # fmt: skip


async def test_answers_are_small_and_bad_questions_are_refused(board: Dashboard) -> None:
    path = f"/api/experiments/{NAME}"
    for asked in ("/lineage", "/behaviour?by=principal", "/behaviour?x=1&y=2", "/evaluations"):
        reply = await fetch(board.address, path + asked)
        assert reply.status == 200
        assert len(gzip.compress(reply.body)) < 50_000
    for asked in ("/behaviour?x=9", "/behaviour?axes=1,2", "/behaviour?axes=a", "/evaluations?order=odd"):
        reply = await fetch(board.address, path + asked)
        assert reply.status == 400
        assert "allowed" in reply.told["error"] or "no number" in reply.told["error"]


async def test_an_experiment_without_scores_or_behaviour_says_so(
    master: Master, dashboard: Dashboard, browser: Browser
) -> None:
    with Client(master.address) as client:
        await asyncio.to_thread(client.create, spec_of())
    async with visiting(browser, dashboard.address) as visit:
        await visit.open("/e/one/lineage")
        await visit.sees("There is no lineage to show.")
        await visit.open("/e/one/behaviour")
        await visit.sees("It says nothing of what was done.")
        visit.check(allowed=["409"])
