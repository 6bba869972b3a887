"""What docs/migrating.md shows works as it is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parent.parent / "docs" / "migrating.md").read_text()


def section(title: str) -> str:
    """The text below a heading, up to the next of its rank."""
    found = PAGE.partition(f"\n## {title}\n")[2]
    assert found, f"there is no section {title}"
    return found.partition("\n## ")[0]


def snippets(title: str, language: str = "python") -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", section(title), flags=re.DOTALL)


@pytest.mark.parametrize("title", ["From torcheggroll", "From eggroll-trainer"])
def test_every_snippet_of_a_python_interface_runs_as_it_is_written(
    title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = snippets(title)
    assert len(shown) >= 2
    scope: dict[str, object] = {}
    for snippet in shown:
        exec(snippet, scope)  # noqa: S102 - our own page
    if title == "From torcheggroll":
        assert isinstance(scope["mean_fitness"], float)
        assert (tmp_path / "checkpoint.pt").is_file()
    else:
        assert len(re.findall("generation", capsys.readouterr().out)) == 5
