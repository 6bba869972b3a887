"""Journals of each released format are kept in tests/golden, and must still load.

`python tests/master/journal/test_journal_golden.py NAME` writes the file of this name anew, for instance
eggroll-v1. That is right only before its format is released, or for a new format beside it: a journal that
somebody has must never become unreadable. A new kind of event, a new field of the snapshot or a new algorithm
needs a new file.
"""

import asyncio
import base64
import json
import math
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from germline.algorithms.base import Ask, Result
from germline.algorithms.map_elites import MapElites
from germline.algorithms.own_epoch import Part
from germline.algorithms.own_orders import Kind, Order
from germline.algorithms.slices import SliceAsk
from germline.genome import format_id
from germline.spec import loads
from germline.v1 import journal_pb2, spec_pb2
from master.centres.centre import Checkpoint
from master.centres.consequences import discredit, keep_checkpoint
from master.experiments.distrust import distrust, trust_again
from master.experiments.eggroll_search import EggrollSearch
from master.experiments.events import MasterStarted, cap_of, evaluations_of, returns_of
from master.experiments.experiment import Experiment
from master.experiments.own import OwnWork
from master.experiments.registry import Registry
from master.experiments.workers import WorkerIdentity
from master.journal.connection import connect
from master.journal.journal import Journal
from master.journal.keys import Keys
from master.journal.own_store import OwnStore
from master.work.leases import Key

KEYS = Keys("golden")
GOLDEN = Path(__file__).parents[2] / "golden"
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


CAPPED_SPEC = """
name = "golden-capped"
seed = 7
[task.gym]
id = "CartPole-v1"
[policy]
name = "mlp"
[evaluation]
cap_frames = 50
cap_schedule = "progressive"
[algorithm.ga]
window = 8
parents = 3
founders = 4
candidates = 2
validation_episodes = 4
"""

_BEHAVED = """
[behaviour]
descriptor = "task"
dimensions = 2
low = [-1.0]
high = [1.0]
"""
NOVEL_SPEC = f"""
name = "golden-novel"
seed = 7
[task.function]
path = "germline.functions:place"
[policy]
name = "vector"
[algorithm.ga]
window = 8
parents = 3
founders = 4
selection = "tournament"
candidates = 2
validation_episodes = 2
[algorithm.ga.novelty]
objective = "adaptive"
archive_share = 0.5
patience = 3
{_BEHAVED}"""
NOVEL_CENTRES_SPEC = f"""
name = "golden-novel-centres"
seed = 7
[task.function]
path = "germline.functions:place"
[policy]
name = "vector"
[algorithm.eggroll]
pairs = 4
slice_pairs = 2
validation_epochs = 1
validation_episodes = 1
[algorithm.eggroll.novelty]
objective = "adaptive"
centres = 2
{_BEHAVED}"""
MAP_SPEC = f"""
name = "golden-map"
seed = 7
[task.function]
path = "germline.functions:place"
[policy]
name = "vector"
[algorithm.map_elites]
grid = [4, 3]
founders = 4
candidates = 2
validation_episodes = 2
{_BEHAVED}"""

STARTS_SPEC = """
name = "golden-starts"
seed = 7
[task.atari]
game = "pong"
protocol = "uber2018"
[policy]
name = "uber2018"
[algorithm.eggroll]
pairs = 4
slice_pairs = 2
validation_epochs = 1
"""

EGGROLL_SPEC = """
name = "{name}"
seed = 7
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[evaluation]
episodes = 2
[algorithm.eggroll]
pairs = 4
slice_pairs = 2
validation_epochs = 1
validation_episodes = 3
checkpoint_epochs = 1
"""

OWN_SPEC = """
name = "{name}"
[task.own]
[policy]
name = "own"
[algorithm.own]
population = 6
"""

HAPPENED = "golden-happened"

Found = list[tuple[bytes, dict[bytes, bytes]]]
Json = dict[str, Any]


def still() -> float:
    return 0.0


def seen(experiment: Experiment) -> Json:
    """What must come back."""
    return {
        "state": experiment.state.name,
        "stop": list(experiment.settings.stop),
        "evaluations": experiment.progress.evaluations,
        "frames": experiment.progress.frames,
        "best_fitness": experiment.progress.best_fitness,
        "points": len(experiment.progress.history.points),
        **_seen_trouble(experiment),
        **_seen_quarantine(experiment),
        **_seen_of_kind(experiment),
        **_seen_happened(experiment),
    }


def _seen_happened(experiment: Experiment) -> Json:
    """Nothing of earlier files; and not that the master of this test was started."""
    if not experiment.settings.name.startswith(HAPPENED):
        return {}
    lines = [[each.kind, each.text, each.evaluations, each.frames, each.running_s]
             for each in experiment.progress.happened]  # fmt: skip
    return {"happened": [line for line in lines if line[1] != "the master started anew"]}


def _seen_of_kind(experiment: Experiment) -> Json:
    if experiment.own is not None:
        return {"own": experiment.own.run.snapshot(), "kept": [list(kept) for kept in experiment.kept]}
    return _seen_individuals(experiment) if experiment.centre is None else _seen_centre(experiment)


def _seen_trouble(experiment: Experiment) -> Json:
    """Nothing of an experiment of which everything could be scored: earlier files have none of it."""
    set_aside = [list(each) for each in experiment.progress.set_aside]
    trouble = {
        "trouble": experiment.standing.trouble,
        "failed": experiment.progress.failed,
        "set_aside": set_aside,
    }
    return trouble if any(trouble.values()) else {}


def _seen_quarantine(experiment: Experiment) -> Json:
    """Nothing where nobody was proven wrong: earlier files have none of it."""
    quarantined = {each.worker_id: each.reason for each in experiment.quarantined.values()}
    return {"quarantined": quarantined} if quarantined else {}


def _seen_individuals(experiment: Experiment) -> Json:
    champion = experiment.algorithm.champion
    return {
        "champion": format_id(champion.genome.id) if champion is not None else "",
        "population": [format_id(member.genome.id) for member in experiment.algorithm.population()],
        "pending": [[ask.ticket, format_id(ask.genome.id)] for ask in experiment.algorithm.pending()],
        "next": [format_id(ask.genome.id) for ask in experiment.algorithm.ask(3)],
        **_seen_caps(experiment),
        **_seen_behaviours(experiment),
    }


def _seen_caps(experiment: Experiment) -> Json:
    """Nothing of an experiment in which all play whole games: earlier files have none of it."""
    algorithm = experiment.algorithm
    caps = {
        "caps": [algorithm.cap_frames, algorithm.compared_cap_frames, experiment.progress.best_cap],
        "population_caps": [member.cap_frames for member in algorithm.population()],
    }
    return caps if algorithm.cap_frames else {}


def _seen_behaviours(experiment: Experiment) -> Json:
    """Nothing of an experiment in which nobody asks what was done: earlier files have none of it."""
    algorithm = experiment.algorithm
    if not algorithm.dimensions:
        return {}
    behaviours = [member.behaviour.hex() for member in algorithm.population()]
    cells = [cell for cell, _ in algorithm.elites()] if isinstance(algorithm, MapElites) else []
    return {"behaviours": behaviours, "cells": cells, "reward_weight": algorithm.reward_weight}


def _seen_centre(experiment: Experiment) -> Json:
    centre, search, leader = experiment.centre, experiment.search, experiment.search.leader()
    assert centre is not None
    return {
        "workers": {worker.worker_id: worker.number for worker in experiment.workers.values()},
        "leader": [leader.name, leader.mean] if leader else [],
        "closed": centre.closed_epochs,
        "updates": [[update.epoch, *update.fitness] for update in centre.updates],
        "kept": [list(kept) for kept in centre.kept()],
        "told": {str(ticket): [told.worker, *told.result.returns] for ticket, told in centre.told.items()},
        "pending": [ask.ticket for ask in search.pending()],
        "next": [[ask.ticket, *ask.episode_seeds] for ask in search.ask(9)],
        **_seen_measurement(experiment),
        **_seen_turns(experiment),
    }


def _seen_turns(experiment: Experiment) -> Json:
    """Nothing where one centre moves: earlier files have none of it."""
    updates = experiment.centre.updates if experiment.centre is not None else ()
    turns = [closed.next_centre for closed in updates]
    return {"turns": turns} if any(turns) else {}


def _seen_measurement(experiment: Experiment) -> Json:
    """Nothing where what decided of a centre is also reported: earlier files know nothing else."""
    best = cast(EggrollSearch, experiment.search).algorithm.best
    apart = best is not None and (best.deciding_episodes or best.returns)
    return {"measured": best.to_json()} if best is not None and apart else {}


@asynccontextmanager
async def master() -> AsyncIterator[tuple[Registry, Journal, Redis]]:
    with tempfile.TemporaryDirectory() as folder:
        async with OwnStore(Path(folder)) as store:
            client = connect(store.url)
            journal = Journal(client, KEYS, snapshot_interval_s=1e9)
            registry = Registry(journal, still)
            await registry.recover()
            committer = asyncio.create_task(journal.run())
            yield registry, journal, client
            committer.cancel()
            await client.aclose()


async def write_ga(path: Path) -> None:
    """Run a small genetic algorithm with a snapshot in the middle; keep its journal and what it came to."""
    async with master() as (registry, journal, client):
        experiment = registry.create(SPEC)
        for turn in range(8):
            _play(experiment, turn)
            await journal.flush(10.0, with_snapshots=turn == 4)
        experiment.pause()
        await journal.flush(10.0)
        _write(path, [await _dump(client, experiment)])


async def write_eggroll(path: Path) -> None:
    """Run one evolution strategy with a snapshot in an epoch's middle, and one without a snapshot."""
    async with master() as (registry, journal, client):
        first = registry.create(loads(EGGROLL_SPEC.format(name="golden-snapshot")))
        _begin_epochs(first)
        await journal.flush(10.0, with_snapshots=True)
        _end_epochs(first)
        second = registry.create(loads(EGGROLL_SPEC.format(name="golden-entries")))
        _begin_epochs(second)
        _end_epochs(second)
        await journal.flush(10.0)
        _write(path, [await _dump(client, first), await _dump(client, second)])


async def write_measured(path: Path) -> None:
    """Centres whose episodes are told apart, and one that plays all starts: in a snapshot and after it."""
    async with master() as (registry, journal, client):
        apart = registry.create(loads(EGGROLL_SPEC.format(name="golden-apart")))
        starts = registry.create(loads(STARTS_SPEC))
        for experiment in (apart, starts):
            _begin_epochs(experiment)
        await journal.flush(10.0, with_snapshots=True)
        for experiment in (apart, starts):
            _end_epochs(experiment)
        await journal.flush(10.0)
        _write(path, [await _dump(client, each) for each in (apart, starts)])


async def write_set_aside(path: Path) -> None:
    """A genetic algorithm that pauses by itself, and an evolution strategy that goes on without a pair."""
    async with master() as (registry, journal, client):
        paused = registry.create(loads(EGGROLL_SPEC.format(name="golden-trouble")))
        paused.pause("nobody can be scored")
        first = registry.create(SPEC)
        for turn in range(60):
            if first.is_running:
                _fail(first, f"w-{turn}", 1)
            await journal.flush(10.0, with_snapshots=turn == 50)
        second = registry.create(loads(EGGROLL_SPEC.format(name="golden-pair")))
        _fail(second, "w-0", 3)
        _fail(second, "w-1", 2)
        _fail(second, "w-0", 1)
        _tell(second, "w-1", 2)
        await journal.flush(10.0)
        _write(path, [await _dump(client, each) for each in (paused, first, second)])


async def write_extended(path: Path) -> None:
    """Extend a population and a centre that were complete: one with a snapshot after that, one without."""
    async with master() as (registry, journal, client):
        population = registry.create(SPEC)
        _play(population, 0)
        population.stop()
        await registry.extend("golden", spec_pb2.Stop(evaluations=99), only=False)
        _play(population, 1)
        await journal.flush(10.0, with_snapshots=True)
        centre = registry.create(loads(EGGROLL_SPEC.format(name="golden-centre")))
        _begin_epochs(centre)
        centre.stop()
        await registry.extend("golden-centre", spec_pb2.Stop(fitness=1e6, frames=10**9), only=True)
        _end_epochs(centre)
        await journal.flush(10.0)
        _write(path, [await _dump(client, population), await _dump(client, centre)])


async def write_capped(path: Path) -> None:
    """New individuals play games that are cut, at a cap that has grown twice: before a snapshot and after."""
    async with master() as (registry, journal, client):
        experiment = registry.create(loads(CAPPED_SPEC))
        _play_cut(experiment, 9)
        await journal.flush(10.0, with_snapshots=True)
        _play_cut(experiment, 6)
        assert experiment.algorithm.cap_frames > 100
        await journal.flush(10.0)
        _write(path, [await _dump(client, experiment)])


def _play_cut(experiment: Experiment, evaluations: int) -> None:
    identity = WorkerIdentity("w", "cpu", {"torch": "2.13.0"})
    told = []
    for ask, lease in experiment.lend("w", evaluations + 2, (), 0)[:evaluations]:
        cap = cap_of(ask)
        result = Result(ask.ticket, (cap + ask.ticket % 7,), cap or 300, cap or 300, cut=1 if cap else None)
        told.append((Key(1, ask.ticket, lease.attempt), result))
    assert not experiment.tell(identity, told)


async def write_behaviour(path: Path) -> None:
    """Parents are chosen by what they did, and elites are kept by it: before a snapshot and after."""
    async with master() as (registry, journal, client):
        experiments = [registry.create(loads(spec)) for spec in (NOVEL_SPEC, MAP_SPEC)]
        for turn in range(4):
            for experiment in experiments:
                _play_behaving(experiment, 6)
            await journal.flush(10.0, with_snapshots=turn == 1)
        _write(path, [await _dump(client, experiment) for experiment in experiments])


def _play_behaving(experiment: Experiment, evaluations: int) -> None:
    identity = WorkerIdentity("w", "cpu", {"torch": "2.13.0"})
    told = []
    for ask, lease in experiment.lend("w", evaluations + 2, (), 0)[:evaluations]:
        behaviour = ask.genome.id.to_bytes(8, "little")[:4] if isinstance(ask, Ask) else b""
        result = Result(ask.ticket, (ask.ticket % 7,), 100, 100, behaviour=behaviour)
        told.append((Key(experiment.number, ask.ticket, lease.attempt), result))
    assert not experiment.tell(identity, told)


async def write_novel_centres(path: Path) -> None:
    """Centres take turns, moved by what their members did: before a snapshot and after."""
    async with master() as (registry, journal, client):
        experiment = registry.create(loads(NOVEL_CENTRES_SPEC))
        for turn in range(14):
            _tell_behaving(experiment, 2)
            await journal.flush(10.0, with_snapshots=turn == 6)
        assert experiment.centre is not None
        assert {closed.next_centre for closed in experiment.centre.updates} == {0, 1}
        _write(path, [await _dump(client, experiment)])


def _tell_behaving(experiment: Experiment, pieces: int) -> None:
    identity = WorkerIdentity("w", "cpu", {"torch": "2.13.0"})
    told = []
    for ask, lease in experiment.lend("w", 4 * pieces, (), 0)[:pieces]:
        returns = tuple(float((ask.ticket + number) % 5) for number in range(returns_of(ask)))
        behaviour = bytes((7 * ask.ticket + place) % 256 for place in range(4 * evaluations_of(ask)))
        result = Result(ask.ticket, returns, 400, 100, behaviour=behaviour)
        told.append((Key(experiment.number, ask.ticket, lease.attempt), result))
    assert not experiment.tell(identity, told)
    assert experiment.centre is not None
    for closed in experiment.centre.unannounced():
        experiment.centre.announce(closed)


async def write_quarantine(path: Path) -> None:
    """A worker is proven wrong, taken back, and wrong again; one run has a snapshot in between."""
    async with master() as (registry, journal, client):
        experiments = [registry.create(_named(name)) for name in ("golden-snapshot", "golden-entries")]
        for experiment in experiments:
            for turn in range(4):
                _play(experiment, turn)
            distrust(experiment, "w-1", "w-1 is wrong")
            trust_again(experiment, "w-1")
            _play(experiment, 5)
            distrust(experiment, "w-0", "w-0 is wrong")
            await journal.flush(10.0, with_snapshots=experiment is experiments[0])
            distrust(experiment, "w-1", "w-1 is wrong again")
        await journal.flush(10.0)
        _write(path, [await _dump(client, each) for each in experiments])


async def write_happened(path: Path) -> None:
    """What people ask about later: in a snapshot and behind it, and in entries alone."""
    async with master() as (registry, journal, client):
        specs = [
            CAPPED_SPEC.replace("golden-capped", f"{HAPPENED}-{each}") for each in ("snapshot", "entries")
        ]
        experiments = [registry.create(loads(spec)) for spec in specs]
        for experiment in experiments:
            _play_cut(experiment, 9)
            experiment.write(MasterStarted(1.5, took_over=True))
            distrust(experiment, "w", "w is wrong")
            experiment.pause("nobody can be scored")
            await journal.flush(10.0, with_snapshots=experiment is experiments[0])
            experiment.resume()
            trust_again(experiment, "w")
            await registry.extend(experiment.settings.name, spec_pb2.Stop(evaluations=99), only=False)
            _play_cut(experiment, 6)
        await journal.flush(10.0)
        _write(path, [await _dump(client, each) for each in experiments])


async def write_own(path: Path) -> None:
    """Two epochs of workers' own arithmetic, and a third begun: with a snapshot in an epoch, and without."""
    async with master() as (registry, journal, client):
        experiments = [
            registry.create(loads(OWN_SPEC.format(name=f"golden-{each}"))) for each in ("snapshot", "entries")
        ]
        for experiment in experiments:
            orders: list[Order] = []
            assert experiment.own is not None
            experiment.own.join("w", 4, orders.append)
            for answer in range(8):
                if answer == 4:
                    await journal.flush(10.0, with_snapshots=experiment is experiments[0])
                _answer(experiment.own, orders[-1])
                await journal.flush(10.0)
        _write(path, [await _dump(client, each) for each in experiments])


def _answer(own: OwnWork, order: Order) -> None:
    if order.kind is Kind.EVALUATE:
        parts = [
            Part(start, tuple(order.epoch + m / 4 for m in range(start, end))) for start, end in order.slices
        ]
        own.tell("w", order.task, parts)
    elif order.kind is Kind.OPTIMISE:
        own.optimise("w", order.task)
    else:
        own.take_state("w", order.task, order.kind, f"state after {order.epoch}".encode())


def _named(name: str) -> spec_pb2.ExperimentSpec:
    """The genetic algorithm under another name."""
    spec = spec_pb2.ExperimentSpec()
    spec.CopyFrom(SPEC)
    spec.name = name
    return spec


def _write(path: Path, experiments: list[Json]) -> None:
    path.write_text(json.dumps({"experiments": experiments}, indent=1) + "\n")


def _play(experiment: Experiment, turn: int) -> None:
    identity = WorkerIdentity(f"w-{turn % 2}", "cpu", {"torch": "2.13.0"})
    work = experiment.lend(identity.worker_id, 6, (), 2)
    told = [
        (Key(1, ask.ticket, lease.attempt), Result(ask.ticket, (ask.ticket % 7, turn), 400, 100))
        for ask, lease in work[:5]
    ]
    assert not experiment.tell(identity, told)


def _fail(experiment: Experiment, name: str, pieces: int) -> None:
    """A worker cannot score what it gets; of a slice, it can score all but the first member."""
    identity = WorkerIdentity(name, "cpu", {"torch": "2.13.0"})
    results = []
    for ask, lease in experiment.lend(name, 4 * pieces, (), 0)[:pieces]:
        told = (math.nan, *range(1, ask.episodes)) if isinstance(ask, SliceAsk) and ask.pairs else ()
        result = Result(ask.ticket, told, 400, 100, failure="it broke")
        results.append((Key(experiment.number, ask.ticket, lease.attempt), result))
    assert len(experiment.tell(identity, results)) == len(results)


def _begin_epochs(experiment: Experiment) -> None:
    """Two epochs and their checkpoints, and a third in which one worker's results do not count."""
    for epoch in range(2):
        _tell(experiment, "w-0", 3)
        keep_checkpoint(experiment, Checkpoint(epoch, f"digest {epoch}", f"centre {epoch}".encode()))
    _tell(experiment, "w-1", 1)
    _tell(experiment, "w-0", 1)
    assert discredit(experiment, "w-1") == 1


def _end_epochs(experiment: Experiment) -> None:
    """The third epoch closes; of the fourth, one result counts and one does not; a pause."""
    _tell(experiment, "w-1", 2)
    _tell(experiment, "w-1", 1)
    _tell(experiment, "w-2", 1)
    assert discredit(experiment, "w-1") == 1
    experiment.pause()


def _tell(experiment: Experiment, name: str, pieces: int) -> None:
    identity = WorkerIdentity(name, "cpu", {"torch": "2.13.0"})
    work = experiment.lend(name, 4 * pieces, (), 0)
    results = []
    for ask, lease in work[:pieces]:
        assert isinstance(ask, SliceAsk)
        returns = tuple(float(ask.ticket * ask.episodes + number) for number in range(ask.episodes))
        results.append(
            (Key(experiment.number, ask.ticket, lease.attempt), Result(ask.ticket, returns, 400, 100))
        )
    assert not experiment.tell(identity, results)
    assert experiment.centre is not None
    for closed in experiment.centre.unannounced():
        experiment.centre.announce(closed)


async def _dump(client: Redis, experiment: Experiment) -> Json:
    """What the store holds of an experiment, and what must be seen of it."""
    number = experiment.number
    snapshot = await _whole(client, KEYS.snapshot(number))
    found = cast(Found, await client.xrange(KEYS.entries(number)))
    epochs = [each.epoch for each in experiment.kept]
    blobs = {str(epoch): await _whole(client, KEYS.checkpoint(number, epoch)) for epoch in epochs}
    return {
        "name": experiment.settings.name,
        "number": number,
        "head": (await client.hget(KEYS.heads, str(number)) or b"").decode(),  # type: ignore[union-attr]
        "snapshot": _text(snapshot) if snapshot else "",
        "entries": {name.decode(): _text(fields[b"entry"]) for name, fields in found},
        "checkpoints": {epoch: _text(blob) for epoch, blob in blobs.items()},
        "seen": seen(experiment),
    }


async def _whole(client: Redis, key: str) -> bytes:
    """A large value, whose parts stand in a hash."""
    parts = cast("dict[bytes, bytes]", await client.hgetall(key))
    return b"".join(parts[str(number).encode()] for number in range(len(parts)))


def _text(stored: Any) -> str:
    return base64.b64encode(stored).decode()


def golden(name: str) -> list[Json]:
    """The experiments in a golden file."""
    found = json.loads((GOLDEN / f"{name}.json").read_text())
    return cast("list[Json]", found["experiments"])


def snapshots() -> list[journal_pb2.Snapshot]:
    """Every golden snapshot, as message."""
    stored = [experiment["snapshot"] for name in FILES for experiment in golden(name)]
    return [journal_pb2.Snapshot.FromString(base64.b64decode(each)) for each in stored if each]


FILES = {
    "journal-v1": write_ga,
    "eggroll-v1": write_eggroll,
    "eggroll-v2": write_measured,
    "set-aside-v1": write_set_aside,
    "extended-v1": write_extended,
    "capped-v1": write_capped,
    "behaviour-v1": write_behaviour,
    "novel-centres-v1": write_novel_centres,
    "quarantine-v1": write_quarantine,
    "own-v1": write_own,
    "happened-v1": write_happened,
}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Redis]:
    async with OwnStore(tmp_path) as store:
        client = connect(store.url)
        yield client
        await client.aclose()


@pytest.mark.parametrize("name", FILES)
async def test_a_journal_of_every_released_format_still_loads(client: Redis, name: str) -> None:
    for stored in golden(name):
        number = stored["number"]
        await client.hset(KEYS.heads, str(number), stored["head"])
        if stored["snapshot"]:
            await client.set(KEYS.snapshot(number), base64.b64decode(stored["snapshot"]))
        for entry_id, entry in stored["entries"].items():
            await client.xadd(KEYS.entries(number), {"entry": base64.b64decode(entry)}, id=entry_id)
        for epoch, blob in stored["checkpoints"].items():
            await client.set(KEYS.checkpoint(number, int(epoch)), base64.b64decode(blob))
    registry = Registry(Journal(client, KEYS), still)
    await registry.recover()
    for stored in golden(name):
        assert seen(registry.named(stored["name"])) == {"stop": [math.inf] * 4, **stored["seen"]}


def test_every_kind_of_event_is_in_a_golden_journal() -> None:
    kinds = {field.name for field in journal_pb2.Event.DESCRIPTOR.oneofs_by_name["kind"].fields}
    stored = [entry for name in FILES for each in golden(name) for entry in each["entries"].values()]
    entries = [journal_pb2.JournalEntry.FromString(base64.b64decode(entry)) for entry in stored]
    kept = {event.WhichOneof("kind") for entry in entries for event in entry.events}
    assert kept >= kinds, f"no golden bytes of these kinds of event: {sorted(kinds - kept)}"


def test_every_field_of_a_snapshot_is_in_a_golden_journal() -> None:
    fields = {field.name for field in journal_pb2.Snapshot.DESCRIPTOR.fields}
    kept = {field.name for snapshot in snapshots() for field, _ in snapshot.ListFields()}
    assert kept >= fields, f"no golden bytes of these fields of a snapshot: {sorted(fields - kept)}"


def test_every_algorithm_has_a_golden_snapshot() -> None:
    kinds = {field.name for field in spec_pb2.Algorithm.DESCRIPTOR.oneofs_by_name["kind"].fields}
    kept = {snapshot.created.spec.algorithm.WhichOneof("kind") for snapshot in snapshots()}
    assert kept >= kinds, f"no golden snapshot of these algorithms: {sorted(kinds - kept)}"


if __name__ == "__main__":
    (wanted,) = sys.argv[1:]
    asyncio.run(FILES[wanted](GOLDEN / f"{wanted}.json"))
    sys.exit(print(f"tests/golden/{wanted}.json is written anew: say why in the commit"))  # noqa: T201
