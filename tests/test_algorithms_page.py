"""What docs/algorithms.md shows works as it is written, one block after the other."""

import re
from pathlib import Path
from typing import Any

import numpy as np

PAGE = Path(__file__).parent.parent / "docs" / "algorithms.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


def test_the_page_runs_from_top_to_bottom_and_finds_what_it_says() -> None:
    scope: dict[str, Any] = {}
    for block in BLOCKS:
        exec(block, scope)  # noqa: S102 - our own docs
    assert scope["least"].value < 0.1
    assert -1 < scope["genetic"].mean < 0
    assert scope["random"].mean < scope["genetic"].mean - 1
    assert scope["climbed"] <= 3
    assert scope["explored"] > 10
    assert scope["found"] > 10
    assert scope["elites"].coverage > 0.5
    assert np.abs(scope["centre"] - 1).max() < 0.1


def test_no_search_of_the_page_takes_more_than_fifteen_lines() -> None:
    assert max(len([line for line in block.splitlines() if line]) for block in BLOCKS) <= 22
