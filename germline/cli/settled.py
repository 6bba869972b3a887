"""A spec as the command line changes it: settings by path, a name, a seed."""

from __future__ import annotations

import tomllib
from pathlib import Path

from germline.cli.errors import CommandError, Exit
from germline.cli.trials import Plan
from germline.spec import load, read_settings, to_toml, with_settings
from germline.v1 import spec_pb2


def as_set(
    spec: Path, settings: list[str] | None, name: str | None = None, seed: int | None = None
) -> spec_pb2.ExperimentSpec:
    """A spec's file with these changes. Raises CommandError or SpecError."""
    try:
        changes = read_settings(settings or ())
    except ValueError as error:
        raise CommandError(f"--set {error}", Exit.USAGE) from None
    changes |= {} if name is None else {"name": name}
    changes |= {} if seed is None else {"seed": seed}
    if not changes:
        return load(spec)
    table = tomllib.loads(to_toml(load(spec)))
    return with_settings(table, changes, str(spec), spec.parent)


def plan_of(
    written: spec_pb2.ExperimentSpec, source: str, folder: Path, replicates: int, evaluations: int | None
) -> Plan:
    """What the experiments of many runs have in common; see :class:`.trials.Plan`."""
    table = tomllib.loads(to_toml(written))
    return Plan(written.name, table, source, folder, written.seed, replicates, evaluations)
