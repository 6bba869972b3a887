"""A journal of each released format is kept in tests/golden, and must still load.

`python tests/test_journal_golden.py` writes the newest one anew. That is right only before its format is
released, or for a new format beside it: a journal that somebody has must never become unreadable.
"""

import asyncio
import base64
import json
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from germline.algorithms.base import Result
from germline.genome import format_id
from germline.spec import loads
from master.events import State
from master.experiment import Experiment, Player
from master.journal import Journal
from master.keys import Keys
from master.leases import Key
from master.registry import Registry
from master.store import OwnStore, connect

GOLDEN = Path(__file__).parent / "golden"
SPEC = loads("""
name = "golden"
seed = 7
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[evaluation]
episodes = 2
[algorithm.ga]
window = 12
parents = 3
candidates = 2
validation_episodes = 4
power_schedule = "self_adapted"
final_power = 0.0001
""")


Found = list[tuple[bytes, dict[bytes, bytes]]]


def still() -> float:
    return 0.0


def seen(experiment: Experiment) -> dict[str, Any]:
    """What must come back."""
    champion = experiment.algorithm.champion
    return {
        "state": experiment.state.name,
        "evaluations": experiment.progress.evaluations,
        "frames": experiment.progress.frames,
        "best_fitness": experiment.progress.best_fitness,
        "points": len(experiment.progress.history.points),
        "champion": format_id(champion.genome.id) if champion is not None else "",
        "population": [format_id(member.genome.id) for member in experiment.algorithm.population()],
        "pending": [[ask.ticket, format_id(ask.genome.id)] for ask in experiment.algorithm.pending()],
        "next": [format_id(ask.genome.id) for ask in experiment.algorithm.ask(3)],
    }


async def write(path: Path) -> None:
    """Run a small experiment with a snapshot in the middle, and write down its keys and what it came to."""
    keys = Keys("golden")
    with tempfile.TemporaryDirectory() as folder:
        async with OwnStore(Path(folder)) as store:
            client = connect(store.url)
            journal = Journal(client, keys, snapshot_interval_s=1e9)
            registry = Registry(journal, still)
            await registry.recover()
            committer = asyncio.create_task(journal.run())
            experiment = registry.create(SPEC)
            for turn in range(8):
                _play(experiment, turn)
                await journal.flush(10.0, with_snapshots=turn == 4)
            experiment.pause()
            await journal.flush(10.0)
            committer.cancel()
            dump = {
                "heads": await _hash(client, keys.heads),
                "snapshot": _text(await client.get(keys.snapshot(1))),
                "entries": {
                    name.decode(): _text(fields[b"entry"])
                    for name, fields in cast(Found, await client.xrange(keys.entries(1)))
                },
                "seen": seen(experiment),
            }
            await client.aclose()
    path.write_text(json.dumps(dump, indent=1) + "\n")


def _play(experiment: Experiment, turn: int) -> None:
    player = Player(f"w-{turn % 2}", "cpu", {"torch": "2.13.0"})
    work = experiment.lend(player.worker_id, 6, (), 2)
    told = [
        (Key(1, ask.ticket, lease.attempt), Result(ask.ticket, (ask.ticket % 7, turn), 400, 100))
        for ask, lease in work[:5]
    ]
    assert not experiment.tell(player, told)


async def _hash(client: Redis, key: str) -> dict[str, str]:
    found = await client.hgetall(key)
    return {field.decode(): value.decode() for field, value in found.items()}  # type: ignore[union-attr]


def _text(stored: Any) -> str:
    return base64.b64encode(stored).decode()


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Redis]:
    async with OwnStore(tmp_path) as store:
        client = connect(store.url)
        yield client
        await client.aclose()


@pytest.mark.parametrize("version", [1])
async def test_a_journal_of_every_released_format_still_loads(client: Redis, version: int) -> None:
    golden = json.loads((GOLDEN / f"journal-v{version}.json").read_text())
    keys = Keys("golden-" + secrets.token_hex(4))
    await client.hset(keys.heads, mapping=golden["heads"])
    await client.set(keys.snapshot(1), base64.b64decode(golden["snapshot"]))
    for entry_id, entry in golden["entries"].items():
        await client.xadd(keys.entries(1), {"entry": base64.b64decode(entry)}, id=entry_id)
    registry = Registry(Journal(client, keys), still)
    await registry.recover()
    experiment = registry.named("golden")
    assert experiment.state is State.PAUSED
    assert seen(experiment) == golden["seen"]


if __name__ == "__main__":
    asyncio.run(write(GOLDEN / "journal-v1.json"))
    sys.exit(print("tests/golden/journal-v1.json is written anew: say why in the commit"))  # noqa: T201
