"""Curves: bands of every evaluation where there is an archive, of the population where there is none."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from playwright.async_api import Browser

from germline.client import Bands, Client, HistoryPoint, RefusedError
from germline.dashboard.curves import Curves, Stretch, of_evaluations, of_population
from germline.dashboard.server import Dashboard
from master.config import MasterConfig
from master.server import Master
from tests.germline.dashboard.house import fetch, hand_worker, shown, spec_of, visiting

HISTORY = [HistoryPoint(n, 4 * n, n / 10, (n, n, n, n, n), float(n)) for n in range(1, 2_049)]


class Told(Client):
    """A client whose answers a test gives, and which counts how often it is asked for bands."""

    def __init__(self, bands: Bands | None) -> None:
        super().__init__("127.0.0.1:1")
        self.found, self.asked = bands, 0

    def history(self, name: str) -> list[HistoryPoint]:
        return HISTORY

    def bands(self, *stretch: object) -> Bands:
        self.asked += 1
        if self.found is None:
            raise RefusedError("FAILED_PRECONDITION", "this master keeps no archive")
        return self.found


def bands_of(width: int, end: int) -> Bands:
    first = tuple(range(0, end, width))
    ends = tuple(min(each + width, end) for each in first)
    low = tuple(map(float, first))
    return Bands(first, ends, ends, low, low, low, low, low, ends, low)


def test_a_curve_of_the_population_is_thinned_to_what_is_asked_for_with_both_ends() -> None:
    columns = of_population(HISTORY, Stretch(), "why").columns
    places = columns["evaluations"]
    assert (len(places), places[0], places[-1]) == (500, 1, 2_048)
    assert places == sorted(set(places))
    assert columns["median"] == [float(place) for place in places]
    zoomed = of_population(HISTORY, Stretch("frames", 400, 480), "why").columns["evaluations"]
    assert zoomed == list(range(100, 121))


def test_bands_have_the_champion_that_was_known_where_they_end() -> None:
    curve = of_evaluations(bands_of(100, 250), HISTORY[99::100])
    assert curve.columns["evaluations"] == [100, 200, 250]
    assert curve.columns["champion"] == [100.0, 200.0, 200.0]
    assert of_evaluations(bands_of(50, 60), HISTORY[99::100]).columns["champion"] == [None, None]


def test_who_has_a_curve_gets_its_open_bin_and_what_follows_and_else_the_whole() -> None:
    curve = of_evaluations(bands_of(100, 250), [])
    told = curve.told(200, 100)
    assert told["behind"] == 200
    assert _firsts(told) == [200]
    for behind, width in ((200, 50), (150, 100), (None, 100)):
        told = curve.told(behind, width)
        assert (told["behind"], _firsts(told)) == (None, [0, 100, 200])


def test_without_an_archive_the_curve_is_the_populations_and_says_why() -> None:
    told = Told(None)
    curve = Curves(told).of("one", Stretch())
    assert (curve.of, curve.width) == ("the population", 0)
    assert curve.note.endswith("this master keeps no archive")
    assert curve.told(1, 0)["behind"] is None
    told.close()


def test_who_asks_again_at_once_is_told_what_was_read_a_moment_ago() -> None:
    told = Told(bands_of(10, 95))
    curves = Curves(told)
    assert curves.of("one", Stretch()) is curves.of("one", Stretch())
    curves.of("one", Stretch(points=60))
    assert told.asked == 2
    told.close()


def _firsts(told: Mapping[str, object]) -> object:
    columns = told["columns"]
    assert isinstance(columns, dict)
    return columns["first"]


async def test_a_range_has_its_true_quantiles(master: Master, dashboard: Dashboard) -> None:
    with Client(master.address) as client:
        await asyncio.to_thread(client.create, spec_of())
        async with hand_worker(master.address) as worker:
            await worker.play(80)
            page = await asyncio.to_thread(client.evaluations, "one", limit=1_000, with_replays=True)
        told = page.evaluations
    path = "/api/experiments/one/curve?axis=evaluations&from=10&to=60&points=7"
    columns = (await fetch(dashboard.address, path)).told["columns"]
    assert told.number == tuple(range(80))
    assert (columns["first"][0], columns["evaluations"][-1]) == (10, 60)
    for place, (first, end) in enumerate(zip(columns["first"], columns["evaluations"], strict=True)):
        wanted = np.quantile(told.fitness[first:end], (0, 0.1, 0.5, 0.9, 1))
        drawn = [columns[name][place] for name in ("worst", "low", "median", "high", "best")]
        np.testing.assert_allclose(drawn, wanted, rtol=1e-5)


@pytest.mark.browser
async def test_the_curve_ends_where_the_run_stands_and_only_new_bins_are_asked_for(
    master: Master, dashboard: Dashboard, browser: Browser
) -> None:
    with Client(master.address) as client:
        await asyncio.to_thread(client.create, spec_of())
    async with hand_worker(master.address) as worker, visiting(browser, dashboard.address) as visit:
        await worker.play(50)
        await visit.open("/e/one")
        await visit.sees("From the archive, which has every evaluation: each evaluation is a point.")
        await visit.page.evaluate("document.querySelector('.plot canvas').mark = true")
        asked: list[str] = []
        visit.page.on("request", lambda request: asked.append(request.url))
        await worker.play(7)
        await visit.sees("Table of 57 points")
        label = await visit.page.locator(".plot").get_attribute("aria-label") or ""
        assert label.startswith("Fitness of all evaluations over evaluations. After 57 evaluations: median")
        curves = [url for url in asked if "/curve" in url]
        assert curves
        assert all(re.search(r"behind=\d+&width=1$", url) for url in curves), curves
        assert await visit.page.evaluate("document.querySelector('.plot canvas').mark")
        await visit.text()
        visit.check()


@pytest.mark.browser
async def test_a_master_without_an_archive_says_whose_curve_it_is(tmp_path: Path, browser: Browser) -> None:
    config = MasterConfig(listen="localhost:0", metrics_port=-1, store_folder=tmp_path, archive="none")
    async with (
        Master.serving(config) as master,
        shown(master.address) as dashboard,
        hand_worker(master.address) as worker,
        visiting(browser, dashboard.address) as visit,
    ):
        with Client(master.address) as client:
            await asyncio.to_thread(client.create, spec_of())
        await worker.play(20)
        await visit.open("/e/one")
        await visit.sees("quantiles of the population at moments of the run: this master keeps no archive")
        label = await visit.page.locator(".plot").get_attribute("aria-label") or ""
        assert "After 20 evaluations: median" in label
        visit.check()
