"""deploy/aws: what the stack tells its containers starts a real master, and a worker that may only work."""

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from germline.client import Client, RefusedError
from germline.settings import read
from master.config import MasterConfig
from master.server import Master
from tests.deploy.stacks import ROOT, Resources, environment
from worker.config import WorkerConfig


def test_what_the_stack_says_starts_a_master_that_lets_a_worker_work_and_nothing_else(
    stacks: list[Resources], tmp_path: Path
) -> None:
    pytest.importorskip("cryptography", reason="pip install 'germline[certificates]'")
    script = ROOT / "deploy" / "aws" / "make_secrets.py"
    subprocess.run([sys.executable, script, "fleet", tmp_path / "made"], check=True, capture_output=True)
    here = {name: _placed(stacks[0], name, tmp_path) for name in ("master", "worker")}
    config = read(MasterConfig, dict.fromkeys(MasterConfig.__dataclass_fields__), here["master"])
    assert config.unprotected == ""
    assert config.metrics_emf == "fleet"
    worker = read(WorkerConfig, dict.fromkeys(WorkerConfig.__dataclass_fields__), here["worker"])
    operator = (tmp_path / "made" / "operator-token").read_text().strip()
    _call(config, worker.token, operator, worker.ca)


def _placed(stack: Resources, name: str, tmp_path: Path) -> dict[str, str]:
    """Run the container that writes the secrets, in a folder; returns the other one's variables."""
    folder = tmp_path / name
    folder.mkdir()
    task = stack["MasterTask" if name == "master" else "WorkerTask"]["Properties"]
    first = task["ContainerDefinitions"][0]
    secret = json.loads((tmp_path / "made" / f"{name}.json").read_text())
    given = {each["Name"]: secret[each["ValueFrom"].split(":")[7]] for each in first["Secrets"]}
    command = [*first["EntryPoint"], first["Command"][0].replace("/secrets", str(folder))]
    subprocess.run(command, check=True, env=os.environ | given)
    moved = {"/secrets": str(folder), "/var/lib/germline": str(tmp_path), "0.0.0.0:7700": "localhost:0"}
    values = environment(stack, name)
    for old, new in moved.items():
        values = {key: value.replace(old, new) for key, value in values.items()}
    return values


def _call(config: MasterConfig, worker: str, operator: str, ca: Path | None) -> None:
    def ask(address: str) -> None:
        with Client(address, token=operator, ca=ca) as client:
            assert client.experiments() == []
        with Client(address, token=worker, ca=ca) as client, pytest.raises(RefusedError):
            client.experiments()

    async def serve() -> None:
        async with Master.serving(replace(config, metrics_port=0)) as master:
            await asyncio.to_thread(ask, master.address)

    asyncio.run(serve())
