"""A fleet of germline under Ray: the job keeps the master as its child, and each actor a worker.

`ray job submit --entrypoint-num-cpus 1 --working-dir . -- python germline_on_ray.py SPEC --workers 16`, from
a folder with this file and the spec. The journal lies in a folder of the node that the job runs on, the head
by default: the same command goes on where it ended. With --master HOST:PORT instead of a spec, the actors
work for a master that is elsewhere. All nodes need germline[worker] installed; that of the master needs
germline[worker,local,certificates].
"""

from __future__ import annotations

import argparse
import os
import secrets
import shlex
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import ray

from germline.cli.app import run
from germline.client import Client
from germline.ports import free_port
from germline.spec import load

HUNG = 75
"""A worker's exit code when its playing hangs: whoever started it starts it again."""
DRAIN_S = 60.0
IDLE_S = 600.0


@dataclass(frozen=True)
class Access:
    """How a worker reaches the master: address, a worker's token, the authority's certificate."""

    address: str
    token: str
    ca: str


class Service:
    """A service of germline as a child: it drains and leaves when this process ends, however that ends."""

    def __init__(self, name: str, flags: list[str], **variables: str) -> None:
        """Start it.

        Args:
            name: master or worker.
            flags: of its command line.
            variables: more of its environment, such as tokens, which no list of processes should show.
        """
        command = [sys.executable, "-m", "germline.cli.child", name, *flags]
        environment = {**os.environ, **variables}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)  # noqa: S603

    def wait(self) -> int:
        """Its exit code, once it has one."""
        return self._process.wait()

    def stop(self) -> int:
        """Let it drain; returns its exit code."""
        self._process.terminate()
        return self._process.wait(DRAIN_S)


class Worker:
    """An actor that keeps one worker. Its methods run beside each other, so that it can be stopped."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._service: Service | None = None
        self._is_stopped = False

    def play(self, access: Access, name: str, flags: list[str]) -> int:
        """Work until there is nothing left to do, or until stopped; returns the worker's exit code."""
        with tempfile.TemporaryDirectory() as folder:
            known = ["--master", access.address, "--worker-id", name, *flags]
            if access.ca:
                ca = Path(folder) / "ca.pem"
                ca.write_text(access.ca)
                known += ["--ca", str(ca)]
            code = HUNG
            while (
                code == HUNG or code < 0
            ) and not self._is_stopped:  # hung, or killed: for want of memory, say
                self._service = Service("worker", known, GERMLINE_TOKEN=access.token)
                code = self._service.wait()
        return code

    def stop(self) -> None:
        """Have the worker hand its leases back and leave."""
        self._is_stopped = True
        if self._service is not None:
            self._service.stop()


class Master:
    """A master of this job's own, with TLS and tokens, in a folder that keeps the journal."""

    def __init__(self, folder: Path) -> None:
        """Start it, and wait until it serves."""
        host, port = ray.util.get_node_ip_address(), free_port()
        self.ca = folder / "certificates" / "ca.pem"
        self._operator = secrets.token_hex(24)
        tokens = folder / "worker-tokens"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        tokens.touch(mode=0o600)
        tokens.write_text(secrets.token_hex(24) + "\n")
        if code := run(["certificates", str(self.ca.parent), "--host", host, "--force"]):
            sys.exit(code)
        flags = ["--listen", f"0.0.0.0:{port}", "--metrics-port", "-1", "--worker-tokens", str(tokens)]
        flags += ["--tls-cert", str(self.ca.parent / "server.pem"), "--store-folder", str(folder / "store")]
        flags += ["--tls-key", str(self.ca.parent / "server-key.pem")]
        self._service = Service("master", flags, GERMLINE_TOKEN=self._operator)
        self.access = Access(f"{host}:{port}", tokens.read_text().strip(), self.ca.read_text())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._service.stop()

    def client(self) -> Client:
        """An operator's client."""
        return Client(self.access.address, token=self._operator, ca=self.ca)


class Fleet:
    """Actors that each keep a worker; those for which there is no room yet wait for the cluster to grow."""

    def __init__(self, access: Access, options: argparse.Namespace) -> None:
        """Ask Ray for the actors."""
        room = {"num_cpus": options.cpus_per_worker, "num_gpus": options.gpus_per_worker}
        actor = ray.remote(max_restarts=-1, max_task_retries=-1, max_concurrency=2, **room)(Worker)
        flags = ["--exit-when-idle", f"{IDLE_S:g}", *shlex.split(options.worker_flags)]
        job = ray.get_runtime_context().get_job_id()
        self._actors = [actor.remote() for _ in range(options.workers)]
        self._playing = [
            each.play.remote(access, f"ray-{job}-{number}", flags) for number, each in enumerate(self._actors)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        stopping = [each.stop.remote() for each in self._actors]
        ray.wait(stopping, num_returns=len(stopping), timeout=DRAIN_S)
        for each in self._actors:  # those that never found room, too
            ray.kill(each)

    def wait(self) -> None:
        """Return when all workers have left for want of work. Raises RuntimeError if one cannot work."""
        left = self._playing
        while left:
            (done,), left = ray.wait(left)
            if code := ray.get(done):
                raise RuntimeError(f"a worker ended with exit code {code}; its log says why")


def follow(client: Client, spec: Path) -> None:
    """Start the experiment of a spec, or go on with it, and look on until it is over."""
    client.wait_until_ready(DRAIN_S)
    name = client.create(load(spec)).name
    for experiment in client.watch(name, 5.0):
        best = "-" if experiment.best_fitness is None else f"{experiment.best_fitness:g}"
        counts = f"{experiment.evaluations:,} evaluations, {experiment.workers} workers"
        print(f"{name} is {experiment.state}: {counts}, best {best}", flush=True)  # noqa: T201 - the job's log


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "spec", type=Path, nargs="?", help="an experiment's spec; starts a master of the job's own"
    )
    parser.add_argument(
        "--master", help="work for this master instead, host:port; its token is GERMLINE_TOKEN"
    )
    parser.add_argument("--ca", type=Path, help="with --master: trust this PEM file")
    parser.add_argument(
        "--folder", type=Path, default=Path.home() / "germline-on-ray", help="keeps the journal"
    )
    parser.add_argument("--workers", type=int, default=1, help="how many actors")
    parser.add_argument("--cpus-per-worker", type=float, default=1)
    parser.add_argument("--gpus-per-worker", type=float, default=0, help="may be a part of one, such as 0.25")
    parser.add_argument(
        "--worker-flags", default="", help="more flags of each worker: --worker-flags='--device cpu'"
    )
    options = parser.parse_args(arguments)
    if (options.spec is None) == (options.master is None):
        parser.error("name either a spec, for a master of this job's own, or --master")
    return options


def main() -> None:
    """Run the job; `ray job stop` has all of it drain."""
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    ray.init(log_to_driver=True)
    if options.master:
        ca = options.ca.read_text() if options.ca else ""
        with Fleet(Access(options.master, os.environ.get("GERMLINE_TOKEN", ""), ca), options) as fleet:
            fleet.wait()
        return
    with Master(options.folder) as master, Fleet(master.access, options), master.client() as client:
        follow(client, options.spec)


if __name__ == "__main__":
    main()
