"""What a master counts, read where Prometheus reads it."""

from __future__ import annotations

import ssl
import urllib.request
from collections.abc import Iterable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

_PATIENCE_S = 3.0
_MOST_BYTES = 4 << 20


class Metrics:
    """Samples by their names."""

    def __init__(self, samples: Iterable[tuple[str, float]]) -> None:
        """Keep them; labels are forgotten."""
        self._values: dict[str, list[float]] = {}
        for name, value in samples:
            self._values.setdefault(name, []).append(value)

    @classmethod
    def parse(cls, text: str) -> Metrics:
        """Read what Prometheus would. Raises ValueError."""
        families = text_string_to_metric_families(text)
        return cls((sample.name, sample.value) for family in families for sample in family.samples)

    def value(self, name: str) -> float | None:
        """A sample that has no labels; None if there is none."""
        found = self._values.get(name, ())
        return found[0] if len(found) == 1 else None

    def total(self, name: str) -> float | None:
        """The sum over all labels."""
        return sum(self._values[name]) if name in self._values else None

    def mean(self, name: str) -> float | None:
        """Of a histogram; None before its first value."""
        count, total = self.value(f"{name}_count"), self.value(f"{name}_sum")
        return total / count if count and total is not None else None


class MetricsReader:
    """Asks for a master's metrics."""

    def __init__(self, url: str, token: str = "", ca: Path | None = None) -> None:
        """Nothing is asked yet.

        Raises:
            ValueError: it is no address of the web.
        """
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"--metrics is {url!r}; allowed: http://HOST:PORT or https://HOST:PORT")
        self.url = url if url.rstrip("/").endswith("/metrics") else url.rstrip("/") + "/metrics"
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._trusted = ssl.create_default_context(cafile=ca) if url.startswith("https") else None

    def read(self) -> Metrics:
        """As they are now. Raises OSError or ValueError."""
        request = urllib.request.Request(self.url, headers=self._headers)  # noqa: S310 - checked above
        with urllib.request.urlopen(request, timeout=_PATIENCE_S, context=self._trusted) as answer:  # noqa: S310
            return Metrics.parse(answer.read(_MOST_BYTES).decode("utf-8", "replace"))
