"""Reads the project's pages as its tests do: sections, blocks of code, commands, and what is said of them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_FENCE = re.compile(
    r"(?P<said>(?:^<!-- .*? -->\n+)*)^```(?P<language>\w*)(?P<info>[^\n]*)\n(?P<text>.*?)^```$",
    flags=re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of code on a page.

    Attributes:
        language: the word behind the three backticks.
        title: the file that it is, where the page names one; "" where it does not.
        text: what stands in it.
        not_tried: why nothing runs it; "" where it is run.
        instead: what is put in the place of what, so that a test takes seconds: (there, here).
    """

    language: str
    title: str
    text: str
    not_tried: str = ""
    instead: tuple[tuple[str, str], ...] = ()

    @property
    def commands(self) -> list[str]:
        """The commands behind `$`, each on a line, without its comment."""
        shown = re.findall(r"^\$ ((?:.*\\\n)*.*)", self.text, flags=re.MULTILINE)
        return [" ".join(re.sub(r"\s#.*", "", each).replace("\\\n", " ").split()) for each in shown]


@dataclass(frozen=True, slots=True)
class Page:
    """A page, by its path from the root of the project."""

    path: str
    text: str = field(repr=False)

    @property
    def home(self) -> Path:
        """The folder from which its links are seen."""
        return (ROOT / self.path).parent

    def section(self, title: str) -> Page:
        """The part below a heading, up to the next of its rank or of a higher one."""
        prose = _FENCE.sub(lambda block: " " * len(block[0]), self.text)  # a # in there is no heading
        found = re.search(rf"^(#+) {re.escape(title)}\n", prose, flags=re.MULTILINE)
        assert found, f"{self.path} has no section {title!r}"
        end = re.compile(rf"^#{{1,{len(found[1])}}} ", flags=re.MULTILINE).search(prose, found.end())
        return Page(self.path, self.text[found.end() : end.start() if end else None])

    def all_blocks(self) -> Iterator[Block]:
        """Its pieces of code, in their order."""
        for found in _FENCE.finditer(self.text):
            title = re.search(r'title="([^"]+)"', found["info"])
            yield Block(
                found["language"],
                title[1] if title else "",
                found["text"],
                "; ".join(re.findall(r"<!-- not tried here: (.*?) -->", found["said"], flags=re.DOTALL)),
                tuple(
                    (there.strip(), here.strip())
                    for here, there in re.findall(
                        r"<!-- tried with: (.*?); in place of: (.*?) -->", found["said"], flags=re.DOTALL
                    )
                ),
            )

    def blocks(self, language: str) -> list[str]:
        """The text of its blocks in a language."""
        return [each.text for each in self.all_blocks() if each.language == language]

    def block(self, language: str, part: str) -> str:
        """The only block in a language that holds a part."""
        (found,) = [text for text in self.blocks(language) if part in text]
        return found

    def commands(self) -> list[str]:
        """All commands of its console blocks."""
        return [line for each in self.all_blocks() if each.language == "console" for line in each.commands]

    def mentioned(self) -> list[str]:
        """Commands inside of its sentences."""
        prose = _FENCE.sub("", self.text)
        return [" ".join(c.split()) for c in re.findall(r"`((?:germline|make|python) [^`]+)`", prose)]

    def links(self) -> list[str]:
        """What it links to on this machine, without anchors."""
        return re.findall(r"\]\(((?!http)[^)#]+)[^)]*\)", _FENCE.sub("", self.text))


@cache
def page(path: str) -> Page:
    """Read a page, such as "README.md" or "docs/own.md"."""
    return Page(path, (ROOT / path).read_text(encoding="utf-8"))


@cache
def all_pages() -> tuple[Page, ...]:
    """README, CONTRIBUTING and everything below docs/."""
    beside = [name for name in ("README.md", "CONTRIBUTING.md") if (ROOT / name).exists()]
    below = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
    return tuple(page(path) for path in [*beside, *below])


def words(command: str) -> list[str]:
    """A command as the shell takes it apart."""
    return shlex.split(command, comments=True)
