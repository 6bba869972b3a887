"""The page of all fields of a spec: what `germline spec --explain` prints."""

from __future__ import annotations

from collections.abc import Iterator

from germline.spec import Row, Section, explain
from tools.site.markup import code, plain, table

_HEAD = """# Every field of a spec

A spec is a file in [TOML](https://toml.io). This page is what `germline spec --explain` prints, written
from the program itself. `germline spec FILE` checks a file and tells everything that is wrong with it at
once.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *(_section(each) for each in explain() if each.rows)])


def _section(section: Section) -> str:
    title = code(f"[{section.path}]") if section.path else "The top of the file"
    rows = [
        (code(row.path.rpartition(".")[2]), plain(row.allowed), _default(row), _text(row))
        for row in section.rows
    ]
    return f"## {title}\n\n{plain(section.text)}\n\n" + table(
        ("field", "takes", "default", "what it says"), rows
    )


def _default(row: Row) -> str:
    if row.required:
        return "must be given"
    return code(row.default) if row.default is not None else "may be left out"


def _text(row: Row) -> str:
    return " ".join([plain(row.text), *_words(row)])


def _words(row: Row) -> Iterator[str]:
    for word, meaning in row.words.items():
        yield f"<br>`{word}`: {plain(meaning)}"
