"""The journal's server is found behind a replica, a cluster's node or a Sentinel, all of them real."""

import asyncio
import contextlib
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from germline.ports import free_port
from germline.spec import loads
from master.config import MasterConfig
from master.journal.connection import StoreError, connect
from master.journal.keys import Keys
from master.journal.own_store import find_server
from master.journal.store import find_primary
from master.journal.whereabouts import at_address
from master.server import Master

KEY = Keys().store
PATIENCE_S = 60.0


class Servers:
    """Valkey servers of a test, each in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: list[subprocess.Popen[bytes]] = []

    async def start(self, *settings: str, file: str | None = None) -> int:
        """Start one; returns its port."""
        port = free_port()
        home = self.folder / str(port)
        home.mkdir()
        own: tuple[str, ...] = (
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(home),
            "--appendonly",
            "yes",
        )
        if file is not None:
            (home / "conf").write_text(f"port {port}\ndir {home}\n{file}")
            own = (str(home / "conf"),)
        with (home / "log").open("wb") as log:
            self.running.append(subprocess.Popen([find_server(), *own, *settings], stdout=log))
        await until(lambda: tell(port, "PING"))
        return port

    def stop(self) -> None:
        for server in self.running:
            server.kill()
            server.wait()


async def tell(port: int, *command: str) -> object:
    client = connect(f"redis://127.0.0.1:{port}")
    try:
        answer: object = await client.execute_command(*command)  # type: ignore[no-untyped-call]
    finally:
        await client.aclose()
    return answer


async def until(look: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(RedisError, OSError):
                if await look():
                    return
            await asyncio.sleep(0.02)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    servers = Servers(tmp_path)
    yield servers
    servers.stop()


async def primary_with_replica(servers: Servers) -> tuple[int, int]:
    primary = await servers.start()
    replica = await servers.start("--replicaof", f"127.0.0.1 {primary}")
    return primary, replica


async def found(port: int) -> int:
    url = await find_primary(f"redis://127.0.0.1:{port}/0", KEY)
    return int(url.rpartition(":")[2].partition("/")[0])


async def test_a_primary_is_the_one_that_was_named_and_a_replica_names_it(servers: Servers) -> None:
    primary, replica = await primary_with_replica(servers)
    assert (await found(primary), await found(replica)) == (primary, primary)


async def test_a_sentinel_names_the_server_that_it_watches(servers: Servers) -> None:
    primary = await servers.start()
    watched = f"sentinel monitor one 127.0.0.1 {primary} 1\n"
    sentinel = await servers.start("--sentinel", file=watched)
    assert await found(sentinel) == primary


async def test_a_sentinel_that_watches_several_is_refused_by_name(servers: Servers) -> None:
    ports = [await servers.start(), await servers.start()]
    watched = "".join(f"sentinel monitor number-{n} 127.0.0.1 {port} 1\n" for n, port in enumerate(ports))
    sentinel = await servers.start("--sentinel", file=watched)
    with pytest.raises(StoreError, match="the Sentinel watches 2 servers; allowed: one"):
        await found(sentinel)


async def test_a_master_serves_from_whichever_node_of_a_cluster_it_is_told_of(
    servers: Servers,
) -> None:
    buses = [str(free_port()) for _ in "ab"]
    nodes = [await servers.start("--cluster-enabled", "yes", "--cluster-port", bus) for bus in buses]
    with pytest.raises(StoreError, match="the cluster has nobody for slot"):
        await found(nodes[0])
    await tell(nodes[0], "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
    await tell(nodes[1], "CLUSTER", "MEET", "127.0.0.1", str(nodes[0]), buses[0])
    name = bytes(await tell(nodes[0], "CLUSTER", "MYID")).decode()  # type: ignore[call-overload]
    await until(lambda: replicates(nodes[1], name))
    assert [await found(node) for node in nodes] == [nodes[0], nodes[0]]
    for node in nodes:
        config = MasterConfig(listen="localhost:0", metrics_port=-1, store=f"redis://127.0.0.1:{node}/0")
        async with Master.serving(config) as master:
            assert master.journal.trouble == ""


async def replicates(node: int, name: str) -> bool:
    """Make a node the replica of another; False while they do not know each other, or are not in step."""
    with contextlib.suppress(RedisError):
        await tell(node, "CLUSTER", "REPLICATE", name)
    client = connect(f"redis://127.0.0.1:{node}")
    try:
        known = await client.info()
    finally:
        await client.aclose()
    return bool(known.get("master_link_status") == "up")


def test_an_address_takes_over_everything_else_of_the_url() -> None:
    assert at_address("rediss://u:p%40@a:1/2?x=y", "b", 3) == "rediss://u:p%40@b:3/2?x=y"
    assert at_address("redis://a", "::1", 3) == "redis://[::1]:3"


# A store that fails over while a master writes to it

SPEC = """
name = "{name}"
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[algorithm.ga]
"""


async def goes_on(store: int, fail_over: Callable[[], Awaitable[object]], promoted: int) -> None:
    """A master that was told of one server writes to another one once that has taken its place."""
    config = MasterConfig(
        listen="localhost:0", metrics_port=-1, store=f"redis://127.0.0.1:{store}/0", ownership_s=2.0
    )
    async with Master.serving(config) as master, asyncio.timeout(PATIENCE_S):
        master.registry.create(loads(SPEC.format(name="one")))
        await master.journal.durable()
        await fail_over()
        master.registry.create(loads(SPEC.format(name="two")))
        await master.journal.durable()
        # A server that does not know yet that it was replaced takes writes, and loses them: they come again.
        await until(lambda: holds(promoted, b"one", b"two"))
        await until(lambda: untroubled(master))


async def holds(port: int, *names: bytes) -> bool:
    return await tell(port, "HVALS", Keys().names) == list(names)


async def untroubled(master: Master) -> bool:
    return not master.journal.trouble


async def test_a_primary_that_became_a_replica_is_left_for_the_new_one(servers: Servers) -> None:
    primary, replica = await primary_with_replica(servers)

    async def fail_over() -> None:
        await until(lambda: in_step(replica))
        await tell(replica, "REPLICAOF", "NO", "ONE")
        await tell(primary, "REPLICAOF", "127.0.0.1", str(replica))

    await goes_on(primary, fail_over, replica)


async def test_an_idle_master_follows_too_before_it_loses_its_ownership(servers: Servers) -> None:
    primary, replica = await primary_with_replica(servers)
    config = MasterConfig(
        listen="localhost:0", metrics_port=-1, store=f"redis://127.0.0.1:{primary}/0", ownership_s=2.0
    )
    async with Master.serving(config) as master:
        await until(lambda: in_step(replica))
        await tell(replica, "REPLICAOF", "NO", "ONE")
        await tell(replica, "DEL", Keys().owner)
        await tell(primary, "REPLICAOF", "127.0.0.1", str(replica))
        await until(lambda: tell(replica, "EXISTS", Keys().owner))
        assert master.journal.ownership.is_held


async def test_the_server_that_a_sentinel_promotes_is_followed(servers: Servers) -> None:
    primary, replica = await primary_with_replica(servers)
    settings = ("down-after-milliseconds one 500", "failover-timeout one 3000")
    lines = "".join(f"sentinel {each}\n" for each in (f"monitor one 127.0.0.1 {primary} 1", *settings))
    sentinel = await servers.start("--sentinel", file=lines)

    async def fail_over() -> None:
        await until(lambda: in_step(replica))
        await until(lambda: sees_replica(sentinel))
        servers.running[0].kill()

    await goes_on(sentinel, fail_over, replica)


async def test_a_cluster_whose_slot_moves_to_another_node_is_followed(servers: Servers) -> None:
    buses = [str(free_port()) for _ in "ab"]
    nodes = [await servers.start("--cluster-enabled", "yes", "--cluster-port", bus) for bus in buses]
    await tell(nodes[0], "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
    await tell(nodes[1], "CLUSTER", "MEET", "127.0.0.1", str(nodes[0]), buses[0])
    name = bytes(await tell(nodes[0], "CLUSTER", "MYID")).decode()  # type: ignore[call-overload]
    await until(lambda: replicates(nodes[1], name))

    async def fail_over() -> None:
        await until(lambda: in_step(nodes[1]))
        await tell(nodes[1], "CLUSTER", "FAILOVER", "TAKEOVER")

    await goes_on(nodes[0], fail_over, nodes[1])


async def in_step(replica: int) -> bool:
    """Whether a replica has what its primary has."""
    client = connect(f"redis://127.0.0.1:{replica}")
    try:
        known = await client.info("replication")
    finally:
        await client.aclose()
    return bool(known.get("master_link_status") == "up")


async def sees_replica(sentinel: int) -> bool:
    client = connect(f"redis://127.0.0.1:{sentinel}")
    try:
        known = await client.info("sentinel")
    finally:
        await client.aclose()
    return bool(known["master0"]["slaves"] == 1)
