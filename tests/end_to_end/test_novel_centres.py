"""NS-ES on a real master with real workers: a centre that reward would leave where it is goes a long way."""

import json
import subprocess
import sysconfig
from pathlib import Path

GERMLINE = Path(sysconfig.get_path("scripts")) / "germline"
SPEC = """
name = "novel"
[task.function]
path = "stroll:stroll"
dimension = 2
[policy]
name = "vector"
[behaviour]
descriptor = "task"
dimensions = 2
low = [-50.0]
high = [50.0]
[algorithm.eggroll]
pairs = 8
slice_pairs = 2
sigma = 0.5
learning_rate = 2.0
validation_epochs = 1
validation_episodes = 1
reported_episodes = 0
checkpoint_epochs = 10
[algorithm.eggroll.novelty]
centres = 2
[stop]
evaluations = 680
"""
STROLL = """
def stroll(weights, seed):
    return float(max(abs(weights))), [weights[0], weights[1]]
"""


def test_novelty_moves_the_centres_of_a_fleet(tmp_path: Path) -> None:
    (tmp_path / "novel.toml").write_text(SPEC)
    (tmp_path / "stroll.py").write_text(STROLL)
    done = subprocess.run(
        [str(GERMLINE), "run", "novel.toml", "--workers", "2", "--json"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    kept = json.loads((tmp_path / "runs" / "novel" / "experiment.json").read_text())
    assert kept["state"] == "complete"
    assert kept["epochs"] >= 80  # both centres are measured first, and one after each of 40 updates
    assert kept["centre_digest"]
    assert kept["best_fitness"] > 6  # a start is within 3
