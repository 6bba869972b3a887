"""Process settings: flags before environment before defaults, and a sentence for what is wrong."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from germline.settings import SECRET, describe, parse
from worker.config import WorkerConfig


@dataclass(frozen=True, kw_only=True)
class Example:
    """An example."""

    port: int = 7700
    """TCP port,
    100 % of it."""

    share: float = 0.5
    """A share."""

    loud: bool = False
    """Whether to shout."""

    colour: Literal["red", "blue"] = "red"
    """What to paint it."""

    folder: Path | None = None
    """Where to live."""

    for_: float = 0.0
    """How long."""

    token: str = field(default="", metadata=SECRET, repr=False)
    """A secret."""

    def __post_init__(self) -> None:
        if self.port > 65_535:
            raise ValueError(f"port is {self.port}; allowed: 0 to 65535")


def test_nothing_given_means_the_defaults() -> None:
    assert parse(Example, "example", [], {}) == Example()


def test_a_flag_goes_before_the_environment() -> None:
    environment = {
        "GERMLINE_PORT": "1",
        "GERMLINE_SHARE": "0.25",
        "GERMLINE_LOUD": "yes",
        "GERMLINE_COLOUR": "blue",
    }
    read = parse(Example, "example", ["--port", "2", "--no-loud", "--folder", "runs"], environment)
    assert read == Example(port=2, share=0.25, loud=False, colour="blue", folder=Path("runs"))


def test_a_secret_comes_from_a_variable_or_a_file_and_is_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("hush\n")
    by_flag = parse(Example, "example", ["--token-file", str(file)], {"GERMLINE_TOKEN": "other"})
    by_file = parse(Example, "example", [], {"GERMLINE_TOKEN_FILE": str(file)})
    by_variable = parse(Example, "example", [], {"GERMLINE_TOKEN": "hush"})
    assert {by_flag.token, by_file.token, by_variable.token} == {"hush"}
    assert "hush" not in repr(by_flag)


def test_an_empty_secret_file_is_refused_and_not_taken_for_no_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "token").write_text("\n")
    with pytest.raises(SystemExit):
        parse(Example, "example", ["--token-file", str(tmp_path / "token")], {"GERMLINE_TOKEN": "other"})
    assert f"the token file {tmp_path / 'token'} is empty" in capsys.readouterr().err


def test_any_setting_may_be_what_a_file_holds(tmp_path: Path) -> None:
    (tmp_path / "port").write_text("80\n")
    environment = {"GERMLINE_PORT_FILE": str(tmp_path / "port"), "GERMLINE_PORT": "81"}
    assert parse(Example, "example", [], environment).port == 80
    assert parse(Example, "example", ["--port", "82"], environment).port == 82


def test_a_field_named_as_a_word_of_python_is_set_by_that_word() -> None:
    assert parse(Example, "example", ["--for", "2"], {"GERMLINE_FOR": "1"}).for_ == 2
    assert parse(Example, "example", [], {"GERMLINE_FOR": "1"}).for_ == 1


@pytest.mark.parametrize(
    ("arguments", "environment", "sentence"),
    [
        (["--port", "many"], {}, "--port is 'many'; allowed: a whole number"),
        ([], {"GERMLINE_SHARE": "half"}, "GERMLINE_SHARE is 'half'; allowed: a number"),
        ([], {"GERMLINE_LOUD": "perhaps"}, "GERMLINE_LOUD is 'perhaps'; allowed: 1, true"),
        (["--colour", "green"], {}, "--colour is 'green'; allowed: red, blue"),
        ([], {"GERMLINE_PORT_FILE": "/nowhere"}, "the port file /nowhere cannot be read"),
        ([], {"GERMLINE_FOLDER_FILE": "/a"}, "GERMLINE_FOLDER_FILE is no setting: GERMLINE_FOLDER names"),
        (["--port", "70000"], {}, "port is 70000; allowed: 0 to 65535"),
        (["--token-file", "/nowhere"], {}, "the token file /nowhere cannot be read"),
        (["--token", "hush"], {}, "unrecognized arguments: --token hush"),
        (["--prot", "1"], {}, "unrecognized arguments: --prot 1"),
        (["--port", "1", "--port", "2"], {}, "--port is given twice; allowed: once"),
        (["--loud", "--no-loud"], {}, "--loud is given twice"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(
    arguments: list[str], environment: dict[str, str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        parse(Example, "example", arguments, environment)
    assert refused.value.code == 2
    assert sentence in capsys.readouterr().err


def test_help_names_flag_text_variable_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(Example, "example", ["--help"], {})
    text = " ".join(capsys.readouterr().out.split())
    assert "--port N TCP port, 100 % of it. [GERMLINE_PORT; default: 7700]" in text


def test_every_setting_of_a_worker_is_documented() -> None:
    for setting in describe(WorkerConfig):
        assert setting.text.endswith("."), setting.name


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"master": "nowhere"}, "master is 'nowhere'; allowed: host:port"),
        ({"slots": -1}, "slots is -1"),
        ({"threads": 0}, "threads is 0"),
        ({"cache_mib": -1}, "cache_mib is -1"),
        ({"worker_id": "a b"}, "worker_id is 'a b'"),
        ({"spot_notice": "ftp://here"}, "spot_notice is 'ftp://here'"),
        ({"exit_when_idle": -1.0}, "exit_when_idle is -1; allowed: 0 or more seconds"),
        ({"for_": float("nan")}, "for is nan; allowed: 0 or more seconds"),
        ({"ca": Path("/nowhere")}, "ca is '/nowhere'"),
        ({"tls_key": Path("/nowhere")}, "tls_cert and tls_key belong together"),
        ({"token": "tökén"}, "the token holds other than visible ASCII"),
    ],
)
def test_a_worker_refuses_settings_that_cannot_work(wrong: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        WorkerConfig(**wrong)  # type: ignore[arg-type]
