"""MAP-Elites on the page Behaviour, in a real browser, of a real master: whose each cell is."""

import asyncio
import gzip
import re

import numpy as np
import pytest
from playwright.async_api import Browser

from germline.behaviour import pack
from germline.client import Client
from germline.dashboard.server import Dashboard
from germline.genome import format_id
from germline.spec import loads
from master.server import Master
from tests.germline.dashboard.house import fetch, found_by_axe, hand_worker, spec_of, visiting

pytestmark = pytest.mark.browser

SPEC = """
name = "map"
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[behaviour]
descriptor = "task"
dimensions = 2
low = [-3.0]
high = [3.0]
names = ["east", "north"]
[algorithm.map_elites]
{cells}
founders = 20
candidates = 2
validation_episodes = 2
"""
CORNERS = [(0, 0), (65_535, 0), (65_535, 65_535)]


def corner(sequence: int) -> bytes:
    return pack(np.array(CORNERS[sequence % 3], np.uint16))


async def played(master: Master, cells: str, evaluations: int) -> None:
    def create() -> None:
        with Client(master.address) as client:
            client.create(loads(SPEC.format(cells=cells)))

    await asyncio.to_thread(create)
    async with hand_worker(master.address) as worker:
        await worker.play(evaluations, corner)


async def test_each_cell_of_a_grid_says_whose_it_is_by_pointer_and_by_keys(
    master: Master, dashboard: Dashboard, browser: Browser
) -> None:
    await played(master, "grid = [6, 4]", 12)
    with Client(master.address) as client:
        elites = {each.cell: each for each in await asyncio.to_thread(client.individuals, "map")}
    assert set(elites) == {0, 20, 23}  # the corners; row-major, the second number fastest
    async with visiting(browser, dashboard.address) as visit:
        await visit.open("/e/map/behaviour")
        await visit.sees("3 cells of 24 have an elite (13 %).")
        await visit.sees(re.compile("Across: east, .3.0 to 3.0."))
        heat = visit.page.locator("canvas.elites")
        box = await heat.bounding_box()
        assert box is not None
        await heat.click(position={"x": box["width"] - 10, "y": 10})
        await visit.sees("The elite at column 5, row 3")
        await visit.sees(format_id(elites[23].id))
        assert "tile=23" in visit.page.url
        await heat.press("ArrowDown")
        await visit.sees("Nobody is at column 5, row 2 yet.")
        await heat.press("ArrowDown")
        await heat.press("ArrowDown")
        await visit.sees("The elite at column 5, row 0")
        watch = visit.page.locator(".maps").get_by_role("link", name="Watch it play")
        assert (await watch.get_attribute("href") or "").endswith(format_id(elites[20].id))
        await visit.page.locator(".maps").get_by_text("Its genome").click()
        await visit.sees(re.compile(r"Founder seed \d+, and \d+ mutation"))
        await visit.text()
        visit.check()


async def test_a_cvt_is_drawn_as_it_lies_and_its_answer_is_small(
    master: Master, dashboard: Dashboard, browser: Browser
) -> None:
    await played(master, "points = 40", 6)
    reply = await fetch(dashboard.address, "/api/experiments/map/elites")
    assert (reply.told["columns"], reply.told["rows"], reply.told["cells"]) == (128, 128, 40)
    filled = [at for at, each in enumerate(reply.told["fitness"]) if each is not None]
    assert {0, 127, 128 * 128 - 1} <= set(filled)
    assert 128 * 127 not in filled  # the fourth corner, where nobody was
    assert len(filled) == pytest.approx(128 * 128 * 3 / 40, rel=0.6)
    assert len(gzip.compress(reply.body)) < 50_000
    async with visiting(browser, dashboard.address) as visit:
        await visit.open("/e/map/behaviour?tile=0")
        await visit.sees("The elite at column 0, row 0 (cell")
        visit.check()


async def test_what_has_no_elites_says_so_and_strange_questions_are_refused(
    master: Master, dashboard: Dashboard
) -> None:
    def create() -> None:
        with Client(master.address) as client:
            client.create(spec_of())
            client.create(loads(SPEC.format(cells="grid = [6, 4]")))

    await asyncio.to_thread(create)
    reply = await fetch(dashboard.address, "/api/experiments/one/elites")
    assert (reply.status, "keeps no elites" in reply.told["error"]) == (409, True)
    for asked in ("x=2", "x=a", "tile=24"):
        reply = await fetch(dashboard.address, f"/api/experiments/map/elites?{asked}")
        assert reply.status == 400
        assert "allowed" in reply.told["error"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1_280])
async def test_axe_finds_nothing_on_a_map_of_elites(
    master: Master, dashboard: Dashboard, browser: Browser, scheme: str, width: int
) -> None:
    await played(master, "grid = [6, 4]", 6)
    context = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
    async with visiting(browser, dashboard.address, **context) as visit:
        await visit.open("/e/map/behaviour?tile=23")
        await visit.sees("The elite at")
        await visit.sees("Cells with")
        assert await found_by_axe(visit.page) == []
        assert await visit.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
