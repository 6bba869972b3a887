"""Links from pages to files beside `docs/`: each gets a place on the site.

In the repository a page names its neighbours as `../benchmarks/eggroll.md`, which is right for who reads it
there. On the site the same file is `benchmarks/eggroll.md`, and a file that is no page lies under `files/`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = {
    "README.md": "index.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "deploy/README.md": "deploy.md",
}
"""Pages beside `docs/` with a place of their own on the site; those of `benchmarks/` keep theirs."""

_LINK = re.compile(r"(\]\(|src=\")(?!https?:|mailto:|#)([^)#\s\"]+)(#[^)\s\"]*)?(?=[)\"])")
_TO_FOLDER = re.compile(r"\[([^\]]+)\]\((?!https?:)([^)#\s]+/)\)")
_FENCE = re.compile(r"^(```.*?^```)", flags=re.MULTILINE | re.DOTALL)


class Outside:
    """Where files beside `docs/` are on the site."""

    def found_from(self, pages: Iterable[tuple[Path, str]]) -> dict[str, Path]:
        """Every such file that is linked, from pages (their folder, their text), by its place on the site.

        Pages that are found are looked through in their turn.
        """
        found: dict[str, Path] = {
            place: ROOT / path for path, place in PAGES.items() if (ROOT / path).exists()
        }
        waiting = [*pages, *((path.parent, path.read_text(encoding="utf-8")) for path in found.values())]
        while waiting:
            home, text = waiting.pop()
            for path in self._linked(text, home):
                place = place_of(path)
                if place not in found and DOCS not in path.parents:
                    found[place] = path
                    if path.suffix == ".md":
                        waiting.append((path.parent, path.read_text(encoding="utf-8")))
        return found

    def rewritten(self, text: str, page: str, home: Path) -> str:
        """The text of a page with each link led to its place on the site.

        Args:
            text: the page's Markdown.
            page: its own place on the site.
            home: the folder from which its links are seen.
        """

        def led(link: re.Match[str]) -> str:
            path = (home / link[2]).resolve()
            if not path.exists():
                return link[0]
            place = os.path.relpath(place_of(path), Path(page).parent)
            return f"{link[1]}{place}{link[3] or ''}"

        def without_folders(link: re.Match[str]) -> str:
            return link[1] if _readable(home / link[2]).is_dir() else link[0]

        parts = _FENCE.split(text)
        return "".join(
            part if part.startswith("```") else _LINK.sub(led, _TO_FOLDER.sub(without_folders, part))
            for part in parts
        )

    def _linked(self, text: str, home: Path) -> Iterable[Path]:
        prose = _FENCE.sub("", text)
        paths = ((home / link[2]).resolve() for link in _LINK.finditer(prose))
        return [path for path in map(_readable, paths) if path.is_file() and ROOT in path.parents]


def place_of(path: Path) -> str:
    """The place of a file on the site."""
    path = _readable(path)
    if DOCS in path.parents:
        return str(path.relative_to(DOCS))
    name = str(path.relative_to(ROOT))
    return PAGES.get(name) or (name if path.suffix == ".md" else f"files/{name}")


def _readable(path: Path) -> Path:
    """A folder is read through the page in it that says what is there, if there is one."""
    return path / "README.md" if (path / "README.md").exists() else path
