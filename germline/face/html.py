"""What a notebook shows: small tables, a curve and a film. All text is escaped: it may be strangers'."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from germline.face.arrays import Floats

_WIDTH, _HEIGHT = 360, 120
_MOST_POINTS = 360


def table(title: str, rows: Sequence[tuple[str, str]]) -> str:
    """A title above two columns."""
    cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows)
    return f"<div><strong>{escape(title)}</strong><table>{cells}</table></div>"


def grid(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A title above a table with a row of column names."""
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(value)}</td>" for value in row) + "</tr>" for row in rows)
    return f"<div><strong>{escape(title)}</strong><table><tr>{head}</tr>{body}</table></div>"


def curve(x: Floats, low: Floats, middle: Floats, high: Floats, words: str) -> str:
    """A line within a band, as a picture that needs no program; nothing for fewer than two points.

    Args:
        x: `[P]`, rising.
        low: `[P]`, where the band begins.
        middle: `[P]`, the line.
        high: `[P]`, where the band ends.
        words: the same for those who do not see it.
    """
    known = np.flatnonzero(np.isfinite(low) & np.isfinite(middle) & np.isfinite(high))
    if known.size < 2:
        return ""
    known = known[np.linspace(0, known.size - 1, min(known.size, _MOST_POINTS)).astype(np.intp)]
    across = _scaled(x[known], x[known][0], x[known][-1], _WIDTH)
    floor, ceiling = float(low[known].min()), float(high[known].max())
    up, mid, down = (_HEIGHT - _scaled(each[known], floor, ceiling, _HEIGHT) for each in (high, middle, low))
    line = list(zip(across, mid, strict=True))
    band = [*zip(across, up, strict=True), *zip(across[::-1], down[::-1], strict=True)]
    return (
        f'<svg role="img" aria-label="{escape(words)}" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}">'
        f'<polygon points="{_points(band)}" fill="#0072B2" fill-opacity="0.2"/>'
        f'<polyline points="{_points(line)}" fill="none" stroke="#0072B2"/></svg>'
    )


def film(file: Path, words: str) -> str:
    """An .mp4 with its bytes in the page, so that a notebook keeps it."""
    data = base64.b64encode(file.read_bytes()).decode()
    return (
        f'<video controls loop muted playsinline aria-label="{escape(words)}" '
        f'style="image-rendering: pixelated" src="data:video/mp4;base64,{data}"></video>'
    )


def _scaled(values: Floats, low: float, high: float, size: int) -> Floats:
    return (values - low) / (high - low or 1.0) * size


def _points(pairs: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)
