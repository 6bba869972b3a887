"""Dockerfiles, alerts, compose.yaml and what is shown of metrics: they fit the tools, and the program."""

import importlib
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from master.config import MasterConfig
from worker.config import WorkerConfig

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
Tool = Callable[[str], str]


def ran(*command: str | Path, cwd: Path = ROOT) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_dockerfiles_are_clean(tool: Tool) -> None:
    ran(tool("hadolint"), "Dockerfile.master", "Dockerfile.worker")


def test_alerts_come_when_they_should(tool: Tool) -> None:
    promtool = tool("promtool")
    ran(promtool, "check", "rules", "rules.yml", cwd=DEPLOY / "observe")
    ran(promtool, "test", "rules", "rules_test.yml", cwd=DEPLOY / "observe")
    ran(promtool, "check", "config", "prometheus.yml", cwd=DEPLOY / "observe")


def test_every_panel_asks_what_prometheus_reads() -> None:
    parser = pytest.importorskip("promql_parser", reason="pip install 'germline[deploy]'")
    dashboard = json.loads((DEPLOY / "observe" / "grafana" / "germline.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    assert len(asked) > len(dashboard["panels"])
    for expression in asked:
        parser.parse(expression.replace("$__rate_interval", "1m"))
    with pytest.raises(ValueError, match=r"\S"):
        parser.parse("rate(germline_frames_total[1m]")


def test_only_settings_that_exist_are_named() -> None:
    fields = {name.rstrip("_") for kind in (MasterConfig, WorkerConfig) for name in kind.__dataclass_fields__}
    known = {f"GERMLINE_{name.upper()}{end}" for name in fields for end in ("", "_FILE")}
    ours = {"GERMLINE_STORE_IMAGE", "GERMLINE_MASTER_IMAGE", "GERMLINE_WORKER_IMAGE", "GERMLINE_PORT"}
    ours |= {"GERMLINE_STANDBY_PORT"}
    files = [each for each in DEPLOY.rglob("*") if each.is_file()] + list(ROOT.glob("Dockerfile.*"))
    named = {name for each in files for name in re.findall(r"GERMLINE_[A-Z_]+[A-Z]", each.read_text())}
    assert named - known - ours == set()


def test_compose_runs_the_services_tight() -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not here: pip install 'germline[deploy]'")
    compose = importlib.import_module("yaml").safe_load((DEPLOY / "compose.yaml").read_text())
    assert yaml
    assert set(compose["services"]) == {"store", "master", "standby", "worker", "prometheus", "grafana"}
    for name in ("store", "master", "standby", "worker"):
        service = compose["services"][name]
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    places = [
        (s["environment"]["GERMLINE_ARCHIVE"], s["volumes"])
        for name, s in compose["services"].items()
        if name in ("master", "standby")
    ]
    assert places == [("/var/lib/germline/archive", ["archive:/var/lib/germline"])] * 2
    assert all(
        port.startswith("127.0.0.1:") for s in compose["services"].values() for port in s.get("ports", ())
    )
