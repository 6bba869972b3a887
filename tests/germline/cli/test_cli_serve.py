"""`germline serve` says what is wrong before it serves, and serves nobody beyond this machine unasked."""

from pathlib import Path

import pytest

from germline.cli.app import run
from worker.serving.service import ServingSettings


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--listen", "nowhere"], "--listen is 'nowhere'; allowed: host:port"),
        (["--listen", "localhost:70000"], "--listen is 'localhost:70000'"),
        (["--best", "3"], "cards need no --run, --experiment or --best"),
        (["--listen", "0.0.0.0:0"], "which other machines reach, without a token and TLS"),
        (["--model", "json:loads", "--listen", "localhost:0"], "model is 'json:loads'"),
        (["--model", "nothing", "--listen", "localhost:0"], "model is 'nothing'; allowed: an import path"),
        (["--allow-code", "no code"], "allow_code has 'no code'"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    arguments: list[str], sentence: str, card: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [] if "--allow-code" in arguments else [card]
    assert run(["serve", *given, *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_a_card_with_a_wrong_digit_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("card = 3\n")
    assert run(["serve", str(path), "--listen", "localhost:0"]) == 2
    assert "genome is missing" in capsys.readouterr().err


def test_a_master_that_is_not_there_is_said_to_be_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--master", "localhost:1", "--listen", "localhost:0"]) == 3
    assert "localhost:1" in capsys.readouterr().err


def test_beyond_this_machine_a_token_and_tls_are_both_needed(tmp_path: Path) -> None:
    pem = tmp_path / "x.pem"
    with pytest.raises(ValueError, match="without TLS"):
        ServingSettings(host="0.0.0.0", token="a-token-of-24-characters")  # noqa: S104,S106
    with pytest.raises(ValueError, match="without a token"):
        ServingSettings(host="0.0.0.0", tls_cert=pem, tls_key=pem)  # noqa: S104
    with pytest.raises(ValueError, match="belong together"):
        ServingSettings(tls_cert=pem)
    assert ServingSettings(host="0.0.0.0", insecure=True).address == "0.0.0.0"  # noqa: S104
    assert ServingSettings().address == "127.0.0.1"
