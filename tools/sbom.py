"""Writes what germline is installed with as a CycloneDX file, and holds it to the pins of constraints.txt.

`python tools/sbom.py sbom.json` is of the wheel alone; `--extra worker` of what a worker's image has, too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CONSTRAINTS = Path(__file__).resolve().parent.parent / "constraints.txt"
_OF_THE_INTERPRETER = {"pip", "setuptools"}


def pins(text: str) -> dict[str, str]:
    """The pinned version of each package by its canonical name."""
    pairs = (line.partition("==") for line in text.splitlines() if "==" in line)
    return {canonicalize_name(name): version for name, _, version in pairs}


def needed(root: str, extras: Sequence[str]) -> dict[str, Distribution]:
    """What is installed here because a package needs it, itself included, by canonical name."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(root, extra) for extra in ("", *extras)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue  # another platform's, or an extra that is not installed
        waiting += _requirements(found[name], extra)
    return found


def _requirements(package: Distribution, extra: str) -> Iterator[tuple[str, str]]:
    for text in package.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            for each in ("", *requirement.extras):
                yield canonicalize_name(requirement.name), each


def strays(packages: dict[str, Distribution], pinned: dict[str, str]) -> list[str]:
    """What is installed and not pinned, or of another version, in words."""
    wrong = []
    for name, package in sorted(packages.items()):
        version = package.version.partition("+")[0]
        if name not in {"germline", *_OF_THE_INTERPRETER} and pinned.get(name) != version:
            wrong.append(f"{name} {version} is installed; constraints.txt has {pinned.get(name, 'none')}")
    return wrong


def bill(packages: dict[str, Distribution]) -> str:
    """The packages as CycloneDX JSON."""
    bom = Bom()
    root: Component | None = None
    for name, package in sorted(packages.items()):
        component = Component(
            name=name,
            version=package.version,
            type=ComponentType.APPLICATION if name == "germline" else ComponentType.LIBRARY,
            purl=PackageURL("pypi", name=name, version=package.version),
            bom_ref=f"{name}=={package.version}",
        )
        if name == "germline":
            bom.metadata.component = root = component
        else:
            bom.components.add(component)
    if root is not None:
        bom.register_dependency(root, bom.components)
    return JsonV1Dot6(bom).output_as_string(indent=2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the bill; 1 if it is none by its schema, or holds what is not pinned."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--extra", action="append", default=[])
    given = parser.parse_args(arguments)
    packages = needed("germline", given.extra)
    text = bill(packages)
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    wrong = [f"by its schema: {problem}"] if problem else strays(packages, pins(CONSTRAINTS.read_text()))
    given.file.write_text(text, encoding="utf-8")
    print(f"{given.file}: {len(packages)} packages" + "".join(f"\n  {each}" for each in wrong))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
