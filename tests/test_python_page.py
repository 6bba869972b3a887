"""What docs/python.md shows works as it is written, one block after the other."""

import re
from pathlib import Path
from typing import Any

import pytest

from germline.card import PolicyCard, write_card
from germline.genome import Genome

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), flags=re.DOTALL)


def test_the_page_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    card = PolicyCard({"gym": {"id": "CartPole-v1"}}, {"name": "mlp"}, "float32", Genome.founder(1))
    (tmp_path / "champion.toml").write_text(write_card(card))
    scope: dict[str, Any] = {}
    for block in BLOCKS:
        exec(block, scope)  # noqa: S102 - our own docs
    assert (tmp_path / "policy.safetensors").exists()
    assert scope["result"].evaluations >= 600
    assert scope["search"].evaluations == 4
