"""What a worker knows of its machine, its master's address and the specs it can play."""

import asyncio
import logging
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import grpc
import pytest
import torch
from grpc import aio

from germline import noise
from germline.spec import loads
from germline.v1 import spec_pb2, worker_pb2
from germline.v1.worker_pb2_grpc import (
    WorkerServiceServicer,
    WorkerServiceStub,
    add_WorkerServiceServicer_to_server,
)
from worker import spot
from worker.config import WorkerConfig
from worker.connection.channel import Dial
from worker.loop import on_signal
from worker.machine import identify
from worker.playing.engine_builder import EngineBuilder, engine_settings
from worker.playing.playable import EngineSettings
from worker.spot import ask, watch_notice
from worker.tasks.base import SetupError

CPU = torch.device("cpu")
CARTPOLE = '[task.gym]\nid = "CartPole-v1"\n[policy]\nname = "mlp"\n'
ALGORITHM = "[algorithm.ga]\nwindow = 10\nparents = 5\n"


def test_a_worker_introduces_itself_as_the_master_wants_it() -> None:
    identity = identify(CPU)
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", identity.worker_id)
    assert identity.worker_id != identify(CPU).worker_id
    assert (identity.noise_version, identity.noise_digest) == (noise.VERSION, noise.self_test_digest())
    assert torch.__version__.startswith(identity.libraries["torch"])
    assert identify(CPU, "rack-7").worker_id == "rack-7"


def test_a_spec_becomes_plain_settings_with_typed_arguments() -> None:
    spec = loads(
        'name = "lunar"\n'
        '[task.gym]\nid = "LunarLander-v3"\nmax_steps = 400\n'
        "arguments = {gravity = -9.5, enable_wind = true}\n"
        '[policy]\nname = "mlp"\nhidden = [32, 16]\n'
        '[evaluation]\nepisodes = 3\nprecision = "bfloat16"\n' + ALGORITHM
    )
    assert engine_settings(spec) == EngineSettings(
        task="gym",
        task_arguments={
            "id": "LunarLander-v3",
            "max_steps": 400,
            "arguments": {"gravity": -9.5, "enable_wind": True},
        },
        policy="mlp",
        hidden=(32, 16),
        episodes=3,
        precision="bfloat16",
        max_episode_s=3600.0,
    )


def test_a_plug_in_is_called_by_its_name_with_its_arguments() -> None:
    spec = loads(
        'name = "own"\n[task.plugin]\nname = "maze"\narguments = {size = 7}\n[policy]\nname = "mlp"\n'
        + ALGORITHM
    )
    settings = engine_settings(spec)
    assert (settings.task, settings.task_arguments) == ("maze", {"size": 7})


def test_a_worker_says_how_much_of_the_machine_an_experiment_takes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    spec = loads(f'name = "a"\n{CARTPOLE}[evaluation]\nepisodes = 30\n{ALGORITHM}')
    with caplog.at_level(logging.INFO):
        EngineBuilder(CPU, cache_bytes=7 << 20).build(spec).close()

    assert "experiment a: up to 7 MiB of parents' weights, for it alone (cache_mib)" in caplog.messages
    assert "32 networks at a time (slots) with 30 episodes side by side: 960 lanes" in caplog.messages


def test_a_spec_of_a_later_version_is_refused_by_field() -> None:
    builder = EngineBuilder(CPU)
    later = loads('name = "f"\n[task.function]\npath = "math:fsum"\n[policy]\nname = "vector"\n' + ALGORITHM)
    no_task, no_precision, no_algorithm = (spec_pb2.ExperimentSpec() for _ in range(3))
    for spec in (no_task, no_precision, no_algorithm):
        spec.CopyFrom(later)
    no_task.ClearField("task")
    no_precision.evaluation.ClearField("precision")
    no_algorithm.ClearField("algorithm")
    for spec, field in (
        (no_task, "task"),
        (no_precision, "evaluation.precision"),
        (no_algorithm, "algorithm"),
    ):
        with pytest.raises(SetupError, match=f"^{field} is "):
            builder.build(spec)
    later.policy.MergeFromString(b"\xf8\x3f\x05")  # field 1023, a number
    with pytest.raises(SetupError, match=r"^policy has field 1023, .* this worker is too old"):
        builder.build(later)


class MetadataService(BaseHTTPRequestHandler):
    """Answers as clouds do: Google's at /preempted, Azure's at /scheduledevents, Amazon's, with a token, at
    /action."""

    notice = False

    def do_PUT(self) -> None:
        self._answer(200, "token-1" if self.headers["X-aws-ec2-metadata-token-ttl-seconds"] else "")

    def do_GET(self) -> None:
        if self.path == "/preempted":
            self._answer(200, "TRUE" if MetadataService.notice else "FALSE")
        elif self.path == "/scheduledevents":
            events = '[{"EventType": "Freeze"}, {"EventType": "%s"}]' % (
                "Preempt" if MetadataService.notice else "Reboot"
            )
            self._answer(200 if self.headers["Metadata"] == "true" else 400, f'{{"Events": {events}}}')
        elif self.headers["X-aws-ec2-metadata-token"] != "token-1":
            self._answer(401, "")
        elif MetadataService.notice:
            self._answer(200, '{"action": "terminate"}')
        else:
            self._answer(404, "")

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())


@pytest.fixture
def cloud() -> Iterator[str]:
    MetadataService.notice = False
    with ThreadingHTTPServer(("127.0.0.1", 0), MetadataService) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["/preempted", "/action", "/scheduledevents"])
def test_a_notice_is_heard_only_once_there_is_one(cloud: str, path: str) -> None:
    assert ask(cloud + path) == ""
    MetadataService.notice = True
    assert ask(cloud + path)


@pytest.mark.parametrize(
    ("name", "path"), [("ec2", "/action"), ("gcp", "/preempted"), ("azure", "/scheduledevents")]
)
def test_clouds_are_known_by_name(cloud: str, name: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(spot.SERVICES, name, cloud + path)
    MetadataService.notice = True
    assert ask(name)


def test_a_file_is_a_notice_once_it_exists(tmp_path: Path) -> None:
    notice = tmp_path / "leave"
    assert ask(f"file://{notice}") == ""
    notice.touch()
    assert ask(f"file://{notice}") == f"{notice} exists"


def test_a_metadata_service_that_is_not_there_says_nothing() -> None:
    assert ask("http://127.0.0.1:1/preempted") == ""


@pytest.fixture
def cutting_off(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A metadata service that drops its first connection at `cut`, and then has a notice."""
    monkeypatch.setattr(MetadataService, "notice", True)
    with ThreadingHTTPServer(("127.0.0.1", 0), CuttingOff) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/preempted"
        server.shutdown()
        thread.join()


class CuttingOff(MetadataService):
    """Sends as much of an answer as `cuts` says and closes; once there are no cuts left, answers."""

    cuts: ClassVar[list[bytes]] = []

    def do_GET(self) -> None:
        if self.cuts:
            self.wfile.write(self.cuts.pop())
            self.close_connection = True
        else:
            super().do_GET()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.0 2", b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nFA"])
async def test_a_connection_that_drops_does_not_end_the_watch_for_a_notice(
    cutting_off: str, answer: bytes
) -> None:
    CuttingOff.cuts[:] = [answer]
    assert ask(cutting_off) == ""
    CuttingOff.cuts[:] = [answer]
    stop = asyncio.Event()
    async with asyncio.timeout(20.0):
        await watch_notice(cutting_off, stop, every_s=0.01)
    assert stop.is_set()
    assert not CuttingOff.cuts


def test_a_notice_is_asked_for_without_a_proxy(cloud: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    MetadataService.notice = True
    assert ask(cloud + "/preempted") == "TRUE"


def test_the_first_signal_after_a_notice_lets_the_leases_be_handed_back() -> None:
    stop, left = asyncio.Event(), list[int]()
    asked = on_signal(stop, left.append)
    stop.set()  # a notice came
    asked(signal.SIGTERM)
    assert not left
    asked(signal.SIGTERM)
    assert left == [128 + signal.SIGTERM]


async def test_a_notice_stops_the_worker_like_a_signal(cloud: str) -> None:
    stop = asyncio.Event()
    watching = asyncio.create_task(watch_notice(cloud + "/action", stop, every_s=0.01))
    await asyncio.sleep(0)
    assert not stop.is_set()
    MetadataService.notice = True
    async with asyncio.timeout(20.0):
        await watching
    assert stop.is_set()


class Listening(WorkerServiceServicer):
    """Says who it heard."""

    async def Work(  # type: ignore[override]  # noqa: N802
        self,
        request_iterator: object,
        context: "aio.ServicerContext[worker_pb2.WorkerMessage, worker_pb2.MasterMessage]",
    ) -> None:
        token = dict(context.invocation_metadata() or ()).get("authorization", "")
        welcome = worker_pb2.Welcome(master_id=str(token), heartbeat_s=1.0)
        await context.write(worker_pb2.MasterMessage(welcome=welcome))


@pytest.mark.skipif(
    shutil.which("openssl") is None, reason="makes certificates with openssl, which is not here"
)
async def test_a_worker_shows_its_certificate_and_its_token_over_tls(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    server = aio.server()
    add_WorkerServiceServicer_to_server(Listening(), server)
    credentials = grpc.ssl_server_credentials(
        [(key.read_bytes(), cert.read_bytes())], root_certificates=cert.read_bytes(), require_client_auth=True
    )
    port = server.add_secure_port("localhost:0", credentials)
    await server.start()
    config = WorkerConfig(master=f"localhost:{port}", token="hush", ca=cert, tls_cert=cert, tls_key=key)  # noqa: S106
    async with Dial(config)() as channel:
        answer = await WorkerServiceStub(channel).Work(metadata=config.security.metadata()).read()
    assert isinstance(answer, worker_pb2.MasterMessage)
    assert answer.welcome.master_id == "Bearer hush"
    await server.stop(None)


async def test_a_worker_asks_no_proxy_for_a_master_on_its_own_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = aio.server()
    add_WorkerServiceServicer_to_server(Listening(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with Dial(WorkerConfig(master=f"127.0.0.1:{port}"))() as channel:
        answer = await WorkerServiceStub(channel).Work().read()
    assert isinstance(answer, worker_pb2.MasterMessage)
    await server.stop(None)
