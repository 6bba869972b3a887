"""What code a spec may have this worker import: its own operator says so, not whoever submits.

Entry points go without saying: whoever installed a package here has allowed what it offers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_ENTRY = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*(:[\w./-]+)?")
_OURS = ("worker.networks.policies", "worker.tasks.function:noisy_sphere")


@dataclass(frozen=True, slots=True)
class AllowedCode:
    """Modules, with all below them, and single paths "module:name"; beside germline's own policies."""

    entries: tuple[str, ...] = ()

    @classmethod
    def of(cls, text: str) -> AllowedCode:
        """Read a list with commas between its entries; raises ValueError."""
        entries = tuple(entry.strip() for entry in text.split(",") if entry.strip())
        for entry in entries:
            if not _ENTRY.fullmatch(entry):
                raise ValueError(
                    f"allow_code has {entry!r}; allowed: package.module, or package.module:name for one name"
                )
        return cls(entries)

    def why_not(self, named: Iterable[tuple[str, str]]) -> str:
        """What is not allowed of all that would be imported, fields and their paths, in words; or nothing."""
        for field, path in named:
            if not self._covers(path):
                return (
                    f"{field} is {path!r}, which this worker may not import; its operator can allow it: "
                    f"--allow-code {path.partition(':')[0]}"
                )
        return ""

    def _covers(self, path: str) -> bool:
        module = path.partition(":")[0]
        return any(
            path == entry if ":" in entry else module == entry or module.startswith(entry + ".")
            for entry in (*_OURS, *self.entries)
        )


NOTHING_MORE = AllowedCode()
