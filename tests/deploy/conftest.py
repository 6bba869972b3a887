"""What the checks of deploy/ share: their tools, the rendered manifests."""

import os
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.stacks import COMBINATIONS, SOME, Resolver, Resources, read_template

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"

Document = dict[str, Any]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("deploy")


PINNED = ("cfn-lint", "kubernetes-validate")
"""Come with the extra, in one version; another one on the PATH knows other rules."""


def find_tool(name: str) -> str:
    """A program beside this Python, or on the PATH; skips, loudly, where there is none."""
    found = shutil.which(name, path=sysconfig.get_path("scripts"))
    found = found or (None if name in PINNED else shutil.which(name))
    if found is None:
        pytest.skip(
            f"{name} is not here: pip install 'germline[deploy]', or the Debian packages of tools/images.sh"
        )
    return found


@pytest.fixture(scope="session")
def tool() -> Callable[[str], str]:
    return find_tool


@pytest.fixture(scope="session")
def render(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[Document]]:
    """What an overlay becomes, or the base with components; as documents."""
    yaml = pytest.importorskip("yaml", reason="PyYAML is not here: pip install 'germline[deploy]'")
    kubectl = find_tool("kubectl")

    @cache
    def shown(overlay: str, components: tuple[str, ...]) -> str:
        folder = KUBERNETES / "overlays" / overlay
        if not overlay:
            folder = tmp_path_factory.mktemp("kustomize")
            parts = [
                os.path.relpath(KUBERNETES / "components" / each, folder.resolve()) for each in components
            ]
            base = os.path.relpath(KUBERNETES / "base", folder.resolve())
            text = f"namespace: germline\nresources: [{base}]\ncomponents: [{', '.join(parts)}]\n"
            (folder / "kustomization.yaml").write_text(text)
        done = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def rendered(overlay: str = "", components: tuple[str, ...] = ()) -> list[Document]:
        return [each for each in yaml.safe_load_all(shown(overlay, components)) if each]

    return rendered


@pytest.fixture(scope="session")
def stacks() -> list[Resources]:
    """deploy/aws with a few combinations of choices, the defaults first; a test that breaks one copies it."""
    template = read_template()
    return [Resolver(template, each).resources for each in [COMBINATIONS[0], *SOME]]
