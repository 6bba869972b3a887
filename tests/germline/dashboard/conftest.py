"""What tests of the dashboard get handed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser

from germline.dashboard.server import Dashboard
from master.server import Master
from tests.germline.dashboard import house


@pytest.fixture
async def master(tmp_path: Path) -> AsyncIterator[Master]:
    async with house.mastered(tmp_path) as master:
        yield master


@pytest.fixture
async def dashboard(master: Master) -> AsyncIterator[Dashboard]:
    async with house.shown(master.address) as dashboard:
        yield dashboard


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with house.opened_browser() as browser:
        yield browser
