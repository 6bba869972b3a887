"""Heavy packages load where they are needed, and nowhere else."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "gymnasium", "ale_py", "matplotlib", "imageio_ffmpeg")


@pytest.mark.parametrize("module", ["germline.cli.app", "germline.client", "germline.spec", "master.server"])
def test_a_light_module_loads_nothing_heavy(module: str) -> None:
    """The master's image holds no torch, and `germline status` must answer at once."""
    script = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_the_command_line_works_without_the_worker_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing package is one sentence with the command that helps."""
    script = (
        "import sys; sys.modules['torch'] = None\nfrom germline.cli import main\nmain(['bench', 'rebuild'])"
    )
    tried = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert tried.returncode == 5
    assert "pip install 'germline[worker]'" in tried.stderr
    assert "Traceback" not in tried.stderr
