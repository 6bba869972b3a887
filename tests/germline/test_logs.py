"""Log lines, for people and for programs."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from germline import logs


@pytest.fixture(autouse=True)
def root_logger_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_text_line_names_time_and_logger_and_only_unusual_levels() -> None:
    stream = io.StringIO()
    logs.configure("info", "text", stream)
    logging.getLogger("worker.connection.link").info("experiment %d is %s", 3, "pong")
    logging.getLogger("worker.connection.link").warning("slow")
    first, second = stream.getvalue().splitlines()
    assert first.split(maxsplit=1)[1] == "worker.connection.link   experiment 3 is pong"
    assert second.endswith("WARNING slow")


def test_a_json_line_is_one_object_with_the_extras_as_fields() -> None:
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    logging.getLogger("master").info("played %d", 4, extra={"worker": "w-1", "lease": (1, 2, 3)})
    line = json.loads(stream.getvalue())
    assert line["message"] == "played 4"
    assert line["level"] == "info"
    assert line["worker"] == "w-1"
    assert line["lease"] == [1, 2, 3]
    assert line["time"].endswith("+00:00")


def test_an_exception_stays_on_its_json_line() -> None:
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    try:
        raise ValueError("no\nroom")
    except ValueError:
        logging.getLogger("worker").exception("broke")
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: no\nroom" in json.loads(line)["error"]


def test_lines_below_the_level_are_not_written_and_configuring_again_replaces() -> None:
    first, second = io.StringIO(), io.StringIO()
    logs.configure("debug", "text", first)
    logs.configure("warning", "text", second)
    logging.getLogger("worker").info("small talk")
    logging.getLogger("worker").warning("news")
    assert first.getvalue() == ""
    assert second.getvalue().endswith("WARNING news\n")
