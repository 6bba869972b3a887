"""What protects the talk with a master, on the wire: a real master with TLS and a token, and a tap."""

import contextlib
import os
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import grpc
import pytest
import typer
from typer.core import TyperGroup

from germline import backup_file, noise
from germline.cli.app import app, run
from germline.client import Client
from germline.ports import free_port
from germline.spec import loads
from germline.v1 import worker_pb2
from germline.v1.worker_pb2_grpc import WorkerServiceStub

PATIENCE_S = 60.0
TOKEN = "a-token-that-nobody-may-read"  # noqa: S105 - of this test
SPEC = """
name = "sphere"
[task.function]
path = "worker.tasks.function:noisy_sphere"
dimension = 4
[policy]
name = "vector"
[algorithm.ga]
window = 20
parents = 4
candidates = 2
validation_episodes = 4
"""
TLS_RECORD = b"\x16\x03"  # how an encrypted connection begins; one in the clear begins with "PRI * HTTP/2.0"

COMMANDS = {
    "submit": ["spec.toml"],
    "list": [],
    "status": [],
    "workers": [],
    "champion": [],
    "lineage": [],
    "plot": ["--output", "curve.png"],
    "evaluate": ["--episodes", "1", "--device", "cpu"],
    "export": ["--output", "best.safetensors"],
    "record": [],
    "publish": ["--to", "published", "--once"],
    "curve": ["--output", "curve.csv"],
    "compare": ["sphere@"],
    "events": [],
    "elites": ["--output", "elites.csv"],
    "export-archive": ["sphere", "--output", "all.jsonl"],
    "individual": ["0000000000000001"],
    "pause": [],
    "resume": [],
    "extend": ["--evaluations", "1000000"],
    "stop": [],
    "watch": ["--plain"],
    "track": ["--to", "tensorboard", "--no-films"],
    "backup": ["all.backup"],
    "repair": ["sphere"],
    "delete": ["sphere"],
    "restore": ["one.backup"],
}
ENDLESS = {"serve", "dashboard"}  # are tried in processes of their own
OF_WHAT_IS_OVER = {"watch", "delete", "track"}
CANNOT = {  # the master has answered by then
    "elites": (4, "sphere keeps no elites"),
    "individual": (4, "has no evaluation of it"),
    "record": (1, "plays no episodes that could be filmed"),
    "repair": (4, "experiment sphere is not damaged"),
    "restore": (4, "data is no backup that this build can read"),
}


class Tap(socketserver.ThreadingTCPServer):
    """Hands bytes on to a port, and keeps what callers said: one entry for each connection."""

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), Wire)
        self.target = ("127.0.0.1", port)
        self.heard: list[bytearray] = []

    @property
    def address(self) -> str:
        return f"localhost:{self.server_address[1]}"


class Wire(socketserver.BaseRequestHandler):
    """One connection through the tap."""

    server: Tap

    def handle(self) -> None:
        said = bytearray()
        self.server.heard.append(said)
        with socket.create_connection(self.server.target) as called:
            back = threading.Thread(target=pour, args=(called, self.request, bytearray()))
            back.start()
            pour(self.request, called, said)
            back.join()


def pour(source: socket.socket, to: socket.socket, kept: bytearray) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            kept += data
            to.sendall(data)
    with contextlib.suppress(OSError):
        to.shutdown(socket.SHUT_WR)


@dataclass
class House:
    """A secured master, with what its people hold."""

    port: int
    token: Path
    cert: Path

    @property
    def protection(self) -> list[str]:
        return ["--token-file", str(self.token), "--ca", str(self.cert)]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    if shutil.which("openssl") is None:
        pytest.skip("makes certificates with openssl, which is not here")
    folder = tmp_path_factory.mktemp("house")
    token, cert, key = folder / "token", folder / "cert.pem", folder / "key.pem"
    token.write_text(TOKEN + "\n")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    port = free_port()
    master = subprocess.Popen(
        [sys.executable, "-m", "master", "--listen", f"127.0.0.1:{port}", "--metrics-port", "-1",
         "--store-folder", str(folder / "store"), "--token-file", str(token), "--tls-cert", str(cert),
         "--tls-key", str(key)],
    )  # fmt: skip
    try:
        with Client(f"localhost:{port}", token=TOKEN, ca=cert) as client:
            client.wait_until_ready(PATIENCE_S)
            client.create(loads(SPEC))
        play(f"localhost:{port}", cert, 10)
        yield House(port, token, cert)
    finally:
        master.send_signal(signal.SIGTERM)
        master.wait(PATIENCE_S)


def play(address: str, cert: Path, evaluations: int) -> None:
    """A worker that tells so many scores."""
    outbox: SimpleQueue[worker_pb2.WorkerMessage | None] = SimpleQueue()
    digest = noise.self_test_digest()
    hello = worker_pb2.Hello(worker_id="w", noise_version=noise.VERSION, noise_digest=digest, slots=4)
    outbox.put(worker_pb2.WorkerMessage(hello=hello))
    with grpc.secure_channel(address, grpc.ssl_channel_credentials(cert.read_bytes())) as channel:
        call = WorkerServiceStub(channel).Work(
            iter(outbox.get, None), metadata=(("authorization", f"Bearer {TOKEN}"),)
        )
        outbox.put(worker_pb2.WorkerMessage(credit=worker_pb2.Credit(evaluations=evaluations)))
        told = 0
        for message in call:
            for lease in message.leases.leases:
                told += 1
                result = worker_pb2.Result(lease=lease.key, returns=[float(told)], frames=1, steps=1)
                outbox.put(
                    worker_pb2.WorkerMessage(results=worker_pb2.Results(sequence=told, results=[result]))
                )
            if message.acknowledgement.sequence >= evaluations:
                break
        outbox.put(None)
        call.cancel()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test works in a folder of its own, without settings of the machine."""
    for name in [name for name in os.environ if name.startswith("GERMLINE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.toml").write_text(SPEC)
    with (tmp_path / "one.backup").open("wb") as file:
        backup_file.write(file, [backup_file.Backup("one", b"\xff")])


@pytest.fixture
def tap(house: House) -> Iterator[Tap]:
    with Tap(house.port) as tap:
        serving = threading.Thread(target=tap.serve_forever, args=(0.01,))
        serving.start()
        yield tap
        tap.shutdown()
        serving.join()


def test_no_command_that_talks_to_a_master_is_left_out_here() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    talking = {
        name for name, command in group.commands.items() if "master" in {p.name for p in command.params}
    }
    assert talking == set(COMMANDS) | ENDLESS


def test_a_server_of_models_encrypts_and_shows_the_token(house: House, tap: Tap) -> None:
    program = [sys.executable, "-c", "from germline.cli import main; main()"]
    command = [*program, "serve", "--listen", "localhost:0"]
    with subprocess.Popen([*command, "--master", tap.address, *house.protection]) as serving:
        try:
            while len(tap.heard) < 1 or not tap.heard[0]:
                assert serving.poll() is None, "it ended before it asked its master"
        finally:
            serving.terminate()
    assert all(conversation.startswith(TLS_RECORD) for conversation in tap.heard)
    assert all(TOKEN.encode() not in conversation for conversation in tap.heard)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_encrypts_and_shows_the_token(
    command: str, house: House, tap: Tap, capsys: pytest.CaptureFixture[str]
) -> None:
    if command in OF_WHAT_IS_OVER:
        assert run(["stop", "sphere", "--master", f"localhost:{house.port}", *house.protection]) == 0
        tap.heard.clear()
    status = run([command, *COMMANDS[command], "--master", tap.address, *house.protection])
    said = capsys.readouterr()
    expected, sentence = CANNOT.get(command, (0, ""))
    assert status == expected, said
    assert sentence in said.err
    assert tap.heard
    for conversation in tap.heard:
        assert conversation.startswith(TLS_RECORD)
        assert TOKEN.encode() not in conversation


@pytest.mark.parametrize("where", ["before", "after", "variables", "token in a variable"])
def test_protection_may_stand_before_a_command_or_after_it_or_in_the_environment(
    where: str, house: House, tap: Tap, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["list", "--master", tap.address]
    if where == "before":
        command = [*house.protection, *command]
    elif where == "after":
        command = [*command, *house.protection]
    else:
        monkeypatch.setenv("GERMLINE_CA", str(house.cert))
        monkeypatch.setenv(
            *("GERMLINE_TOKEN_FILE", str(house.token)) if where == "variables" else ("GERMLINE_TOKEN", TOKEN)
        )
    assert run(command) == 0
    assert all(conversation.startswith(TLS_RECORD) for conversation in tap.heard)


def test_a_flag_goes_before_a_variable_on_either_side_of_the_command(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.write_text("another token")
    monkeypatch.setenv("GERMLINE_TOKEN_FILE", str(other))
    monkeypatch.setenv("GERMLINE_CA", str(house.cert))
    command = ["list", "--master", f"localhost:{house.port}"]
    token = ["--token-file", str(house.token)]
    assert run(command) == 4
    assert run([*token, *command]) == 0
    assert run([*command, *token]) == 0
    assert run(["--token-file", str(other), *command, *token]) == 0


def test_without_its_token_a_master_says_nothing(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "--master", f"localhost:{house.port}", "--ca", str(house.cert)]) == 4
    said = capsys.readouterr().err
    assert "wants a token" in said
    assert "an operator's token comes from --token-file, GERMLINE_TOKEN_FILE or GERMLINE_TOKEN" in said


def test_who_forgets_the_encryption_or_trusts_another_authority_is_told_what_to_name(
    house: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["list", "--master", f"127.0.0.1:{house.port}", "--token-file", str(house.token)]
    assert run(command) == 3
    assert "speaks TLS, --ca (GERMLINE_CA) names its authority's file" in capsys.readouterr().err
    assert run(["certificates", str(tmp_path / "others")]) == 0
    assert run([*command, "--ca", str(tmp_path / "others" / "ca.pem")]) == 3
    assert "is not signed by the authority of --ca (GERMLINE_CA)" in capsys.readouterr().err


def test_a_certificate_that_is_not_trusted_ends_the_talk_before_the_token(house: House, tap: Tap) -> None:
    with (
        Client(tap.address, token=TOKEN, tls=True, deadline_s=2.0) as client,
        pytest.raises(Exception, match="reach"),
    ):
        client.experiments()
    assert tap.heard
    for conversation in tap.heard:
        assert conversation.startswith(TLS_RECORD)
        assert TOKEN.encode() not in conversation


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--token-file", "empty"], "the token file empty is empty"),
        (["--token-file", "nowhere"], "the token file nowhere cannot be read"),
        (["--token-file", "accented"], "the token holds other than visible ASCII"),
        (["--ca", "nowhere"], "ca is 'nowhere'; allowed: an existing PEM file"),
        (["--ca", "empty"], "ca is 'empty', which is not a PEM file"),
        (["--tls-key", "empty"], "tls_cert and tls_key belong together"),
        (["--token-file", "a", "--token-file", "b"], "--token-file is given twice"),
    ],
)
def test_protection_that_cannot_be_had_is_refused_before_a_byte_is_sent(
    options: list[str],
    sentence: str,
    tap: Tap,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "accented").write_text("tökén")
    assert run(["list", "--master", tap.address, *options]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert "tökén" not in said
    assert tap.heard == []


@pytest.mark.parametrize("command", ["worker", "master", "run", "doctor"])
def test_a_command_that_would_swallow_protection_refuses_it(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--tls", command]) == 2
    assert f"no option may stand before `{command}`" in capsys.readouterr().err
