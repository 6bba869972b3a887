"""What `make mutants` needs beside mutmut: a sample of mutants to try, and a table of what became of them.

    python tools/mutants.py sample 60 germline.genome    # names of 60 mutants of each module, always the same
    python tools/mutants.py table                        # verdicts so far, module by module, in Markdown

A survivor is a mutant that no test noticed, or that no test even met; one that ran out of time was noticed.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from mutmut.configuration import config
from mutmut.mutation.file_mutation import mutate_file_contents
from mutmut.utils.format_utils import get_mutant_name

NOT_NOTICED = (0, 33)  # mutmut's exit codes: the tests passed; there were no tests
FOLDER = Path("mutants")
SEED = 7


def main(command: str, *arguments: str) -> None:
    """Print what was asked for."""
    if command == "sample":
        size, *modules = arguments
        print(*(name for path in mutated(modules) for name in sample(path, int(size))), sep="\n")
    else:
        print("| module | mutants | tried | noticed | survived | noticed |\n|---|---|---|---|---|---|")
        for path in mutated([]):
            verdicts = FOLDER / f"{path}.meta"
            row = count(json.loads(verdicts.read_text())["exit_code_by_key"]) if verdicts.exists() else ""
            print(f"| `{path}` | {row} |\n" if row else "", end="")


def mutated(modules: list[str]) -> Iterator[Path]:
    """The files that are mutated, those of the named modules or all."""
    for folder in config().source_paths:
        for path in sorted(folder.rglob("*.py")):
            name = ".".join(path.with_suffix("").parts)
            if config().should_mutate(path) and (not modules or any(fnmatch(name, m) for m in modules)):
                yield path


def sample(path: Path, size: int) -> list[str]:
    """As many mutants of a file, or all there are."""
    names = mutate_file_contents(str(path), path.read_text()).mutant_names
    chosen = random.Random(SEED).sample(sorted(names), min(size, len(names)))  # noqa: S311 - repeatable
    return [get_mutant_name(path, name) for name in chosen]


def count(exit_codes: dict[str, int | None]) -> str:
    """One module's cells; empty before its mutants have met the tests."""
    verdicts = [code for code in exit_codes.values() if code is not None]
    if not verdicts:
        return ""
    survived = sum(code in NOT_NOTICED for code in verdicts)
    noticed = len(verdicts) - survived
    share = 100 * noticed / len(verdicts)
    return f"{len(exit_codes)} | {len(verdicts)} | {noticed} | {survived} | {share:.1f} %"


if __name__ == "__main__":
    main(*sys.argv[1:])
