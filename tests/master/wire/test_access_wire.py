"""Who may call what, on a real master: two roles by token, by certificate, and both; metrics among them."""

import asyncio
import contextlib
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from germline import noise
from germline.peers import evochi_pb2
from germline.peers.evochi_pb2_grpc import EvochiServiceStub
from germline.spec import loads
from germline.v1 import experiment_pb2, own_pb2, worker_pb2
from germline.v1.experiment_pb2_grpc import ExperimentServiceStub
from germline.v1.own_pb2_grpc import OwnServiceStub
from germline.v1.worker_pb2_grpc import WorkerServiceStub
from master.access import Role
from master.config import MasterConfig
from master.server import Master
from master.wire.interceptors import role_of_method
from tests.peers.evochi_peer import until

WORKER, OPERATOR = "worker-token-" * 2, "operator-token-" * 2
Serve = Callable[..., AbstractAsyncContextManager[Master]]
LIST = experiment_pb2.ListExperimentsRequest()


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    @asynccontextmanager
    async def serve(**settings: Any) -> AsyncIterator[Master]:
        default: dict[str, Any] = {
            "listen": "localhost:0",
            "metrics_port": -1,
            "store_folder": tmp_path / "store",
        }
        variables = {"EVOCHI_POPULATION_SIZE": "9"}
        async with Master.serving(MasterConfig(**(default | settings)), environment=variables) as master:
            yield master

    return serve


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Settings of a master that asks for tokens."""
    (tmp_path / "workers").write_text(WORKER + "\n")
    (tmp_path / "operators").write_text(OPERATOR + "\n")
    return {"worker_tokens": tmp_path / "workers", "operator_tokens": tmp_path / "operators"}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `germline certificates` makes, and the certificate of somebody without a role."""
    pytest.importorskip("cryptography", reason="pip install 'germline[certificates]'")
    from germline.cli.app import run  # noqa: PLC0415
    from germline.cli.authority import Authority, Signed  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("house") / "certificates"
    assert run(["certificates", str(folder)]) == 0
    stored = Signed((folder / "ca.pem").read_bytes(), (folder / "ca-key.pem").read_bytes())
    nobody = Authority.of(stored).sign_client("nobody", 1)
    (folder / "nobody.pem").write_bytes(nobody.certificate)
    (folder / "nobody-key.pem").write_bytes(nobody.key)
    return folder


def served_with(certificates: Path, *, ask_clients: bool = True) -> dict[str, Path]:
    settings = {"tls_cert": certificates / "server.pem", "tls_key": certificates / "server-key.pem"}
    return settings | ({"tls_client_ca": certificates / "ca.pem"} if ask_clients else {})


def calling(master: Master, certificates: Path, who: str) -> aio.Channel:
    """A channel of somebody with a certificate."""
    ca, chain, key = (
        (certificates / name).read_bytes() for name in ("ca.pem", f"{who}.pem", f"{who}-key.pem")
    )
    return aio.secure_channel(master.address, grpc.ssl_channel_credentials(ca, key, chain))


def shown(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),) if token else ()


async def codes(channel: aio.Channel, token: str = "") -> tuple[grpc.StatusCode, grpc.StatusCode]:
    """How a call to work and one to see experiments end; work ends by the caller's own odd first message."""
    metadata = shown(token)
    work = WorkerServiceStub(channel).Work(metadata=metadata)
    with contextlib.suppress(aio.AioRpcError, asyncio.InvalidStateError):  # it was refused already
        await work.write(worker_pb2.WorkerMessage(credit=worker_pb2.Credit(evaluations=1)))
    people = ExperimentServiceStub(channel).ListExperiments(LIST, metadata=metadata)
    return await work.code(), await people.code()


ALLOWED = grpc.StatusCode.FAILED_PRECONDITION  # a stream that was let in, and did not begin with hello
OK = grpc.StatusCode.OK
UNKNOWN, FORBIDDEN = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED


def test_every_call_has_its_role_and_only_work_is_for_workers() -> None:
    services = [
        *experiment_pb2.DESCRIPTOR.services_by_name.values(),
        *worker_pb2.DESCRIPTOR.services_by_name.values(),
        *own_pb2.DESCRIPTOR.services_by_name.values(),
    ]
    methods = {f"/{service.full_name}/{method.name}" for service in services for method in service.methods}
    for_workers = {method for method in methods if role_of_method(method) is Role.WORKER}
    assert for_workers == {"/germline.v1.WorkerService/Work", "/germline.v1.OwnService/Work"}
    assert role_of_method("/germline.v2.Whatever/Call") is Role.OPERATOR


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (WORKER, (ALLOWED, FORBIDDEN)),
        (OPERATOR, (ALLOWED, OK)),
        ("somebody-elses-token", (UNKNOWN, UNKNOWN)),
        ("", (UNKNOWN, UNKNOWN)),
    ],
)
async def test_a_token_lets_its_bearer_do_what_its_role_may(
    token: str, expected: tuple[grpc.StatusCode, ...], serve: Serve, files: dict[str, Path]
) -> None:
    async with serve(**files) as master, aio.insecure_channel(master.address) as channel:
        assert await codes(channel, token) == expected
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())


async def test_a_refused_caller_is_told_which_role_the_call_wants(
    serve: Serve, files: dict[str, Path]
) -> None:
    async with serve(**files) as master, aio.insecure_channel(master.address) as channel:
        call = ExperimentServiceStub(channel).DeleteExperiment(
            experiment_pb2.DeleteExperimentRequest(name="x"), metadata=shown(WORKER)
        )
        assert await call.details() == (
            "/germline.v1.ExperimentService/DeleteExperiment is for the role operator; the caller showed the "
            "role worker"
        )


async def test_tokens_are_exchanged_under_a_running_master(serve: Serve, files: dict[str, Path]) -> None:
    async with serve(**files) as master, aio.insecure_channel(master.address) as channel:
        new = files["operator_tokens"].with_name("new")
        new.write_text("another-operators-token\n")
        os.replace(new, files["operator_tokens"])
        assert (await codes(channel, OPERATOR))[1] is UNKNOWN
        assert (await codes(channel, "another-operators-token"))[1] is OK


def revoke(path: Path) -> None:
    """Put a file with another token in its place, as orchestrators do."""
    new = path.with_name("new")
    new.write_text("nobody-has-this-token\n")
    os.replace(new, path)


@asynccontextmanager
async def with_gateway(
    serve: Serve, files: dict[str, Path]
) -> AsyncIterator[tuple[Master, list[aio.Channel]]]:
    """A master with an experiment for each kind of worker, and channels to it and to its gateway."""
    async with (
        serve(**files, gateway="evochi=localhost:0") as master,
        aio.insecure_channel(master.address) as channel,
        aio.insecure_channel(master.gateways["evochi"]) as gateway,
    ):
        master.registry.create(
            loads(
                'name = "one"\n[task.function]\npath = "a:f"\n[policy]\nname = "vector"\n[algorithm.ga]\n'
                "[stop]\nevaluations = 100\n"
            )
        )
        yield master, [channel, gateway]


async def say(call: Any, message: object) -> Any:
    await call.write(message)
    return call


async def open_streams(channel: aio.Channel, gateway: aio.Channel) -> dict[str, Any]:
    """One stream of each kind, all with tokens that are valid, after the first message on it."""
    people, worker = shown(OPERATOR), shown(WORKER)
    watch = experiment_pb2.WatchExperimentRequest(name="one", interval_s=3_600)
    hello = worker_pb2.Hello(
        worker_id="w", noise_version=noise.VERSION, noise_digest=noise.self_test_digest(), slots=4
    )
    own = own_pb2.OwnHello(experiment="evochi", worker_id="v", room=1)
    return {
        "watch": ExperimentServiceStub(channel).WatchExperiment(watch, metadata=people),
        "work": await say(
            WorkerServiceStub(channel).Work(metadata=worker), worker_pb2.WorkerMessage(hello=hello)
        ),
        "own": await say(OwnServiceStub(channel).Work(metadata=worker), own_pb2.OwnWorkerMessage(hello=own)),
        "evochi": EvochiServiceStub(gateway).Subscribe(evochi_pb2.SubscribeRequest(cores=1), metadata=worker),
    }


def own_workers(master: Master) -> set[str]:
    own = master.registry.named("evochi").own
    assert own is not None
    return {*own.run.members, *own.run.waiting}


async def until_all_are_here(master: Master, calls: dict[str, Any]) -> None:
    """The first of the two with arithmetic of their own is asked for a state; the other one waits for it."""
    for name in ("watch", "work"):
        assert await calls[name].read() is not aio.EOF
    await until(lambda: len(own_workers(master)) == 2, "two own workers")


async def how_it_ends(call: Any) -> tuple[grpc.StatusCode, str]:
    with contextlib.suppress(aio.AioRpcError):
        while await call.read() is not aio.EOF:
            pass
    return await call.code(), str(await call.details())


async def test_streams_end_soon_after_their_token_has_left_the_file_and_the_work_is_there_for_others(
    serve: Serve, files: dict[str, Path]
) -> None:
    async with with_gateway(serve, files) as (master, channels), asyncio.timeout(30):
        calls = await open_streams(*channels)
        await until_all_are_here(master, calls)
        await calls["work"].write(worker_pb2.WorkerMessage(credit=worker_pb2.Credit(evaluations=3)))
        while (await calls["work"].read()).WhichOneof("kind") != "leases":
            pass
        assert master.dispatcher.overview.leased == 3

        revoke(files["worker_tokens"])
        began_s = time.monotonic()
        for name in ("work", "own", "evochi"):
            code, sentence = await how_it_ends(calls[name])
            assert (name, code, sentence) == (name, UNKNOWN, "the call has another token than the master's")
        assert time.monotonic() - began_s < 5
        assert master.dispatcher.overview.leased == 0
        assert not len(master.dispatcher.fleet)
        assert not own_workers(master)
        assert not calls["watch"].done()

        files["operator_tokens"].write_text("another-operators-token\n")
        assert (await how_it_ends(calls["watch"]))[0] is UNKNOWN


async def test_a_stream_whose_token_has_a_lower_role_now_ends_and_others_run_on(
    serve: Serve, files: dict[str, Path]
) -> None:
    async with with_gateway(serve, files) as (master, channels), asyncio.timeout(30):
        calls = await open_streams(*channels)
        await until_all_are_here(master, calls)
        files["worker_tokens"].write_text(f"{WORKER}\n{OPERATOR}\n")  # of no use while it is an operator's
        files["operator_tokens"].write_text("another-operators-token\n")
        assert (await how_it_ends(calls["watch"]))[0] is FORBIDDEN
        assert not any(calls[name].done() for name in ("work", "own", "evochi"))


@pytest.mark.parametrize(
    ("who", "expected"),
    [("worker", (ALLOWED, FORBIDDEN)), ("operator", (ALLOWED, OK)), ("nobody", (FORBIDDEN, FORBIDDEN))],
)
async def test_a_certificate_lets_its_owner_do_what_its_role_may(
    who: str, expected: tuple[grpc.StatusCode, ...], serve: Serve, certificates: Path
) -> None:
    async with serve(**served_with(certificates)) as master, calling(master, certificates, who) as channel:
        assert await codes(channel) == expected


@pytest.mark.parametrize(
    ("who", "token", "expected"),
    [
        ("operator", OPERATOR, (ALLOWED, OK)),
        ("operator", WORKER, (ALLOWED, FORBIDDEN)),
        ("worker", OPERATOR, (ALLOWED, FORBIDDEN)),
        ("nobody", OPERATOR, (ALLOWED, OK)),
        ("operator", "", (UNKNOWN, UNKNOWN)),
    ],
)
async def test_where_both_are_asked_for_both_must_allow_a_call(
    who: str,
    token: str,
    expected: tuple[grpc.StatusCode, ...],
    serve: Serve,
    files: dict[str, Path],
    certificates: Path,
) -> None:
    settings = served_with(certificates) | files
    async with serve(**settings) as master, calling(master, certificates, who) as channel:
        assert await codes(channel, token) == expected


async def test_nobody_without_a_certificate_gets_through_where_one_is_asked_for(
    serve: Serve, certificates: Path
) -> None:
    async with serve(**served_with(certificates)) as master:
        credentials = grpc.ssl_channel_credentials((certificates / "ca.pem").read_bytes())
        async with aio.secure_channel(master.address, credentials) as channel:
            call = ExperimentServiceStub(channel).ListExperiments(LIST, timeout=5)
            assert await call.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}


def fetch(url: str, token: str = "", ca: Path | None = None) -> tuple[int, str]:
    context = ssl.create_default_context(cafile=ca) if ca else None
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - our own server
        with urllib.request.urlopen(request, context=context, timeout=20) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


async def test_metrics_beyond_this_machine_are_encrypted_and_want_a_token(
    serve: Serve, files: dict[str, Path], certificates: Path
) -> None:
    settings = served_with(certificates, ask_clients=False) | files
    async with serve(**settings, metrics_host="0.0.0.0", metrics_port=0) as master:  # noqa: S104
        url = f"https://localhost:{master.metrics_address.rpartition(':')[2]}/metrics"
        ca = certificates / "ca.pem"
        for token in (WORKER, OPERATOR):
            status, text = await asyncio.to_thread(fetch, url, token, ca)
            assert (status, "germline_workers_wanted" in text) == (200, True)
        for token in ("", "somebody-elses-token"):
            status, text = await asyncio.to_thread(fetch, url, token, ca)
            assert (status, "germline" in text) == (401, False)
        with pytest.raises(OSError, match=r"closed|reset|disconnected|Remote"):
            await asyncio.to_thread(fetch, url.replace("https", "http"))


async def test_metrics_on_this_machine_are_open_and_beyond_it_if_the_operator_says_so(
    serve: Serve, files: dict[str, Path]
) -> None:
    open_to_all = {"metrics_host": "0.0.0.0", "insecure_metrics": True}  # noqa: S104
    for settings in ({}, open_to_all):
        async with serve(**files, **settings, metrics_port=0) as master:
            url = f"http://127.0.0.1:{master.metrics_address.rpartition(':')[2]}/metrics"
            assert (await asyncio.to_thread(fetch, url))[0] == 200


async def test_callers_that_say_nothing_keep_nobody_from_the_metrics(serve: Serve) -> None:
    async with serve(metrics_port=0) as master:
        host, port = master.metrics_address.split(":")
        silent = [await asyncio.open_connection(host, int(port)) for _ in range(8)]
        status, _ = await asyncio.to_thread(fetch, f"http://{master.metrics_address}/metrics")
        assert status == 200
        for _, writer in silent:
            writer.close()
