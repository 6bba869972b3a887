"""What a worker tells Prometheus and its master of where its time goes, with real engines and a port."""

import re
import socket
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import cast
from urllib.error import HTTPError

import pytest
import torch
from prometheus_client import CollectorRegistry

from germline.bottleneck import STAGES, in_words, sentence, shares, weighted
from germline.genome import Genome, Mutation, float32
from germline.metrics_server import serve_metrics
from worker import metrics
from worker.config import WorkerConfig
from worker.connection.wire import Identity
from worker.connection.worker_state import WorkerState
from worker.playing.engine import Engine, Evaluation
from worker.playing.engines import build_engine
from worker.playing.playable import EngineSettings
from worker.playing.stages import Stage, StageClock, Stages
from worker.tasks.base import SetupError

PARENT = Genome.founder(1)


def play(settings: EngineSettings, count: int = 6) -> Stages:
    engine: Engine[int] = build_engine(settings, device=torch.device("cpu"))
    for number in range(count):
        child = PARENT.child(Mutation(number, float32(0.02)))
        engine.submit(Evaluation(number, child, (number,), PARENT, 40))
    while engine.busy():
        engine.tick()
    stages = engine.stages
    engine.close()
    return stages


def test_a_real_game_spends_time_in_every_stage_of_a_step_and_makes_a_parent_once() -> None:
    stages = play(EngineSettings("atari", "dqn2015", {"game": "pong"}))
    assert min(stages[:4]) > 0
    assert stages.update_s == 0
    assert (stages.cache_hits, stages.cache_misses) == (5, 1)
    assert STAGES[max(range(4), key=lambda at: stages[at])] in ("fill", "infer", "emulate")


def test_a_function_fills_and_is_called() -> None:
    path = "worker.tasks.function:noisy_sphere"
    stages = play(EngineSettings("function", "vector", {"path": path, "dimension": 3}))
    assert stages.fill_s > 0
    assert stages.emulate_s > 0
    assert (stages.cache_hits, stages.cache_misses) == (5, 1)


def test_a_stage_clock_adds_up_what_went_on_also_when_something_is_raised() -> None:
    now = [0.0]
    clock = StageClock(lambda: now[0])
    with suppress(KeyError), clock.during(Stage.FILL):
        now[0] += 2
        with clock.during(Stage.EMULATE):
            now[0] += 3
            raise KeyError
    now[0] += 10
    assert clock.read() == Stages(fill_s=2, emulate_s=3)


def test_what_came_since_is_never_less_than_nothing() -> None:
    before = Stages(1, 1, 1, 1, 1, 9, 9)
    assert Stages(2, 1, 1, 1, 1, 0, 0).since(before) == Stages(1, 0, 0, 0, 0, 0, 0)
    assert Stages.total([before, Stages(1)]) == Stages(2, 1, 1, 1, 1, 9, 9)


@pytest.mark.parametrize(
    "seconds",
    [(), (0, 0, 0, 0, 0), (1, 2), (-1, 1, 1, 1, 1), (float("nan"),) * 5, (float("inf"), 1, 1, 1, 1)],
)
def test_seconds_that_say_nothing_make_no_shares(seconds: tuple[float, ...]) -> None:
    assert shares(seconds) == ()


def test_the_bottleneck_is_the_largest_stage_or_that_workers_wait() -> None:
    emulating, inferring = shares((1, 2, 6, 1, 0)), shares((1, 8, 1, 0, 0))
    assert weighted([(emulating, 1.0), (inferring, 3.0), ((), 99.0)])[1] == pytest.approx(0.65)
    assert in_words(emulating).startswith("playing the task takes 60% of the workers' time")
    assert sentence([(inferring, 0.99, 8)]).startswith("the networks take 80%")
    assert "more of them than work" in sentence([(inferring, 0.2, 8)] * 2, wanted=1)
    assert "lends it too slowly" in sentence([(inferring, 0.2, 8)], wanted=9)
    assert sentence([]) == sentence([((), 1.0, 8)]) == ""


def settings(**named: object) -> WorkerConfig:
    return WorkerConfig(**named)  # type: ignore[arg-type]


def test_a_worker_serves_no_metrics_unless_told_and_none_in_the_open_to_others(tmp_path: Path) -> None:
    assert settings().metrics_port == -1
    assert settings(metrics_port=0).metrics_are_open
    with pytest.raises(
        ValueError, match=r"metrics_host is '0\.0\.0\.0', which other machines reach, without"
    ):
        settings(metrics_port=0, metrics_host="0.0.0.0", token="a-token")  # noqa: S104, S106
    with pytest.raises(ValueError, match="metrics_port is 70000; allowed: 0 to 65535"):
        settings(metrics_port=70_000)
    assert settings(metrics_port=0, metrics_host="0.0.0.0", insecure_metrics=True).metrics_are_open  # noqa: S104


def test_metrics_for_those_with_a_token_are_for_nobody_else() -> None:
    server = serve_metrics(CollectorRegistry(), "localhost", 0, tls=None, is_known="a-token".__eq__)
    url = f"http://localhost:{server.server_port}/metrics"
    try:
        with pytest.raises(HTTPError, match="401"):
            urllib.request.urlopen(url)
        asked = urllib.request.Request(url, headers={"Authorization": "Bearer a-token"})
        with urllib.request.urlopen(asked) as answer:  # noqa: S310 - our own server
            assert answer.status == 200
    finally:
        server.shutdown()
        server.server_close()


def test_a_port_that_is_taken_is_a_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        nobody, who = cast("WorkerState", None), cast("Identity", None)  # who are asked at the first scrape
        with pytest.raises(SetupError, match=re.escape(f"metrics_port is {port}, which cannot be served")):
            metrics.serve(settings(metrics_port=port, metrics_host="127.0.0.1"), nobody, who)
