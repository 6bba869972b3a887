"""An experiment's settings beside their defaults: what differs is what somebody chose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from germline.cli.output import Json
from germline.spec import explain, to_toml
from germline.toml import read_table, read_value, write_value
from germline.v1 import spec_pb2


def settings_table(spec: spec_pb2.ExperimentSpec) -> list[Json]:
    """Each setting that the spec has: path, value, default, unit, words; and whether it differs."""
    known = {row.path: row for section in explain() for row in section.rows}
    rows: list[Json] = []
    for path, value in _flat(read_table(to_toml(spec)), "", set(known)):
        row = known.get(path)
        default = row.default if row else None
        rows.append(
            {
                "path": path,
                "value": write_value(value),
                "default": default,
                "differs": default is None or read_value(default) != value,
                "unit": row.unit if row else "",
                "text": row.text if row else "",
            }
        )
    return rows


def _flat(table: Mapping[str, object], above: str, known: set[str]) -> Iterator[tuple[str, object]]:
    for key, value in table.items():
        path = f"{above}.{key}" if above else key
        if isinstance(value, dict) and path not in known:
            yield from _flat(value, path, known)
        else:
            yield path, value
