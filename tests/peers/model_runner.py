"""crunchdao's own client, in an environment of its own.

It is installed from the package index, once; where it cannot be had, whoever asks for it is skipped, loudly.
GERMLINE_TEST_MODEL_RUNNER_CLIENT names a Python that has it already.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from germline.card import PolicyCard, write_card
from germline.genome import Genome, Mutation, float32

CLIENT = ("model-runner-client==0.14.0", "pyarrow")
DRIVER = Path(__file__).parent / "model_runner_driver.py"
VARIABLE = "GERMLINE_TEST_MODEL_RUNNER_CLIENT"
GENOME = Genome.founder(1).child(Mutation(2, float32(0.02)))


@cache
def client_python() -> str:
    """A Python that has the client."""
    if VARIABLE in os.environ:
        return os.environ[VARIABLE]
    place = Path(tempfile.gettempdir()) / f"germline-model-runner-client-{sys.version_info.minor}"
    python = place / "bin" / "python"
    if not python.exists():
        with tempfile.TemporaryDirectory(dir=place.parent) as draft:
            made = Path(draft) / "environment"
            installed = subprocess.run([sys.executable, "-m", "venv", made], check=False)
            if not installed.returncode:
                pip = [str(made / "bin" / "python"), "-m", "pip", "install", "--quiet", *CLIENT]
                installed = subprocess.run(pip, check=False, capture_output=True, timeout=150)
            if installed.returncode:
                pytest.skip(f"{CLIENT[0]} cannot be had from the package index: nothing is proven here")
            with suppress(OSError):  # somebody else was faster
                made.rename(place)
    return str(python)


def card(path: Path, experiment: str, environment: str = "CartPole-v1") -> str:
    """A policy card in a file."""
    task: dict[str, Any] = {"gym": {"id": environment}}
    policy: dict[str, Any] = {"name": "mlp", "hidden": [8]}
    path.write_text(write_card(PolicyCard(task, policy, "float32", GENOME, experiment=experiment)))
    return str(path)
