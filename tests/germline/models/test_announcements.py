"""Frames between clients and the WebSocket: written as the protocol has them, read or refused by name."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from germline.models.announcements import (
    FRAME_BYTES,
    Announced,
    FrameError,
    Report,
    read_models,
    read_reports,
    write_frames,
    write_report,
)

MODEL = Announced("pong-1", "pong-1_x", "pong", "10.0.0.1", 5_000, infos={"about": "a model"})
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["event", "data", "model_id", "state", "ip", "port"]), inner)
    ),
    max_leaves=10,
)


def test_a_model_is_written_as_clients_read_it() -> None:
    (frame,) = write_frames("init", [MODEL])
    assert json.loads(frame) == {
        "event": "init",
        "data": [
            {
                "deployment_id": "pong-1_x",
                "model_id": "pong-1",
                "infos": {"model_name": "pong", "about": "a model"},
                "state": "RUNNING",
                "ip": "10.0.0.1",
                "port": 5_000,
            }
        ],
    }
    assert read_models(frame) == ("init", [MODEL])


def test_a_client_that_comes_to_nobody_is_answered_all_the_same() -> None:
    assert list(write_frames("init", [])) == ['{"event": "init", "data": []}']
    assert list(write_frames("update", [])) == []


def test_more_models_than_a_frame_holds_follow_in_updates() -> None:
    models = [Announced(f"m-{n}", "d", "n" * 400, "h", 1) for n in range(5_000)]
    frames = list(write_frames("init", models))
    assert [json.loads(frame)["event"] for frame in frames] == ["init", "update", "update"]
    assert max(map(len, frames)) < FRAME_BYTES + 1_000 < 1 << 20
    found = [model for frame in frames for model in (read_models(frame) or ("", []))[1]]
    assert found == models


def test_who_is_given_up_is_read_again() -> None:
    report = Report("pong-1", "MULTIPLE_TIMEOUT", "")
    assert read_reports(write_report(report, "10.0.0.1")) == [report]
    assert read_reports('{"event": "later", "data": []}') == []
    assert read_models(write_report(report, "")) is None


def test_ports_may_be_texts_and_whoever_has_left_needs_none() -> None:
    entry = {"model_id": "a", "state": "RUNNING", "ip": "h", "port": "80"}
    read = read_models(json.dumps({"event": "update", "data": [entry, {"model_id": "b", "state": "FAILED"}]}))
    assert read is not None
    assert [(model.port, model.state) for model in read[1]] == [(80, "RUNNING"), (0, "STOPPED")]


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        (b"{}", "the frame is binary"),
        ("{", "the frame is not JSON"),
        ("[" * 100_000, "the frame is not JSON"),
        ("[]", "has no event"),
        ('{"event": "init", "data": {}}', "no list of objects"),
        ('{"event": "init", "data": [{"state": "RUNNING"}]}', "model_id is 'None'; allowed: a text"),
        (
            '{"event": "init", "data": [{"model_id": "a", "state": "RUNNING", "ip": "h", "port": 0}]}',
            "port is",
        ),
        (
            '{"event": "init", "data": [{"model_id": "a", "state": "RUNNING", "ip": "unix:/x", "port": 1}]}',
            "ip is 'unix:/x'; allowed: a name or an address",
        ),
        (
            '{"event": "init", "data": [{"model_id": "a", "state": "RUNNING", "ip": "h", "port": true}]}',
            "port is 'True'",
        ),
    ],
)
def test_a_frame_that_announces_nothing_sensible_is_refused(frame: str | bytes, sentence: str) -> None:
    with pytest.raises(FrameError, match=sentence):
        read_models(frame)


def test_a_frame_that_gives_up_too_many_is_refused() -> None:
    entry = {"model_id": "a", "failure_code": "MULTIPLE_FAILED"}
    with pytest.raises(FrameError, match="data has 1001 entries; allowed: up to 1000"):
        read_reports(json.dumps({"event": "report_failure", "data": [entry] * 1_001}))


@given(st.text(max_size=40) | anything.map(json.dumps))
def test_any_frame_is_read_or_refused(frame: str) -> None:
    for read in (read_models, read_reports):
        with suppress(FrameError):
            read(frame)
