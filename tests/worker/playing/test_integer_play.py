"""In integers, a genome and a start are one game, on every instruction set, whoever plays beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EPISODES = Path(__file__).with_name("integer_episodes.py")
GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "integer-episodes-v1.json").read_text())


@pytest.mark.parametrize(
    ("isa", "threads", "slots", "episodes"),
    [
        ("DEFAULT", 1, 1, 1),
        ("SSE41", 2, 2, 2),
        ("AVX2", 4, 4, 1),
        ("AVX512_CORE", 1, 2, 1),
        ("AVX512_CORE_VNNI", 3, 1, 2),
    ],
)
def test_episodes_of_three_games_come_to_their_golden_returns(
    isa: str, threads: int, slots: int, episodes: int
) -> None:
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": isa, "OMP_NUM_THREADS": str(threads)}
    environment["OMP_WAIT_POLICY"] = "passive"  # threads that spin while they wait would fight over the cores
    command = [sys.executable, str(EPISODES), str(slots), str(episodes)]
    played = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(played.stdout) == GOLDEN
