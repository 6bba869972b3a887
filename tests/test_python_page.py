"""What docs/python.md shows works as it is written, one block after the other."""

from pathlib import Path
from typing import Any

import pytest

from germline.card import PolicyCard, write_card
from germline.genome import Genome
from tests.pages import page


def test_the_page_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    card = PolicyCard({"gym": {"id": "CartPole-v1"}}, {"name": "mlp"}, "float32", Genome.founder(1))
    (tmp_path / "champion.toml").write_text(write_card(card))
    scope: dict[str, Any] = {}
    for block in page("docs/python.md").blocks("python"):
        exec(block, scope)  # noqa: S102 - our own docs
    assert (tmp_path / "policy.safetensors").exists()
    assert scope["result"].evaluations >= 200
    assert scope["search"].evaluations == 4
