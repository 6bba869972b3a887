"""The page of all environment variables."""

from __future__ import annotations

from collections.abc import Iterator

from typer.core import TyperOption

from germline.connection import Security
from germline.settings import describe
from master.config import MasterConfig
from master.gateways.evochi.config import EvochiConfig
from master.gateways.neuro.config import NeuroConfig
from tools.site.commands import all_commands
from tools.site.markup import code, plain, table
from worker.config import WorkerConfig

_HEAD = """# Every environment variable

Written from the program itself. A flag goes before a file, a file before a variable, and that before the
default. Where a variable is no name of a file, its name with `_FILE` at the end is the name of a file
that holds the value: so orchestrators mount secrets and configuration.
"""
_OF_OTHERS = {
    "GRPC_VERBOSITY": "How much the gRPC library itself says; `ERROR` unless you set it.",
    "OMP_NUM_THREADS": "Threads of numpy and torch in programs of your own; a worker has `--threads`.",
}


def page() -> str:
    """The whole page."""
    parts = [
        _HEAD,
        "## Of a master\n", _services(MasterConfig),
        "## Of a worker\n", _services(WorkerConfig),
        "## Of commands that talk to a master\n", _services(Security, dict(_of_commands())),
        "## Of the gateways of a master\n", _services(EvochiConfig), "", _services(NeuroConfig),
        "## Of others, which are heeded\n", table(("variable", "what it says"), _quoted(_OF_OTHERS)),
    ]  # fmt: skip
    return "\n".join(parts)


def _services(kind: type[object], more: dict[str, str] | None = None) -> str:
    rows = [(code(each.variable), each.default, plain(each.text)) for each in describe(kind)]
    rows += [(code(name), "", text) for name, text in (more or {}).items()]
    return table(("variable", "default", "what it says"), rows)


def _of_commands() -> Iterator[tuple[str, str]]:
    """Variables that options of commands name."""
    for _, command in all_commands():
        for option in command.params:
            if isinstance(option, TyperOption) and isinstance(option.envvar, str):
                yield option.envvar, plain(option.help or "")


def _quoted(texts: dict[str, str]) -> Iterator[tuple[str, str]]:
    for name, text in texts.items():
        yield code(name), text
