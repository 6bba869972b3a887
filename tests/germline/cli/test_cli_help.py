"""Help, examples and documents name options that exist, and nothing is shown that is not so."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from germline.cli.app import app
from germline.settings import describe, parse
from master.config import MasterConfig
from worker.config import WorkerConfig

ROOT = Path(__file__).parents[3]
SERVICES = {"master": MasterConfig, "worker": WorkerConfig}
DOCUMENTS = ["README.md", *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md")))]


def commands(group: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """Every command by its words; the whole program by none."""
    yield path, group
    for name, command in group.commands.items() if isinstance(group, TyperGroup) else ():
        yield from commands(command, (*path, name))


COMMANDS = dict(commands(typer.main.get_command(app)))


def options_of(path: tuple[str, ...]) -> set[str]:
    """The flags of a command, those before it among them."""
    if path and path[0] in SERVICES:
        names = {setting.flag for setting in describe(SERVICES[path[0]])}
        return names | {"--no-" + name[2:] for name in names} | {"--help"}
    known = {"--help"}
    for length in range(len(path) + 1):
        for parameter in getattr(COMMANDS[path[:length]], "params", ()):
            known |= {*parameter.opts, *parameter.secondary_opts}
    return known


def unknown(line: str) -> set[str]:
    """The options of a command line that its command does not have."""
    words = shlex.split(line, comments=True)[1:]
    path: tuple[str, ...] = ()
    for word in words:
        if (*path, word) in COMMANDS:
            path = (*path, word)
    flags = {word.partition("=")[0] for word in words if re.fullmatch(r"--?[a-z][a-z-]*(=.*)?", word)}
    return flags - options_of(path)


def test_every_command_stands_under_a_heading_of_the_help() -> None:
    program = COMMANDS[()]
    assert isinstance(program, TyperGroup)
    headings = {name: getattr(each, "rich_help_panel", None) for name, each in program.commands.items()}
    assert [name for name, heading in headings.items() if not isinstance(heading, str)] == []
    assert len(set(headings.values())) < len(headings) / 4


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_example_of_a_command_can_be_typed(path: tuple[str, ...]) -> None:
    text = str(getattr(COMMANDS[path], "help", ""))
    examples = re.findall(r"Example: (germline .*)", text)
    assert examples or isinstance(COMMANDS[path], TyperGroup)
    for example in examples:
        assert example.split()[1 : 1 + len(path)] == list(path)
        assert unknown(example) == set(), example


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_option_that_a_help_names_exists(path: tuple[str, ...]) -> None:
    texts = [str(getattr(COMMANDS[path], "help", ""))]
    texts += [str(getattr(parameter, "help", "")) for parameter in getattr(COMMANDS[path], "params", ())]
    prose = [re.sub(r"Example: .*|`germline [^`]*`", "", text) for text in texts]
    named = {flag for text in prose for flag in re.findall(r"--[a-z][a-z-]+", text)}
    assert named - options_of(path) == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_line_of_a_document_can_be_typed(document: str) -> None:
    text = (ROOT / document).read_text().replace("\\\n", " ")
    lines = re.findall(r"^\$ (germline .*)$|`(germline [^`]*)`", text, flags=re.MULTILINE)
    assert {line: found for pair in lines if (found := unknown(line := "".join(pair)))} == {}


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_that_a_service_names_exists(service: str) -> None:
    settings = describe(SERVICES[service])
    named = {name for setting in settings for name in re.findall(r"`([a-z_-]+)`", setting.text)}
    assert named, "as they are typed"
    assert named <= {setting.flag for setting in settings}


def test_the_help_of_a_secret_says_that_its_flag_takes_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(MasterConfig, "master", ["--help"], {})
    text = " ".join(capsys.readouterr().out.split())
    for secret in ("store", "token"):
        assert f"--{secret}-file FILE A file that holds " in text
        name = f"GERMLINE_{secret.upper()}"
        assert f"[{name}_FILE, or {name} for the value itself; default: none]" in text
