"""What mkdocs calls while it builds the site: adds pages that are made or lie elsewhere, and leads links."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from tools.site import commands, interfaces, messages, specs, variables
from tools.site.drawings import with_drawings
from tools.site.outside import ROOT, Outside

MADE = {
    "reference/commands.md": commands.page,
    "reference/spec.md": specs.page,
    "reference/python.md": interfaces.page,
    "reference/messages.md": messages.page,
    "reference/variables.md": variables.page,
}
"""Pages that are written from the program itself, so that they cannot be older than it."""

_REST = "More"

logger = logging.getLogger("mkdocs.hooks.site")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is made and what lies elsewhere; put pages that nobody placed at the end of the menu."""
    for place, page in MADE.items():
        files.append(File.generated(config, place, content=page()))
    outside = Outside()
    for place, path in outside.found_from(_pages(files)).items():
        files.append(File.generated(config, place, abs_src_path=str(path)))
    _place_the_rest(files, config)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to files beside `docs/` to where those are on the site."""
    return Outside().rewritten(markdown, page.file.src_uri, home_of(page.file))


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put drawings into the page itself, where they take its colours."""
    return with_drawings(html, page.file, files)


def home_of(file: File) -> Path:
    """The folder from which a page's links are seen: where its source is."""
    return Path(file.abs_src_path).parent if file.abs_src_path else ROOT / "docs" / Path(file.src_uri).parent


def _pages(files: Files) -> Iterator[tuple[Path, str]]:
    for file in files.documentation_pages():
        yield home_of(file), file.content_string


def _place_the_rest(files: Files, config: MkDocsConfig) -> None:
    """A page that the menu does not name is shown at its end: it is found, and seen to have no place yet."""
    menu = config.nav or []
    named = set(re.findall(r"[\w./-]+\.md", str(menu)))
    rest = sorted(file.src_uri for file in files.documentation_pages() if file.src_uri not in named)
    if rest:
        logger.info("pages without a place in the menu: %s", ", ".join(rest))
        config.nav = [*menu, {_REST: rest}]
