"""The client against a real server: what it reads, what it repeats, and what it says when things go wrong."""

import dataclasses
import socket
import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest

from germline.client import (
    Client,
    Experiment,
    HistoryPoint,
    Individual,
    NotReachableError,
    RefusedError,
    Unscored,
    Worker,
)
from germline.connection import options_for
from germline.genome import Genome, Mutation
from germline.spec import Spec, loads, to_toml
from germline.spec.typed import message_of
from germline.v1 import experiment_pb2, experiment_pb2_grpc

SPEC = loads('name = "a"\n[task.gym]\nid = "CartPole-v1"\n[policy]\nname = "mlp"\n[algorithm.ga]\n')
GENOME = Genome.founder(7).child(Mutation(2**64 - 1, 0.5))


def test_a_spec_may_be_an_object_a_message_a_text_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text(to_toml(SPEC))
    for spec in (Spec.of(SPEC), SPEC, to_toml(SPEC), file, str(file)):
        assert message_of(spec) == SPEC


class Scripted(experiment_pb2_grpc.ExperimentServiceServicer):
    """A server that fails as often as a test wants, then answers."""

    def __init__(self) -> None:
        self.failures: list[grpc.StatusCode] = []
        self.breaks = 0
        self.calls = 0
        self.metadata: dict[str, str | bytes] = {}
        self.hold = threading.Event()
        self.hold.set()

    def _attempt(self, context: grpc.ServicerContext) -> None:
        self.calls += 1
        self.metadata = dict(context.invocation_metadata())
        self.hold.wait(5)
        if self.failures:
            context.abort(self.failures.pop(0), "spec.share is 0; allowed: a whole number in 1..1000")

    def GetExperiment(  # noqa: N802 - named by the proto
        self, request: experiment_pb2.GetExperimentRequest, context: grpc.ServicerContext
    ) -> experiment_pb2.GetExperimentResponse:
        self._attempt(context)
        return experiment_pb2.GetExperimentResponse(experiment=experiment(12))

    def GetIndividual(  # noqa: N802 - named by the proto
        self, request: experiment_pb2.GetIndividualRequest, context: grpc.ServicerContext
    ) -> experiment_pb2.GetIndividualResponse:
        wanted = request.id if request.HasField("id") else GENOME.id
        individual = experiment_pb2.Individual(id=wanted, fitness=3.0, mutations=1, genome=GENOME.encode())
        return experiment_pb2.GetIndividualResponse(individual=individual)

    def WatchExperiment(  # noqa: N802 - named by the proto
        self, request: experiment_pb2.WatchExperimentRequest, context: grpc.ServicerContext
    ) -> Iterator[experiment_pb2.WatchExperimentResponse]:
        self._attempt(context)
        yield experiment_pb2.WatchExperimentResponse(experiment=experiment(10))
        if self.breaks:
            self.breaks -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        yield experiment_pb2.WatchExperimentResponse(experiment=experiment(11))


def experiment(evaluations: int) -> experiment_pb2.Experiment:
    message = experiment_pb2.Experiment(
        number=1, spec=SPEC, state=experiment_pb2.EXPERIMENT_STATE_RUNNING, evaluations=evaluations
    )
    message.fitness_quantiles.extend([1, 2, 3, 4, 5])
    return message


@pytest.fixture
def served() -> Iterator[tuple[Scripted, str]]:
    service = Scripted()  # type: ignore[abstract]  # no test calls the rest
    server = grpc.server(futures.ThreadPoolExecutor(4))
    experiment_pb2_grpc.add_ExperimentServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield service, f"127.0.0.1:{port}"
    service.hold.set()
    server.stop(None).wait()


def test_an_experiment_is_read_as_plain_values(served: tuple[Scripted, str]) -> None:
    with Client(served[1]) as client:
        found = client.experiment("a")
    assert (found.name, found.state, found.evaluations) == ("a", "running", 12)
    assert found.fitness_quantiles == (1, 2, 3, 4, 5)
    assert found.best_fitness is None
    assert found.champion is None
    assert found.spec == SPEC


def test_an_individual_comes_with_its_genome(served: tuple[Scripted, str]) -> None:
    with Client(served[1]) as client:
        assert client.individual("a").genome == GENOME
        assert client.individual("a", 5).id == 5
        assert client.individual("a").validated_mean is None


def test_unavailable_is_tried_again(served: tuple[Scripted, str]) -> None:
    service, address = served
    service.failures = [grpc.StatusCode.UNAVAILABLE] * 2
    with Client(address) as client:
        assert client.experiment("a").evaluations == 12
    assert service.calls == 3


@pytest.mark.parametrize("code", [grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL])
def test_nothing_else_is_tried_again(served: tuple[Scripted, str], code: grpc.StatusCode) -> None:
    service, address = served
    service.failures = [code] * 2
    with Client(address) as client, pytest.raises(RefusedError, match=r"spec\.share is 0") as caught:
        client.experiment("a")
    assert caught.value.code == code.name
    assert service.calls == 1


def test_a_silent_master_is_not_waited_for_longer_than_the_deadline(served: tuple[Scripted, str]) -> None:
    service, address = served
    service.hold.clear()
    with Client(address, deadline_s=0.3) as client, pytest.raises(NotReachableError, match="in time"):
        client.experiment("a")


def test_an_address_where_nobody_listens_is_named() -> None:
    with Client("127.0.0.1:9", deadline_s=2.0) as client:
        with pytest.raises(NotReachableError, match=r"127\.0\.0\.1:9"):
            client.experiments()
        with pytest.raises(NotReachableError):
            client.wait_until_ready(0.0)


def test_a_watch_goes_on_after_the_master_was_away(served: tuple[Scripted, str]) -> None:
    service, address = served
    service.breaks = 1
    with Client(address) as client:
        looks = [seen.evaluations for seen in client.watch("a", 0.1)]
    assert looks == [10, 10, 11]


def test_a_watch_of_what_is_refused_ends_with_the_sentence(served: tuple[Scripted, str]) -> None:
    service, address = served
    service.failures = [grpc.StatusCode.NOT_FOUND]
    with Client(address) as client, pytest.raises(RefusedError, match="allowed"):
        next(client.watch("a"))


def test_the_token_travels_with_every_call_and_is_never_shown(served: tuple[Scripted, str]) -> None:
    service, address = served
    with Client(address, token="secret-token") as client:  # noqa: S106 - not a secret
        client.experiment("a")
        assert "secret-token" not in repr(vars(client)["_masters"].stub)
    assert service.metadata["authorization"] == "Bearer secret-token"


def test_a_proxy_of_the_environment_is_not_asked_for_this_very_machine(
    served: tuple[Scripted, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        with Client(served[1], deadline_s=5.0) as client:
            assert client.experiment("a").evaluations == 12
        proxy.setblocking(False)
        with pytest.raises(BlockingIOError):
            proxy.accept()


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("localhost:7700", True),
        ("127.0.0.1:1", True),
        ("127.3.2.1:1", True),
        ("[::1]:1", True),
        ("0.0.0.0:1", False),
        ("10.0.0.1:1", False),
        ("localhost.example.org:1", False),
    ],
)
def test_which_addresses_only_this_machine_reaches(address: str, local: bool) -> None:
    assert bool(options_for(address)) is local


@pytest.mark.parametrize("view", [Experiment, HistoryPoint, Individual, Unscored, Worker])
def test_every_field_that_the_master_tells_is_in_the_view(view: type) -> None:
    told = {field.name for field in getattr(experiment_pb2, view.__name__).DESCRIPTOR.fields}
    assert told <= {field.name for field in dataclasses.fields(view)}
