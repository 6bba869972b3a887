"""Policy cards of runs (interim)."""

from __future__ import annotations

from pathlib import Path

from germline.client import Individual
from germline.v1 import spec_pb2


def write_card(path: Path, spec: spec_pb2.ExperimentSpec, individual: Individual) -> None:
    """Interim."""
    path.write_text("")
