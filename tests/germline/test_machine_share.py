"""A container's limits count, and not its host's size."""

from pathlib import Path

import pytest

from germline import machine_share

GIB = 2**30
WHOLE = machine_share.memory_bytes(Path("/nowhere"))


def machine(root: Path, groups: str, files: dict[str, str]) -> Path:
    """A root folder in which a process sees these control groups."""
    for name, text in {"proc/self/cgroup": groups, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 8)


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/", {"sys/fs/cgroup/cpu.max": "200000 100000"}, 2),
        ("0::/", {"sys/fs/cgroup/cpu.max": "50000 100000"}, 1),
        ("0::/", {"sys/fs/cgroup/cpu.max": "350000 100000"}, 3),
        ("0::/", {"sys/fs/cgroup/cpu.max": "max 100000"}, 8),
        (
            "0::/pod/me",
            {"sys/fs/cgroup/pod/cpu.max": "400000 100000", "sys/fs/cgroup/pod/me/cpu.max": "max 1"},
            4,
        ),
        (
            "4:cpuacct,cpu:/docker/1f",
            {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "300000", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"},
            3,
        ),
        (
            "1:cpu:/",
            {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"},
            8,
        ),
        ("0::/", {}, 8),
    ],
)
def test_cores_are_those_of_the_quota_that_binds(
    groups: str, files: dict[str, str], cores: int, tmp_path: Path
) -> None:
    assert machine_share.cores(machine(tmp_path, groups, files)) == cores


@pytest.mark.parametrize(
    ("groups", "files", "memory"),
    [
        ("0::/", {"sys/fs/cgroup/memory.max": str(GIB)}, GIB),
        ("0::/", {"sys/fs/cgroup/memory.max": "max"}, WHOLE),
        ("4:memory:/a", {"sys/fs/cgroup/memory/a/memory.limit_in_bytes": str(GIB)}, GIB),
        ("4:memory:/", {"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712"}, WHOLE),
    ],
)
def test_memory_is_that_of_the_limit(groups: str, files: dict[str, str], memory: int, tmp_path: Path) -> None:
    assert machine_share.memory_bytes(machine(tmp_path, groups, files)) == memory


def test_this_machine_has_something() -> None:
    assert machine_share.cores() >= 1
    assert machine_share.memory_bytes() > GIB // 2
