"""Settings of a process: a frozen dataclass, read once from flags and environment, documented in place.

The text under a field is its help; a flag goes before the environment, and that before the default::

    @dataclass(frozen=True, kw_only=True)
    class Settings:
        port: int = 7700
        \"\"\"TCP port to listen on; 0 takes a free one.\"\"\"

    parse(Settings, "master", sys.argv[1:], os.environ)     # --port 1, or GERMLINE_PORT=1, or
                                                            # GERMLINE_PORT_FILE=/a/file/that/holds/1

A field with ``metadata=SECRET`` has no flag for its value, which every user of a machine could read: it comes
from ``GERMLINE_NAME``, or from the file that ``--name-file`` or ``GERMLINE_NAME_FILE`` names.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from itertools import pairwise
from pathlib import Path
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

PREFIX = "GERMLINE_"
_FILE = "_FILE"
SECRET: Mapping[str, bool] = {"secret": True}

Settings = TypeVar("Settings")

_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")


@dataclass(frozen=True, slots=True)
class Setting:
    """One field as people see it."""

    name: str
    flag: str
    variable: str
    default: str
    text: str
    is_secret: bool


def describe(kind: type[object]) -> list[Setting]:
    """The settings of a dataclass, in its order; for help and for tables in documents."""
    texts, own = _docstrings(kind), fields(kind)  # type: ignore[arg-type]
    flags = {f"`{field.name}`": f"`{_flag_of(field)}`" for field in own}
    return [_setting(field, _with_flags(texts.get(field.name, ""), flags)) for field in own]


def _with_flags(text: str, flags: Mapping[str, str]) -> str:
    """The same text, with other settings called as a command calls them."""
    return re.sub(r"`\w+`", lambda found: flags.get(found[0], found[0]), text)


def parse(
    kind: type[Settings], program: str, arguments: Sequence[str], environment: Mapping[str, str]
) -> Settings:
    """Read settings, or end the process with status 2 and a sentence that names what is wrong."""
    parser = _parser(kind, program)
    try:
        return read(kind, vars(parser.parse_args(arguments)), environment)
    except ValueError as error:
        parser.error(str(error))


def read(kind: type[Settings], given: Mapping[str, object], environment: Mapping[str, str]) -> Settings:
    """Settings from flags that somebody else has parsed, None for each that was not given.

    Raises:
        ValueError: naming what is wrong.
    """
    hints = get_type_hints(kind)
    found = {
        field.name: value
        for field in fields(kind)  # type: ignore[arg-type]
        if (value := _read(field, hints[field.name], given, environment)) is not None
    }
    return kind(**found)


def _parser(kind: type[object], program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description=inspect.cleandoc(kind.__doc__ or ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    hints = get_type_hints(kind)
    for setting in describe(kind):
        about = _about(setting).replace("%", "%%")
        if hints[setting.name] is bool:
            parser.add_argument(setting.flag, dest=setting.name, action=_Switched, default=None, help=about)
        else:
            name = "FILE" if setting.is_secret else _kind(hints[setting.name], setting.name)
            parser.add_argument(setting.flag, dest=setting.name, action=_Stored, metavar=name, help=about)
    return parser


def _kind(hint: object, name: str) -> str:
    """What stands for a value in a usage line."""
    if get_origin(hint) is Literal:
        return "|".join(get_args(hint))
    if Path in (hint, *get_args(hint)):
        return "PATH"
    return "N" if hint in (int, float) else name.rstrip("_").upper()


def _about(setting: Setting) -> str:
    """The help of a flag: what it takes, which variables say the same, and the default."""
    if not setting.is_secret:
        return f"{setting.text} [{setting.variable}; default: {setting.default}]"
    return (
        f"A file that holds {setting.text[0].lower()}{setting.text[1:]} "
        f"[{setting.variable}{_FILE}, or {setting.variable} for the value itself; default: {setting.default}]"
    )


class _Stored(argparse.Action):
    """Keeps a value, and refuses a second one: the last one never wins in silence."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        if getattr(namespace, self.dest) is not None:
            parser.error(f"{option_string} is given twice; allowed: once")
        setattr(namespace, self.dest, values)


class _Switched(argparse.BooleanOptionalAction):
    """The same for a switch and its opposite."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        if getattr(namespace, self.dest) is not None:
            parser.error(f"{self.option_strings[0]} is given twice, as it is or as --no-...; allowed: once")
        super().__call__(parser, namespace, values, option_string)


def _setting(field: Field[Any], text: str) -> Setting:
    is_secret = bool(field.metadata.get("secret"))
    return Setting(
        name=field.name,
        flag=_flag_of(field),
        variable=_variable(field.name),
        default=_written(field.default),
        text=" ".join(text.split()),
        is_secret=is_secret,
    )


def _written(default: object) -> str:
    if default is MISSING:
        return "none, must be given"
    if isinstance(default, bool):
        return "yes" if default else "no"
    return "none" if default in {None, ""} else str(default)


def _docstrings(kind: type[object]) -> dict[str, str]:
    """The text under each field of a class, read from its source."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)  # noqa: S101 - the source of a class is a class
    texts = {}
    for statement, below in pairwise(tree.body):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            match below:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    texts[statement.target.id] = text
    return texts


def _read(
    field: Field[Any], hint: object, given: Mapping[str, object], environment: Mapping[str, str]
) -> object:
    """A field's value from flag or environment; None if neither gives one."""
    flag = given[field.name]
    variable = _variable(field.name)
    if field.metadata.get("secret"):
        return secret(field.name, flag or environment.get(variable + _FILE), environment.get(variable))
    if isinstance(flag, bool):
        return flag
    if flag is not None:
        return _convert(_flag(field.name), hint, str(flag))
    if variable + _FILE in environment:
        return _from_file(field.name, hint, environment)
    if variable in environment:
        return _convert(variable, hint, environment[variable])
    return None


def _from_file(name: str, hint: object, environment: Mapping[str, str]) -> object:
    """A setting that a file holds, as orchestrators mount them."""
    variable = _variable(name)
    if Path in (hint, *get_args(hint)):
        raise ValueError(f"{variable}{_FILE} is no setting: {variable} names the file itself")
    return _convert(variable + _FILE, hint, secret(name, environment[variable + _FILE], None) or "")


def _flag_of(field: Field[Any]) -> str:
    return _flag(field.name) + ("-file" if field.metadata.get("secret") else "")


def _flag(name: str) -> str:
    """A field may end in an underscore because its name is a word of Python."""
    return "--" + name.rstrip("_").replace("_", "-")


def _variable(name: str) -> str:
    return PREFIX + name.rstrip("_").upper()


def secret(name: str, path: object, value: str | None) -> str | None:
    """A secret from its file, or else from its variable; an empty file is refused, not taken for none."""
    if path is None:
        return value
    try:
        found = Path(str(path)).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the {name} file {path} cannot be read: {_why(error)}") from error
    if not found:
        raise ValueError(f"the {name} file {path} is empty")
    return found


def _why(error: OSError | UnicodeDecodeError) -> str:
    return str(error.strerror) if isinstance(error, OSError) else "it is not text"


def _convert(name: str, hint: object, text: str) -> object:
    """Read a text as the type of its field."""
    kinds = [kind for kind in get_args(hint) if kind is not NoneType]
    if get_origin(hint) is Literal:
        if text not in kinds:
            raise ValueError(f"{name} is {text!r}; allowed: {', '.join(kinds)}")
        return text
    kind = kinds[0] if kinds else hint
    try:
        return _READERS[kind](text)
    except ValueError:
        raise ValueError(f"{name} is {text!r}; allowed: {_ALLOWED[kind]}") from None


def _truth(text: str) -> bool:
    if text.lower() not in _TRUE + _FALSE:
        raise ValueError
    return text.lower() in _TRUE


_READERS: dict[object, Callable[[str], object]] = {
    str: str,
    int: int,
    float: float,
    bool: _truth,
    Path: Path,
}
_ALLOWED: dict[object, str] = {
    int: "a whole number",
    float: "a number",
    bool: ", ".join(_TRUE + _FALSE),
}
