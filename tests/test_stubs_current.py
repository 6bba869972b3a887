"""What is generated is what the .proto files say now."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_generated_stubs_are_current() -> None:
    script = ROOT / "tools" / "generate_stubs.py"
    check = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert check.returncode == 0, f"{check.stdout}{check.stderr}; run: make proto"


def test_the_page_of_settings_is_made_from_the_settings() -> None:
    subprocess.run([sys.executable, ROOT / "tools" / "settings_tables.py", "--check"], check=True)
