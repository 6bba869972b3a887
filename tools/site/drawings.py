"""Drawings are put into the page, so that they take its colours, light or dark."""

from __future__ import annotations

import posixpath
import re

from mkdocs.structure.files import File, Files

_IMAGE = re.compile(r'<img alt="([^"]*)" src="([^"]+\.svg)"\s*/?>')
_PROLOGUE = re.compile(r"^<\?xml.*?\?>\s*", flags=re.DOTALL)


def with_drawings(html: str, page: File, files: Files) -> str:
    """The page with the text of each of our drawings in the place of its image."""

    def drawn(image: re.Match[str]) -> str:
        place = posixpath.normpath(posixpath.join(posixpath.dirname(page.url), image[2]))
        file = files.get_file_from_path(place)
        if file is None:
            return image[0]
        drawing = _PROLOGUE.sub("", file.content_string)
        return drawing.replace("<svg ", f'<svg role="img" aria-label="{image[1]}" class="drawing" ', 1)

    return _IMAGE.sub(drawn, html)
