"""What this process may use of its machine: cores and memory, by affinity and by its container's limits.

A container on a large host sees the host's cores and memory; what it gets is written in its control group, of
version 2 (``cpu.max``, ``memory.max``) or 1 (``cpu.cfs_quota_us``, ``memory.limit_in_bytes``).
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_ROOT = Path("/")


def cores(root: Path = _ROOT) -> int:
    """Cores that this process may keep busy, at least 1; part of a core does not count."""
    seen = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, math.floor(min([seen, *_core_quotas(root)])))


def memory_bytes(root: Path = _ROOT) -> int:
    """Memory that this process may fill."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = _texts(root, "memory", ("memory.max", "memory.limit_in_bytes"))
    return min([whole, *(int(limit) for limit in limits if _is_limit(limit))])


def _core_quotas(root: Path) -> Iterator[float]:
    """Time on cores per time that passes, each limit once."""
    for text in _texts(root, "cpu", ("cpu.max",)):
        quota, _, period = text.partition(" ")
        if _is_limit(quota):
            yield int(quota) / int(period)
    quotas = _texts(root, "cpu", ("cpu.cfs_quota_us",))
    periods = _texts(root, "cpu", ("cpu.cfs_period_us",))
    for quota, period in zip(quotas, periods, strict=False):
        if _is_limit(quota):
            yield int(quota) / int(period)


def _is_limit(text: str) -> bool:
    return text.isdecimal() and int(text) > 0


def _texts(root: Path, controller: str, names: tuple[str, ...]) -> Iterator[str]:
    """What is written in these files of this process's group and of those around it."""
    for group in _groups(root, controller):
        for name in names:
            with suppress(OSError):
                yield (group / name).read_text(encoding="ascii").strip()


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of the groups that bound this process; a container may see only its own, as the top one."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            top = root / "sys/fs/cgroup" / (controllers and controller)
            inside = Path(path.lstrip("/"))
            yield from (top / each for each in (inside, *inside.parents))
