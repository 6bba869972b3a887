"""This machine: which device plays, how many threads torch may use, and what the master is told about it."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import platform
import secrets

import torch

from germline import machine_share, noise
from worker.connection.wire import Identity
from worker.playing.engine_builder import has_bfloat16
from worker.playing.engines import device_named
from worker.playing.kernel_family import kernel_family

logger = logging.getLogger(__name__)

_LIBRARIES = ("torch", "numpy", "gymnasium", "ale-py", "grpcio")


def prepare(device: str, threads: int) -> torch.device:
    """Pick the device and tame torch, once per process.

    Raises:
        SetupError: if this machine does not have the device.
    """
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False  # a score in float32 means float32
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.benchmark = False  # the fastest kernel of the day would change a score's last bits
    found = device_named(device)
    logger.info(
        "playing on %s with %d torch threads of %d cores", describe(found), threads, machine_share.cores()
    )
    return found


def describe(device: torch.device) -> str:
    """The device as the master records it: its type, with its name behind a colon where it has one."""
    if device.type == "cuda":
        return f"cuda:{torch.cuda.get_device_name(device)}"
    return device.type


def identify(device: torch.device, worker_id: str = "") -> Identity:
    """Who this process is, for as long as it lives."""
    return Identity(
        worker_id=worker_id or f"{_host()}-{os.getpid()}-{secrets.token_hex(3)}",
        version=_version("germline"),
        noise_version=noise.VERSION,
        noise_digest=noise.self_test_digest(),
        device=describe(device),
        libraries=libraries_of(device),
        process=secrets.token_hex(8),
    )


def libraries_of(device: torch.device) -> dict[str, str]:
    """What plays here: versions, and the families of the kernels of each floating-point precision."""
    precisions = ["float32", "bfloat16"] if has_bfloat16(device) else ["float32"]
    kernels = {f"kernels {each}": kernel_family(device, each) for each in precisions}
    versions = {name: _version(name) for name in _LIBRARIES}
    return {"python": platform.python_version()} | versions | kernels


def _host() -> str:
    """The machine's name, in the characters that a worker's id may have."""
    name = platform.node().partition(".")[0] or "worker"
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name)[:40]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"
