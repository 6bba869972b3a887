"""The page of all commands: what `germline COMMAND --help` prints."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Literal, get_args, get_origin

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from germline.cli.app import app
from tools.site.markup import code, plain, table

_HEAD = """# Every command

Written from the program itself; `germline COMMAND --help` says the same. Each command that writes a
result for people also takes `--json` and then writes it for a program.

Exit codes: 0 done; 1 failed; 2 wrong arguments or spec; 3 no master answers; 4 the master refused, or
knows no such thing; 5 a package is missing, and the sentence says how to install it; 130 interrupted.

The options of `germline master` and `germline worker` are [settings of the two services](../settings.md).
"""
_SERVICES = ("master", "worker")
_KINDS: dict[object, str] = {int: "a whole number", float: "a number", str: "a text", Path: "a path"}


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *(_section(name, command) for name, command in all_commands())])


def all_commands() -> Iterator[tuple[str, TyperCommand]]:
    """Every command by its words behind `germline`, in the order of the program."""
    group = typer.main.get_command(app)
    if isinstance(group, TyperGroup):
        yield from _below(group, ())


def _below(group: TyperGroup, words: tuple[str, ...]) -> Iterator[tuple[str, TyperCommand]]:
    for word, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from _below(command, (*words, word))
        elif isinstance(command, TyperCommand) and not command.hidden:
            yield " ".join((*words, word)), command


def _section(name: str, command: TyperCommand) -> str:
    text, examples = _split(command.help or "")
    shown = "".join(f"$ {line}\n" for line in examples)
    block = f"```console\n{shown}```\n" if shown else ""
    return "\n".join([f"## `germline {name}`\n", text, block, "" if name in _SERVICES else _options(command)])


def _split(help_text: str) -> tuple[str, list[str]]:
    """The words of a help text, and its examples."""
    examples = re.findall(r"Example: (.*)", help_text)
    words = re.sub(r"\s*Example: .*", "", help_text)
    paragraphs = (
        plain(" ".join(each.split())) for each in re.split(r"\n\s*\n", words) if each.strip("\b \n")
    )
    return "\n\n".join(paragraphs) + "\n", examples


def _options(command: TyperCommand) -> str:
    rows = [_row(each) for each in command.params if not getattr(each, "hidden", False)]
    return table(("option", "takes", "default", "what it says"), [row for row in rows if row])


def _row(parameter: object) -> tuple[str, ...]:
    if isinstance(parameter, TyperArgument):
        return (code((parameter.name or "").upper()), _takes(parameter), "", plain(parameter.help or ""))
    if isinstance(parameter, TyperOption):
        names = ", ".join(code(name) for name in (*parameter.opts, *parameter.secondary_opts))
        return (
            names,
            _takes(parameter),
            _default(parameter),
            plain(parameter.help or "") + _variable(parameter),
        )
    return ()


def _takes(parameter: TyperArgument | TyperOption) -> str:
    if isinstance(parameter, TyperOption) and parameter.is_flag:
        return ""
    kind = parameter.type_descriptor.annotation
    words = ", ".join(map(code, _choices(kind))) or _KINDS.get(kind, getattr(kind, "__name__", str(kind)))
    several = ", several" if parameter.multiple or parameter.nargs == -1 else ""
    return words + _range(parameter.min, parameter.max) + several


def _choices(kind: object) -> list[str]:
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [str(each.value) for each in kind]
    return [str(each) for each in get_args(kind)] if get_origin(kind) is Literal else []


def _range(lowest: float | None, highest: float | None) -> str:
    if lowest is None and highest is None:
        return ""
    return f", {lowest} or more" if highest is None else f", {lowest} to {highest}"


def _default(option: TyperOption) -> str:
    if option.is_flag or option.default in (None, "", ()) or option.show_default is False:
        return ""
    return code(str(getattr(option.default, "value", option.default)))


def _variable(option: TyperOption) -> str:
    return f" Or the variable `{option.envvar}`." if isinstance(option.envvar, str) else ""
