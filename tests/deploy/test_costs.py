"""What deploy/README.md says of money is what deploy/costs.py works out, from prices with day and source."""

import datetime
import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PRICES = DEPLOY / "prices.toml"


@pytest.fixture(scope="module")
def costs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("costs", DEPLOY / "costs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_price_has_a_day_and_says_where_it_is_from() -> None:
    table = tomllib.loads(PRICES.read_text())
    table.pop("measured")
    for name, each in table.items():
        assert set(each) == {"price", "day", "source"}, name
        assert isinstance(each["day"], datetime.date)
        assert each["price"] > 0
        assert each["source"]


def test_the_tables_are_those_that_the_script_prints(costs: ModuleType) -> None:
    printed = "\n".join(costs.tables(*costs.read(PRICES)))
    shown = (DEPLOY / "README.md").read_text()
    first, second = printed.split("\n\n")
    assert first in shown
    assert second in shown
    choices = "".join(
        re.findall(r"^\| `(?:Network|Store|Capacity|Spot)` .*\|$", shown.split(first)[0], flags=re.MULTILINE)
    )
    named = set(re.findall(r"0\.\d+", choices))
    assert len(named) > 8
    assert named <= set(re.findall(r"0\.\d+", printed)) | {"0.30"}


def test_frames_are_those_of_the_projects_figures() -> None:
    shown = {
        int(each.replace(",", ""))
        for each in re.findall(r"\b\d\d?,\d{3}\b", (ROOT / "docs" / "results.md").read_text())
    }
    measured = tomllib.loads(PRICES.read_text())["measured"]
    measured.pop("cores")
    assert set(measured.values()) <= shown


def test_the_arithmetic_is_that_of_a_pocket_calculator(costs: ModuleType) -> None:
    prices, measured = costs.read(PRICES)
    assert measured["EGGROLL, bfloat16"] == 13439 / 2
    assert costs.core_hours(5714.5) == pytest.approx(48.61, abs=0.005)
    flat = dict.fromkeys(prices, 1.0) | {"ec2_spot_share": 0.5, "fargate_spot_share": 0.25}
    assert costs.core_hour(flat) == {"`ec2`": (1, 0.5), "`managed`": (2, 1.5), "`fargate`": (3, 0.75)}
    hours = [price for _, _, price in costs.standing(flat)]
    assert hours == [3, 1, 10, 16, 1, 1 / 730, 2]
