"""What docs/many_runs.md shows works as it is written, on a spec that is over soon."""

import re
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "many_runs.md").read_text()
GERMLINE = Path(sysconfig.get_path("scripts")) / "germline"
LINES = [
    line
    for block in re.findall(r"```console\n(.*?)```", PAGE, flags=re.DOTALL)
    for line in block.splitlines()
]
SHORT = """
name = "cartpole"
parallelism = 1
[task.gym]
id = "CartPole-v1"
max_steps = 5
[policy]
name = "linear"
[algorithm.ga]
window = 5
parents = 2
candidates = 1
validation_episodes = 1
[stop]
evaluations = 10
"""


@pytest.mark.slow
def test_the_page_runs_from_top_to_bottom(tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "cartpole.toml").write_text(SHORT)
    for line in LINES:
        words = shlex.split(line.removeprefix("$ ").replace("20,50", "5,20"))
        if words[1] in ("run", "sweep"):
            words += ["--workers", "1"]
        if "--optuna" in words or "--random" in words:
            words = [word.replace("20", "2") if word == "20" else word for word in words]
            words += ["--folder", f"runs/{words[words.index('--over') + 2].removeprefix('--')}"]
        done = subprocess.run(
            [GERMLINE, *words[1:]], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        if "--name" in words:  # what the page compares later
            for name in ("pong", "balance"):
                shutil.copytree(tmp_path / "runs" / "strong", tmp_path / "runs" / name, dirs_exist_ok=True)
    made = {"cartpole-v1.toml", "my-pong.toml", "compare.png", "curves.parquet", "pong.csv", "pong.parquet"}
    assert made <= {path.name for path in tmp_path.iterdir()}
    assert not (tmp_path / "runs" / "pong" / "store").exists()
