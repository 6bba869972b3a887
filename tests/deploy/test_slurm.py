"""deploy/slurm on a real SLURM of one machine: master and array as jobs, a requeue, nothing lost."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from germline.ports import free_port

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "deploy" / "slurm"
DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch")
PATIENCE_S = 120.0
SPEC = """
name = "sphere"
[task.function]
path = "worker.tasks.function:noisy_sphere"
[policy]
name = "vector"
[algorithm.ga]
window = 50
parents = 5
[stop]
seconds = 3600
"""
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthInfo=socket={folder}/munge.socket
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
MpiDefault=none
AccountingStorageType=accounting_storage/none
ReturnToService=2
SlurmdParameters=config_overrides
KillWait=20
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=12000
PartitionName=all Nodes={host} Default=YES
"""

pytestmark = pytest.mark.skipif(
    any(shutil.which(each) is None for each in DAEMONS) or os.geteuid() != 0,
    reason="no SLURM here: as root, install slurmctld slurmd slurm-client munge slurm-wlm-basic-plugins",
)


def wait_for(what: str, is_so: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        if is_so():
            return
        time.sleep(0.2)
    raise AssertionError(f"not within {PATIENCE_S:g} s: {what}")


def two_ports() -> list[int]:
    one, two = free_port(), free_port()
    return [one, two] if one != two else two_ports()


class Cluster:
    """A SLURM of this machine in a folder, and the jobs' own folder beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.jobs = folder / "jobs"
        self.jobs.mkdir()
        self.environment = {
            **os.environ,
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}",
        }

    def start(self) -> None:
        folder, host = self.folder, socket.gethostname()
        (folder / "slurm.conf").write_text(CONFIGURATION.format(host=host, folder=folder, ports=two_ports()))
        for name in ("state", "spool"):
            (folder / name).mkdir()
        key = folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        self.run(
            "munged", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket",
            f"--pid-file={folder}/munge.pid", f"--log-file={folder}/munge.log", f"--seed-file={folder}/seed",
        )  # fmt: skip
        self.run("slurmctld", "-f", str(folder / "slurm.conf"))
        self.run("slurmd", "-f", str(folder / "slurm.conf"))
        wait_for("the node is idle", lambda: "idle" in self.run("sinfo", "-h", "-o", "%t"))

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.jobs, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def submit(self, script: str, *flags: str) -> str:
        return self.run("sbatch", "--parsable", *flags, str(SCRIPTS / script)).strip()

    def states(self, job: str) -> list[str]:
        return self.run("squeue", "-h", "-r", "-j", job, "-o", "%T").split()

    def germline(self, *words: str) -> str:
        address = (self.jobs / "master.address").read_text().strip()
        known = ("--master", address, "--token-file", "operator-token", "--ca", "cert.pem")
        return self.run("germline", *words, *known)

    def stop(self) -> None:
        """Let all jobs end first: a step that nobody takes its report from stays, and its daemon with it."""
        subprocess.run(["scancel", "-u", "root"], env=self.environment, check=False)
        with suppress(AssertionError):
            wait_for("no job is left", lambda: not self.run("squeue", "-h"))
        for name in ("slurmd", "slurmctld", "munge"):
            pid = self.folder / f"{name}.pid"
            if pid.exists():
                _end(int(pid.read_text()))


def _end(process: int) -> None:
    """Ask a daemon to go, and see that it does."""
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGTERM)
        with suppress(AssertionError):
            wait_for("a daemon leaves", lambda: not Path(f"/proc/{process}").exists())
        os.kill(process, signal.SIGKILL)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def test_an_array_of_workers_plays_and_a_requeued_one_loses_nothing(cluster: Cluster) -> None:
    def log(name: str) -> str:
        path = cluster.jobs / name
        return path.read_text() if path.exists() else ""

    (cluster.jobs / "sphere.toml").write_text(SPEC)
    master = cluster.submit("master.sbatch")
    wait_for("the master serves", lambda: "serving on" in log("master.log"))
    cluster.germline("submit", "sphere.toml")
    workers = cluster.submit("workers.sbatch", "--array=0-1")
    for number in (0, 1):
        wait_for("workers play", lambda n=number: "welcomes this worker" in log(f"worker-{n}.log"))  # type: ignore[misc]

    def evaluations() -> int:
        return int(json.loads(cluster.germline("status", "sphere", "--json"))["evaluations"])

    wait_for("scores come in", lambda: evaluations() > 100)
    cluster.run("scontrol", "requeue", f"{workers}_1")
    wait_for("leases are handed back", lambda: "leases back" in log("worker-1.log"))
    before = evaluations()
    cluster.run("scancel", f"{workers}_0")
    cluster.run("scancel", "--signal=TERM", "--full", master)
    wait_for("the master has drained", lambda: "drained;" in log("master.log") and not cluster.states(master))
    cluster.submit("master.sbatch")
    wait_for("the master is back", lambda: log("master.log").count("serving on") == 2)
    assert evaluations() >= before
