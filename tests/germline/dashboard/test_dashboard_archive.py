"""The pages Lineage and Behaviour in a real browser, of a real master whose archive has a whole run in it."""

import asyncio
import csv
import gzip
import re
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
DRAWN = "document.querySelector('canvas.drawing').toDataURL()"


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
        await visit.sees("Number 1 to")
        shown_first = await visit.page.locator("tbody code").first.inner_text()
        with Client(archived.address) as client:
            best = await asyncio.to_thread(client.evaluations, NAME, "best", 1)
        assert shown_first == format_id(best.evaluations.individual[0])
        await visit.page.reload()
        await visit.sees("Number 1 to")
        await visit.page.get_by_role("button", name="Where they differ most").click()
        await visit.sees("The map")
        await visit.text()
        visit.check()


async def test_what_the_lineage_shows_can_be_downloaded_for_other_programs(
    archived: Master, board: Dashboard, browser: Browser
) -> None:
    with Client(archived.address) as client:
        found = await asyncio.to_thread(client.ancestry, NAME)
    shown = {format_id(each) for each in (*found.trunk.id, *found.crown.id)}
    async with visiting(browser, board.address) as visit:
        await visit.open(f"/e/{NAME}/lineage")
        await visit.sees("For other programs")
        texts = []
        for form in ("Newick", "CSV"):
            async with visit.page.expect_download() as download:
                await visit.page.get_by_role("link", name=form, exact=True).click()
            texts.append((await (await download.value).path()).read_text())
        visit.check()
    tree, table = texts
    assert tree.count("(") == tree.count(")") > 0
    assert set(re.findall("[0-9a-f]{16}", tree)) == shown
    rows = list(csv.DictReader(table.splitlines()))
    assert {row["taxon_label"] for row in rows} == shown
    assert len({row["id"] for row in rows}) == len(rows)
    mutations = {row["id"]: int(row["mutations"]) for row in rows}
    above = {row["id"]: row["ancestor_list"].strip("[]") for row in rows}
    (champion,) = (row["id"] for row in rows if row["taxon_label"] == format_id(found.champion))
    depth, line = 0, []
    while champion != "none":  # up to the founder, through everybody of the trunk
        depth, champion = depth + mutations[champion], above[champion]
        line.append(champion)
    assert depth == found.trunk_length - 1
    assert len(line) >= len(found.trunk.id)


async def test_whose_line_is_not_shown_whole_has_its_youngest_ancestor_marked(
    archived: Master, board: Dashboard, browser: Browser
) -> None:
    with Client(archived.address) as client:
        ancestry = await asyncio.to_thread(client.ancestry, NAME)
        newest = await asyncio.to_thread(client.evaluations, NAME, "newest", 200)
    shown = {*ancestry.trunk.id, *ancestry.crown.id}
    hidden = next(each for each in newest.evaluations.individual if each not in shown)
    async with visiting(browser, board.address) as visit:
        await visit.open(f"/e/{NAME}/lineage?individual={format_id(hidden)}")
        await visit.sees("its youngest ancestor that is,")
        assert await visit.page.locator("circle.marked").count() >= 1
        await visit.page.get_by_role("button", name="Choose nobody").click()
        await visit.until("document.querySelectorAll('circle.marked').length === 0")
        visit.check()


async def test_axes_have_the_names_of_the_task_and_their_ranges(board: Dashboard, browser: Browser) -> None:
    async with visiting(browser, board.address) as visit:
        await visit.open(f"/e/{NAME}/behaviour")
        await visit.sees("Across: left, 0.0 to 1.0.")
        await visit.page.get_by_label("Across").select_option("speed")
        await visit.sees("Across: speed, 0.0 to 1.0.")
        await visit.page.get_by_role("button", name="Both").click()
        await visit.until("document.querySelectorAll('canvas.drawing').length === 2")
        assert await visit.page.get_by_text(re.compile(r"Across: .0\.\d+ \w+ .0\.\d+ \w+")).count() == 1
        visit.check()


async def test_a_brush_lists_who_was_in_all_of_its_cells_page_by_page(
    archived: Master, board: Dashboard, browser: Browser
) -> None:
    def asked() -> list[str]:
        with Client(archived.address) as client:
            axes = client.behaviour_map(NAME, (0, 1)).axes
            cells = (axes, (0, 127), (0, 127))
            page = client.evaluations(NAME, "best", 30, cells=cells)
            return [format_id(each) for each in page.evaluations.individual]

    wanted = await asyncio.to_thread(asked)
    async with visiting(browser, board.address) as visit:
        await visit.open(f"/e/{NAME}/behaviour")
        await visit.sees("Across: left")
        box = await visit.page.locator("canvas.drawing").bounding_box()
        assert box is not None
        await visit.page.mouse.move(box["x"] + 1, box["y"] + 1)
        await visit.page.mouse.down()
        await visit.page.mouse.move(box["x"] + box["width"] - 2, box["y"] + box["height"] - 2)
        await visit.page.mouse.up()
        await visit.sees("Who was in columns 0 to 127, rows 0 to 127")
        await visit.sees("Number 1 to 25 of them")
        names = visit.page.locator("tbody code")
        assert await names.all_inner_texts() == wanted[:25]
        await visit.page.get_by_role("button", name="More of them").click()
        await visit.sees("Number 26 to 50 of them")
        assert (await names.all_inner_texts())[:5] == wanted[25:]
        await visit.page.locator("canvas.drawing").press("Escape")
        await visit.until("!document.body.innerText.includes('Who was in')")
        await visit.page.locator("canvas.drawing").press("ArrowRight")
        await visit.page.locator("canvas.drawing").press("Shift+ArrowUp")
        await visit.sees("Who was in columns 64 to 64, rows 64 to 65")
        visit.check()


async def test_who_is_chosen_is_marked_on_the_map_the_curve_and_the_lineage_and_stays_in_the_address(
    archived: Master, board: Dashboard, browser: Browser
) -> None:
    async with visiting(browser, board.address) as visit:
        await visit.open(f"/e/{NAME}/behaviour?cells=0,0,127,127")
        await visit.sees("Number 1 to")
        without = await visit.page.evaluate(DRAWN)
        await visit.page.locator("tbody button code").first.click()
        await visit.sees("Chosen:")
        await visit.sees(re.compile("Fitness .* in evaluation"))
        chosen = re.findall("individual=([0-9a-f]{16})", visit.page.url)
        await visit.until(f"{DRAWN} !== '{without}'")
        await visit.page.get_by_role("link", name="In the lineage").click()
        await visit.sees("The champion's line has")
        await visit.sees("Chosen:")
        assert re.findall("individual=([0-9a-f]{16})", visit.page.url) == chosen
        await visit.page.get_by_role("link", name="Behaviour").click()
        await visit.sees("Chosen:")
        assert re.findall("individual=([0-9a-f]{16})", visit.page.url) == chosen
        await visit.page.locator(".plot").press("Home")
        await visit.until(f"!location.search.includes('{chosen[0]}')")
        await visit.sees(re.compile("Fitness .* in evaluation"))
        with Client(archived.address) as client:
            band = await asyncio.to_thread(client.bands, NAME)
            first = await asyncio.to_thread(lambda: client.evaluations(NAME, "best", 1, end=band.end[0]))
        assert f"individual={format_id(first.evaluations.individual[0])}" in visit.page.url
        visit.check()


async def test_walking_through_time_asks_once_for_each_place_and_ends_where_the_run_does(
    board: Dashboard, browser: Browser
) -> None:
    asked: list[str] = []
    async with visiting(browser, board.address) as visit:
        visit.page.on("request", lambda each: asked.append(each.url) if "/api/" in each.url else None)
        await visit.open(f"/e/{NAME}/behaviour?by=principal&end=5640&colour=age")
        await visit.sees("5,640 evaluations in")
        await visit.page.get_by_role("button", name="Walk through time").click()
        await visit.sees("6,000 evaluations in")
        await visit.page.get_by_role("button", name="Walk through time").wait_for()
        parts = [url for url in asked if "/behaviour?" in url and "end=" in url]
        assert [url.partition("end=")[2].partition("&")[0] for url in parts] == ["5640", "5760", "5880"]
        assert all("axes=" in url for url in parts)
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
