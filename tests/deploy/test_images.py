"""Both images run as they are meant to be run: nothing writable, no rights, machines that come and go.

`make images` builds them and runs this. It takes minutes, root and Debian packages; other tests leave it out.
"""

import importlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = os.environ.get("GERMLINE_IMAGES", "")
PATIENCE_S = 120.0

Document = dict[str, Any]
Render = Callable[..., list[Document]]
TIGHT = (
    "--read-only", "--read-only-tmpfs=false", "--user", "10001:10001", "--cap-drop", "all",
    "--security-opt", "no-new-privileges", "--network", "germline-test",
)  # fmt: skip

pytestmark = pytest.mark.skipif(
    not FOLDER or shutil.which("podman") is None,
    reason="no images to run: `make images`, as root, with buildah, debootstrap, runc and podman",
)


def podman(*words: str, check: bool = True) -> str:
    settings = {
        "CONTAINERS_CONF": f"{FOLDER}/containers.conf",
        "CONTAINERS_STORAGE_CONF": f"{FOLDER}/storage.conf",
    }
    done = subprocess.run(
        ["podman", *words], capture_output=True, text=True, check=False, env={**os.environ, **settings}
    )
    assert not check or done.returncode == 0, f"podman {' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout + (done.stderr if words[0] == "logs" else "")  # Podman itself warns there


def run(name: str, image: str, *words: str) -> None:
    podman("run", "-d", "--name", name, *TIGHT, *words, f"localhost/germline-{image}")


def germline(*words: str) -> str:
    """The command line, inside of the master's image."""
    where = ("-v", f"{ROOT}/experiments:/experiments:ro", "-e", "GERMLINE_MASTER=gl-master:7700")
    return podman(
        "run", "--rm", *TIGHT, *where, "--entrypoint", "germline", "localhost/germline-master", *words
    )


def worker(name: str) -> None:
    run(name, "worker", "--memory", "1g", "-e", "GERMLINE_MASTER=gl-master:7700", "-e", "GERMLINE_DEVICE=cpu")


def look() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(germline("status", "pong", "--json"))
    return found


def wait_for(what: str, is_so: Callable[[], bool], master: str = "gl-master") -> None:
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        with suppress(AssertionError, ValueError):
            if is_so():
                return
        time.sleep(0.5)
    raise AssertionError(f"not within {PATIENCE_S:g} s: {what}\n{podman('logs', master, check=False)}")


@pytest.fixture
def network() -> Iterator[None]:
    names = ("gl-w1", "gl-w2", "gl-w3", "gl-master")
    podman("rm", "-f", *names, check=False)
    podman("network", "rm", "-f", "germline-test", check=False)
    podman("network", "create", "germline-test")
    yield
    podman("rm", "-f", *names, check=False)
    podman("volume", "rm", "-f", "germline-test", check=False)
    podman("network", "rm", "-f", "germline-test", check=False)


def test_the_masters_image_holds_the_command_line_and_no_torch() -> None:
    words = ("run", "--rm", "--read-only", "--network", "none", "--entrypoint")
    assert "Usage: germline" in podman(*words, "germline", "localhost/germline-master", "--help")
    looking = "import importlib.util as u, os; print(u.find_spec('torch'), os.getuid(), os.getgid())"
    assert podman(*words, "python", "localhost/germline-master", "-c", looking).split() == [
        "None", "10001", "10001",
    ]  # fmt: skip


def test_the_masters_image_says_whether_it_is_well() -> None:
    (image,) = json.loads(podman("image", "inspect", "localhost/germline-master"))
    assert "7701/metrics" in image["Healthcheck"]["Test"][-1]


def test_the_local_overlay_runs(network: None, tmp_path: Path, render: Render) -> None:
    yaml = importlib.import_module("yaml")
    pods = tmp_path / "pods.yaml"
    pods.write_text(yaml.safe_dump_all(for_podman(render("local"))))
    podman("play", "kube", "--network", "germline-test", str(pods))
    try:
        log = ("logs", "germline-master-pod-0-master")
        wait_for("both workers connect", lambda: podman(*log).count("slots; keeps 0 of 0") == 2, log[1])
    finally:
        podman("play", "kube", "--down", str(pods), check=False)


def for_podman(documents: list[Document]) -> list[Document]:
    """What podman can play of it: no StatefulSets and no Services, so pods are called by their names."""
    found = [each for each in documents if each["kind"] in {"Deployment", "StatefulSet", "ConfigMap"}]
    for each in found:
        if each["kind"] == "ConfigMap":
            each["data"] = {
                key: re.sub("(master|store):", r"\1-pod-0:", v) for key, v in each["data"].items()
            }
            continue
        pod = each["spec"]["template"]["spec"]
        if each["kind"] == "StatefulSet":
            each["kind"] = "Deployment"
            claims = each["spec"].pop("volumeClaimTemplates")
            pod["volumes"] = [{"name": claim["metadata"]["name"], "emptyDir": {}} for claim in claims]
        for volume in pod.get("volumes", ()):
            if volume.pop("persistentVolumeClaim", None):
                volume["emptyDir"] = {}
        for container in pod["containers"]:
            container["envFrom"] = [s for s in container.get("envFrom", ()) if "configMapRef" in s]
            container["image"] = f"localhost/germline-{container['name']}"
            container["imagePullPolicy"] = "Never"
    return found


def test_a_fleet_of_containers_loses_nothing(network: None) -> None:
    run(
        "gl-master",
        "master",
        "--memory",
        "512m",
        "-e",
        "GERMLINE_INSECURE=1",
        "-v",
        "germline-test:/var/lib/germline",
    )
    wait_for("the master serves", lambda: "no experiment" in germline("list"))
    assert podman("healthcheck", "run", "gl-master").strip() in {"", "healthy"}
    worker("gl-w1")
    worker("gl-w2")
    assert "pong" in germline("submit", "/experiments/pong.toml")
    wait_for("both play", lambda: look()["workers"] == 2 and look()["evaluations"] >= 2)
    podman("stop", "-t", "25", "gl-w1")
    assert podman("inspect", "--format", "{{.State.ExitCode}}", "gl-w1").strip() == "0"
    assert "leases back" in podman("logs", "gl-w1")
    podman("kill", "-s", "KILL", "gl-w2")
    before = look()["evaluations"]
    podman("stop", "-t", "40", "gl-master")
    assert podman("inspect", "--format", "{{.State.ExitCode}}", "gl-master").strip() == "0"
    podman("start", "gl-master")
    wait_for("the master is back with all it acknowledged", lambda: look()["evaluations"] == before)
    assert look()["workers_wanted"] > 0, "with no worker there"
    worker("gl-w3")
    wait_for("a new worker goes on", lambda: look()["evaluations"] > before)
