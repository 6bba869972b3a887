"""What germline is installed with is pinned, and written down as CycloneDX."""

import json
from pathlib import Path

import pytest

pytest.importorskip("cyclonedx", reason="pip install 'germline[dev]'")

from tools import sbom

OTHERS = "numpy==1.0\ngrpcio==1.85.1\n"


@pytest.mark.parametrize("extras", [[], ["worker", "local"]], ids=["wheel", "worker"])
def test_all_that_is_needed_is_pinned_and_written_by_the_schema(extras: list[str], tmp_path: Path) -> None:
    file = tmp_path / "sbom.json"
    flags = [word for extra in extras for word in ("--extra", extra)]
    assert sbom.main([str(file), *flags]) == 0
    bill = json.loads(file.read_text())
    assert bill["metadata"]["component"]["name"] == "germline"
    named = {component["name"] for component in bill["components"]}
    assert {"grpcio", "numpy", "protobuf"} <= named
    assert ("torch" in named) == bool(extras)


def test_what_is_not_pinned_is_named() -> None:
    wrong = sbom.strays(sbom.needed("germline", []), sbom.pins(OTHERS))
    assert any(line.startswith("numpy 2") and line.endswith("constraints.txt has 1.0") for line in wrong)
    assert any(line.startswith("protobuf ") and line.endswith("constraints.txt has none") for line in wrong)
    assert not any(line.startswith("grpcio 1.85.1 ") for line in wrong)
