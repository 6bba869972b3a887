"""crunchdao's own client, unmodified, finds and calls what `germline serve` serves."""

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from websockets.asyncio.client import connect

from germline.cli.app import run
from germline.connection import Security
from germline.genome import Genome, Mutation, float32, format_id
from germline.models import Answer, Given, Status
from germline.models.announcements import read_models
from germline.models.node_client import NodeClient, call_request, setup_request
from germline.peers.model_runner_pb2 import CallRequest
from tests.peers.model_runner import DRIVER, GENOME, card, client_python

GERMLINE = "from germline.cli import main; main()"
UPRIGHT = ["JSON", [0.0, 0.1, 0.02, -0.1]]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

MOODY = '''
import os
import threading

HUNG = []


class Moody:
    """Behaves as the name of its experiment says."""

    def __init__(self, policy):
        self.mood = policy.describe()["experiment"]
        if self.mood == "unable":
            self.predict = None

    def predict(self, number, *, scale=1.0):
        if self.mood == "failing":
            raise OverflowError("too much")
        if self.mood == "slow":
            threading.Event().wait(2.5)
        if self.mood == "hanging" and not HUNG:
            HUNG.append(True)
            threading.Event().wait()
        if self.mood == "dying":
            os._exit(3)
        if self.mood == "large":
            return "x" * (5 << 20)
        if self.mood == "odd":
            return object()
        return number * scale

    def echo(self, value):
        return value
'''


def run_folder(path: Path) -> Path:
    """A folder as a run of CartPole leaves it, with the genome as its champion."""
    path.mkdir()
    task = 'name = "cart"\n[task.gym]\nid = "CartPole-v1"\n'
    spec = task + '[policy]\nname = "mlp"\nhidden = [8]\n[algorithm.ga]\n'
    counts = ("number", "evaluations", "episodes", "frames", "steps", "population", "lineage_depth", "leased")
    experiment = {
        **dict.fromkeys((*counts, "workers", "leases_lost", "epochs"), 3),
        **dict.fromkeys(("running_s", "frames_per_second", "evaluations_per_second", "best_fitness"), 1.0),
        **{"name": "cart", "state": "complete", "centre_digest": "", "champion": None, "spec": spec},
        **{"fitness_quantiles": [1.0] * 5, "created": "2026-11-20T10:00:00+00:00"},
    }
    (path / "experiment.json").write_text(json.dumps(experiment))
    crown(path, GENOME)
    return path


def crown(folder: Path, genome: Genome) -> None:
    """Make somebody the champion of a run."""
    champion = {
        **{"id": format_id(genome.id), "fitness": 1.0, "mutations": len(genome), "validated_mean": 1.5},
        **{"validation_episodes": 4, "validated_half_width": 0.5},
        "genome": base64.b64encode(genome.encode()).decode(),
    }
    new = folder / "individuals.new"
    new.write_text(json.dumps({"best": champion, "population": []}))
    new.replace(folder / "individuals.json")


class Talk:
    """A program that is given lines, and answers each with a line of JSON."""

    def __init__(self, *command: str, cwd: Path, log: Path, more: dict[str, str]) -> None:
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=cwd,
                env=os.environ | more,
            )  # fmt: skip

    def read(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the program has ended"
        return json.loads(line)

    def __call__(self, do: str, **order: object) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **order}) + "\n")
        self.process.stdin.flush()
        return self.read()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Talk]]:
    """Starts programs, and ends them."""
    talks: list[Talk] = []

    def started(*command: str, **more: str) -> Talk:
        talks.append(Talk(*command, cwd=tmp_path, log=tmp_path / f"{len(talks)}.log", more=more))
        return talks[-1]

    yield started
    for talk in talks:
        talk.end()


@pytest.fixture
def serve(start: Callable[..., Talk], tmp_path: Path) -> Callable[..., tuple[Talk, int]]:
    """Serves, and says on which port clients ask."""

    def served(*arguments: str, port: int = 0) -> tuple[Talk, int]:
        places = ("--listen", f"localhost:{port}", "--device", "cpu", "--json")
        talk = start(sys.executable, "-c", GERMLINE, "serve", *arguments, *places)
        return talk, int(talk.read()["listen"].rpartition(":")[2])

    return served


@pytest.fixture
def client(start: Callable[..., Talk]) -> Callable[..., Talk]:
    """The real client, initialised."""

    def connected(port: int, experiment: str = "all", timeout_s: int = 2, **more: str) -> Talk:
        words = (str(DRIVER), "localhost", str(port), experiment, str(timeout_s), "report")
        talk = start(client_python(), *words, **more)
        talk("init")
        return talk

    return connected


Serve = Callable[..., tuple[Talk, int]]
Connect = Callable[..., Talk]


def outcomes(called: dict[str, list[Any]]) -> dict[str, tuple[str, Any]]:
    """Status and result by experiment."""
    return {name.rpartition("-")[0]: (found[0], found[1]) for name, found in called.items()}


def test_a_champion_is_found_set_up_and_called_with_every_kind_of_value(
    serve: Serve, client: Connect, tmp_path: Path
) -> None:
    cart = card(tmp_path / "cart.toml", "cart")
    swing = card(tmp_path / "swing.toml", "swing", "Pendulum-v1")
    _, port = serve(cart, swing)
    name = f"cart-{format_id(GENOME.id)}"
    calls = client(port, "cart")
    assert calls("models") == [name]
    status, action, detail, _ = calls("call", method="act", args=[UPRIGHT])[name]
    assert (status, detail) == ("SUCCESS", None)
    assert action in (0, 1)
    assert calls("call", method="predict", args=[["JSON", [UPRIGHT[1]] * 3]])[name][1] == [action] * 3
    assert calls("call", method="predict", kwargs={"observations": UPRIGHT})[name][1] == action
    table = {place: [value, value] for place, value in zip("abcd", UPRIGHT[1], strict=True)}
    assert calls("call", method="predict", args=[["PARQUET", table]])[name][1] == {
        "table": {"action": [action] * 2}
    }
    assert calls("call", method="tick", args=[UPRIGHT])[name][:2] == ["SUCCESS", None]
    assert calls("call", method="predict")[name][1] == action
    assert calls("call", method="name")[name][1] == name
    described = calls("call", method="describe")[name][1]
    assert (described["observation_shape"], described["actions"]) == ([4], 2)
    swings = client(port, "swing")
    (found,) = swings("call", method="act", args=[["JSON", [1.0, 0.0, 0.5]]]).values()
    assert found[0] == "SUCCESS"
    assert isinstance(found[1], float)


def test_values_of_every_kind_come_back_as_they_were_sent(
    serve: Serve, client: Connect, tmp_path: Path
) -> None:
    (tmp_path / "moody.py").write_text(MOODY)
    _, port = serve(card(tmp_path / "well.toml", "well"), "--model", "moody:Moody")
    calls = client(port)
    sent: list[list[Any]] = [
        ["DOUBLE", 1.5], ["INT", -5], ["INT", 2**63 - 1], ["STRING", "ein Wört"], ["NONE", None],
        ["JSON", {"deep": [1, [2.5, None]]}],
    ]  # fmt: skip
    for kind, value in sent:
        (found,) = calls("call", method="echo", args=[[kind, value]]).values()
        assert found[:2] == ["SUCCESS", value], kind
    (found,) = calls("call", method="echo", args=[["PARQUET", {"a": [1, 2], "b": ["x", "y"]}]]).values()
    assert found[1] == {"table": {"a": [1, 2], "b": ["x", "y"]}}
    (found,) = calls("call", method="echo", args=[["ARROW", None]]).values()
    assert found[0] == "FAILED"
    named = {"scale": ["DOUBLE", 0.5], "unknown": ["INT", 1]}
    (found,) = calls("call", method="predict", args=[["INT", 3]], kwargs=named).values()
    assert found[:2] == ["SUCCESS", 1.5]


def test_what_goes_wrong_in_one_model_is_told_apart_and_costs_no_other(
    serve: Serve, client: Connect, tmp_path: Path
) -> None:
    moods = ("well", "failing", "slow", "odd", "large", "unable")
    (tmp_path / "moody.py").write_text(MOODY)
    _, port = serve(*(card(tmp_path / f"{mood}.toml", mood) for mood in moods), "--model", "moody:Moody")
    calls = client(port, timeout_s=1)
    first = calls("call", method="predict", args=[["DOUBLE", 2.0]])
    assert outcomes(first) == {
        "well": ("SUCCESS", 2.0),
        "failing": ("FAILED", None),
        "odd": ("FAILED", None),
        "large": ("FAILED", None),
        "unable": ("FAILED", None),
        "slow": ("TIMEOUT", None),
    }
    details = {name.rpartition("-")[0]: found[2] for name, found in first.items()}
    assert details["unable"] == "BAD_IMPLEMENTATION"
    assert details["slow"].startswith("DEADLINE_EXCEEDED")
    well_us = next(found[3] for name, found in first.items() if name.startswith("well"))
    assert well_us < 900_000, "nobody waited for the slow one"
    assert not any(name.startswith("unable") for name in calls("models")), "given up at once"
    mistaken = calls("call", method="predict", args=[])
    assert {found[0] for name, found in mistaken.items() if not name.startswith("slow")} == {"FAILED"}
    for _ in range(5):
        calls("call", method="predict", args=[])
    assert any(name.startswith("well") for name in calls("models")), "a caller's mistake costs no model"
    for _ in range(4):
        calls("call", method="predict", args=[["DOUBLE", 2.0]])
    left = {name.rpartition("-")[0] for name in calls("models")}
    assert "well" in left
    assert not left & {"failing", "odd", "large", "slow"}, "each was given up after its fourth time"


def test_a_model_that_hung_comes_back_to_the_client_that_gave_it_up(
    serve: Serve, client: Connect, tmp_path: Path
) -> None:
    (tmp_path / "moody.py").write_text(MOODY)
    moods = ("well", "hanging")
    served = [card(tmp_path / f"{mood}.toml", mood) for mood in moods]
    _, port = serve(*served, "--model", "moody:Moody", "--every", "0.5")
    calls = client(port, timeout_s=2)
    calls("sync")
    for _ in range(4):
        found = outcomes(calls("call", method="predict", args=[["INT", 2]]))
        assert found["well"] == ("SUCCESS", 2.0)
        assert found.get("hanging", ("TIMEOUT",))[0] == "TIMEOUT"
    assert len(calls("models", until=2)) == 2
    found = outcomes(calls("call", method="predict", args=[["INT", 3]]))
    assert found == {"well": ("SUCCESS", 3.0), "hanging": ("SUCCESS", 3.0)}


def test_a_model_that_ends_its_process_is_dead_alone_and_is_started_over(
    serve: Serve, client: Connect, tmp_path: Path
) -> None:
    (tmp_path / "moody.py").write_text(MOODY)
    served = [card(tmp_path / f"{mood}.toml", mood) for mood in ("well", "dying")]
    _, port = serve(*served, "--model", "moody:Moody", "--isolate", "--every", "0.5")
    calls = client(port)
    calls("sync")
    found = calls("call", method="predict", args=[["INT", 2]])
    assert outcomes(found) == {"well": ("SUCCESS", 2.0), "dying": ("TIMEOUT", None)}
    (detail,) = [each[2] for name, each in found.items() if name.startswith("dying")]
    assert detail.startswith("UNAVAILABLE"), "dead is told from late"
    while True:
        again = calls("call", method="echo", args=[["INT", 3]])
        assert outcomes(again)["well"] == ("SUCCESS", 3)
        if outcomes(again).get("dying") == ("SUCCESS", 3):
            break


def test_a_new_champion_takes_over_and_the_old_one_leaves(
    serve: Serve, client: Connect, tmp_path: Path
) -> None:
    folder = run_folder(tmp_path / "run")
    _, port = serve("--run", str(folder), "--every", "0.1")
    calls = client(port, "cart")
    assert calls("models") == [f"cart-{format_id(GENOME.id)}"]
    calls("sync")
    child = GENOME.child(Mutation(3, float32(0.02)))
    crown(folder, child)
    wanted = f"cart-{format_id(child.id)}"
    while calls("models") != [wanted]:
        found = calls("call", method="name")
        assert "SUCCESS" in {each[0] for each in found.values()}, "there is always one to call"
    assert calls("call", method="name")[wanted][1] == wanted


def test_a_server_that_is_killed_and_started_again_is_found_again(
    serve: Serve, client: Connect, tmp_path: Path
) -> None:
    cart = card(tmp_path / "cart.toml", "cart")
    server, port = serve(cart)
    calls = client(port, timeout_s=1)
    calls("sync")
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    (found,) = calls("call", method="act", args=[UPRIGHT]).values()
    assert found[0] == "TIMEOUT"
    serve(cart, port=port)
    while True:
        found = next(iter(calls("call", method="act", args=[UPRIGHT]).values()), ["nobody"])
        if found[0] == "SUCCESS":
            break


def test_sigterm_tells_clients_that_the_models_leave(serve: Serve, client: Connect, tmp_path: Path) -> None:
    server, port = serve(card(tmp_path / "cart.toml", "cart"))
    calls = client(port)
    calls("sync")
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(30) == 0
    assert calls("models", until=0) == []


def test_in_gateway_mode_calls_are_encrypted_and_only_those_signed_by_a_known_key_are_taken(
    serve: Serve, client: Connect, tmp_path: Path
) -> None:
    assert run(["certificates", str(tmp_path / "tls")]) == 0
    known, public = rsa_key(tmp_path / "known.pem")
    (tmp_path / "keys.pem").write_bytes(public)
    tls = ("--serve-cert", "tls/server.pem", "--serve-key", "tls/server-key.pem")
    _, port = serve(card(tmp_path / "cart.toml", "cart"), *tls, "--gateway-keys", "keys.pem")
    trusted = {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(tmp_path / "tls" / "ca.pem")}
    calls = client(port, **trusted, GATEWAY_KEY=known)
    (found,) = calls("call", method="act", args=[UPRIGHT]).values()
    assert found[0] == "SUCCESS"
    ours = Security(ca=tmp_path / "tls" / "ca.pem")
    request = call_request("act", Given(UPRIGHT[1]))
    refused = asyncio.run(unsigned(port, ours, request))
    assert refused.status is Status.GONE
    assert "x-gateway-auth-message is missing" in refused.detail


def rsa_key(path: Path) -> tuple[str, bytes]:
    """A new private key in a file, and its public key in PEM."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    form = serialization.PrivateFormat.PKCS8
    path.write_bytes(key.private_bytes(Encoding.PEM, form, serialization.NoEncryption()))
    return str(path), key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


async def unsigned(port: int, security: Security, request: CallRequest) -> Answer:
    """What a stranger gets who knows the authority, and has no key."""
    async with connect(f"ws://localhost:{port}/all") as announcements:
        said = read_models(await announcements.recv())
    assert said is not None
    node = NodeClient(said[1][0], setup_request("Base", Given()), security)
    try:
        return await node.call(request, 10.0)
    finally:
        await node.close()
