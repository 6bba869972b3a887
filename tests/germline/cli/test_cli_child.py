"""A service as a child of `germline run`: it hears once that its parent is gone, however that ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from germline.cli import main
from germline.cli.ending import Ending

PATIENCE_S = 60.0
SERVICE = """
import asyncio, sys
from germline import signals

async def serve():
    heard, drained = [], asyncio.Event()
    def left_alone():
        heard.append("left alone")
        drained.set()
    signals.heed(lambda number: heard.append(number.name), left_alone)
    print("serving", sys.stdin.read(), flush=True)
    await drained.wait()
    await asyncio.sleep(0.1)  # a second signal would come now
    print(*heard, flush=True)

asyncio.run(serve())
"""
PARENT = """
import sys, threading, time
from pathlib import Path
from germline.cli.fleet import Child

for _ in range(8):  # threads that end one after the other, as those of a real run do
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
child = Child("service", "service", (), Path("service.log"), {"PYTHONPATH": sys.argv[1]})
child.start()
time.sleep(600)
"""


@pytest.fixture
def restored_signals() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def log_of(folder: Path, until: Callable[[str], bool]) -> str:
    """Follow the service's log, as it is written."""
    (folder / "service.log").touch()
    with subprocess.Popen(
        ["tail", "-n", "+1", "-f", str(folder / "service.log")], stdout=subprocess.PIPE, text=True
    ) as tail:
        assert tail.stdout is not None
        log = ""
        while not until(log):
            log += tail.stdout.readline()
        tail.terminate()
    return log


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_service_drains_once_when_its_parent_is_gone(tmp_path: Path, end: signal.Signals) -> None:
    (tmp_path / "service.py").write_text(SERVICE)
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[3])])
    parent = subprocess.Popen([sys.executable, "-c", PARENT, path], cwd=tmp_path)
    try:
        log_of(tmp_path, lambda log: "serving" in log)
    finally:
        parent.send_signal(end)
        parent.wait(PATIENCE_S)
    log = log_of(tmp_path, lambda log: "left alone" in log)
    assert log.splitlines()[1:] == ["left alone"]


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_for_the_end_and_the_second_one_does_not_ask(
    end: signal.Signals, restored_signals: None, capfd: pytest.CaptureFixture[str]
) -> None:
    ending = Ending(says_so=True)
    ending.heed_signals()
    signal.raise_signal(end)
    assert ending.asked
    assert capfd.readouterr().err == "germline: draining; once more to kill\n"
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(end)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_is_ended_by_any_signal_as_by_ctrl_c(
    end: signal.Signals, restored_signals: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_away = []

    def drawing(_: object) -> int:
        try:
            signal.raise_signal(end)
        finally:
            put_away.append(True)
        return 0

    monkeypatch.setattr("germline.cli.app.run", drawing)
    with pytest.raises(KeyboardInterrupt):
        main([])
    assert put_away == [True]


def test_a_terminal_that_is_gone_asks_for_the_end_as_often_as_it_likes(restored_signals: None) -> None:
    ending = Ending(says_so=True)
    ending.heed_signals()
    for _ in range(3):
        signal.raise_signal(signal.SIGHUP)
    assert ending.wait(0.0)


def test_nohup_keeps_a_run_on_a_terminal_that_is_gone(restored_signals: None) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    ending = Ending(says_so=True)
    ending.heed_signals()
    signal.raise_signal(signal.SIGHUP)
    assert not ending.asked
