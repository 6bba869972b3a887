"""`germline doctor` says what works and what does not, and its exit code agrees."""

import json

import pytest

from germline.cli.app import run


def test_a_healthy_machine_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--device", "cpu", "--json"]) == 0
    findings = {finding["check"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert {finding["verdict"] for finding in findings.values()} == {"pass"}
    assert "12 frames of pong" in findings["10 frames"]["text"]
    assert "kept a value, stopped" in findings["store"]["text"]


def test_one_ill_thing_does_not_hide_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--game", "pongg", "--device", "abacus"]) == 1
    said = capsys.readouterr().out
    assert said.count("FAIL") == 2
    assert "did you mean pong" in said
    assert "device is 'abacus'; allowed: " in said
    assert said.count("pass") == 6
