"""Count mutmut's verdicts, module by module, as a Markdown table; `make mutants` ends with it.

A survivor is a mutant that no test noticed, or that no test even ran; one that ran out of time was noticed.
"""

from __future__ import annotations

import json
from pathlib import Path

NOT_NOTICED = (0, 33)  # mutmut's exit codes: the tests passed; there were no tests
FOLDER = Path("mutants")


def main() -> None:
    """Print the table of all modules that have verdicts."""
    print("| module | mutants | killed | survived | killed |\n|---|---|---|---|---|")
    for verdicts in sorted(FOLDER.rglob("*.meta")):
        row = count(json.loads(verdicts.read_text())["exit_code_by_key"])
        if row:
            print(f"| `{verdicts.relative_to(FOLDER).with_suffix('')}` | {row} |")


def count(exit_codes: dict[str, int | None]) -> str:
    """One module's cells; empty before its mutants have met the tests."""
    verdicts = [code for code in exit_codes.values() if code is not None]
    if not verdicts:
        return ""
    survived = sum(code in NOT_NOTICED for code in verdicts)
    killed = len(verdicts) - survived
    return f"{len(verdicts)} | {killed} | {survived} | {100 * killed / len(verdicts):.1f} %"


if __name__ == "__main__":
    main()
