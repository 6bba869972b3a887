"""Write docs/settings.md: every setting of the two services, from the dataclasses themselves.

`python tools/settings_tables.py` writes; `--check` only compares and exits 1 if the page is not current.
"""

from __future__ import annotations

import sys
from pathlib import Path

from germline.settings import Setting, describe
from master.config import MasterConfig
from worker.config import WorkerConfig

PAGE = Path(__file__).resolve().parent.parent / "docs" / "settings.md"
_HEAD = """# Settings of the two services

Made by `tools/settings_tables.py` from `master/config.py` and `worker/config.py`; a test compares.

Each setting is a flag, or an environment variable. A variable's name with `_FILE` at its end says which file
holds the value, as orchestrators mount secrets and configuration; what is the name of a file has none.
A flag goes before a file, a file before a variable, and that before the default. A secret has no flag for its
value, which every user of a machine could read: its flag takes a file.
"""


def page() -> str:
    """The whole page."""
    tables = [_table(name, kind) for name, kind in (("master", MasterConfig), ("worker", WorkerConfig))]
    return "\n".join([_HEAD, *tables])


def _table(service: str, kind: type[object]) -> str:
    head = f"## `germline {service}`\n\n| flag | variable | default | what it says |\n|---|---|---|---|\n"
    return head + "".join(map(_row, describe(kind)))


def _row(setting: Setting) -> str:
    text = setting.text.replace("|", "\\|")
    return f"| `{setting.flag}` | `{setting.variable}` | {setting.default} | {text} |\n"


def main() -> int:
    """Write the page, or compare it."""
    if "--check" in sys.argv[1:]:
        return int(PAGE.read_text(encoding="utf-8") != page())
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
