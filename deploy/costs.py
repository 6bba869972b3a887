"""What a fleet costs, from prices.toml and from frames that were measured: `python deploy/costs.py`.

It prints the tables of deploy/README.md, with the arithmetic in them.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

Prices: TypeAlias = Mapping[str, float]
Measured: TypeAlias = Mapping[str, float]

FRAMES = 10**9
MONTH_H = 730
WORKER_GB = 2.0  # beside one vCPU, as the stack for AWS asks for
MASTER = (1.0, WORKER_GB)
ENDPOINTS, ZONES = (5, 8), 2


def read(path: Path) -> tuple[Prices, Measured]:
    """Prices by name, and frames a second of one core by what is played."""
    table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    measured = table.pop("measured")
    cores = measured.pop("cores")
    return {name: each["price"] for name, each in table.items()}, {k: v / cores for k, v in measured.items()}


def core_hours(frames_per_second: float) -> float:
    """Hours in which one core plays a billion frames."""
    return FRAMES / frames_per_second / 3600


def core_hour(prices: Prices) -> dict[str, tuple[float, float]]:
    """What a worker's core costs for an hour by kind of capacity: on demand, and spot."""
    fargate = prices["fargate_vcpu_hour"] + WORKER_GB * prices["fargate_gb_hour"]
    ec2, fee = prices["ec2_vcpu_hour"], prices["managed_vcpu_hour"]
    spot = ec2 * prices["ec2_spot_share"]
    return {
        "`ec2`": (ec2, spot),
        "`managed`": (ec2 + fee, spot + fee),
        "`fargate`": (fargate, fargate * prices["fargate_spot_share"]),
    }


def standing(prices: Prices) -> Iterator[tuple[str, str, float]]:
    """What is paid by the hour whether or not anything plays: a choice, its arithmetic, dollars an hour."""
    vcpus, gbs = MASTER
    master = vcpus * prices["fargate_vcpu_hour"] + gbs * prices["fargate_gb_hour"]
    vcpu, gb = prices["fargate_vcpu_hour"], prices["fargate_gb_hour"]
    yield "a master (`Masters`: 1 or 2)", f"{vcpus:g} x {vcpu:.5f} + {gbs:g} x {gb:.6f}", master
    yield "`Network`: `nat`", f"{prices['nat_hour']:g}, and as much a GB", prices["nat_hour"]
    for count in ENDPOINTS:
        text = f"{count} x {ZONES} zones x {prices['endpoint_hour']:g}, and as much a GB"
        yield f"`Network`: `endpoints`, {count} of them", text, count * ZONES * prices["endpoint_hour"]
    address = prices["address_hour"]
    yield "`Network`: `public`, each task or instance", f"{address:g} for its address", address
    month, written = prices["efs_gb_month"], prices["efs_written_gb"]
    yield "`Store`: `efs`, each GB", f"{month:g} / {MONTH_H}, and {written:g} a GB written", month / MONTH_H
    node = prices["cache_node_hour"]
    yield "`Store`: `elasticache`", f"2 x {node:g}", 2 * node


def tables(prices: Prices, measured: Measured) -> Iterator[str]:
    """Both tables, line by line."""
    yield (
        "| a billion frames of | core hours | "
        + " | ".join(f"{kind} {how}" for kind in core_hour(prices) for how in ("on demand", "spot"))
        + " |"
    )
    yield "|---|" + "---|" * (1 + 2 * len(core_hour(prices)))
    hour = [price for pair in core_hour(prices).values() for price in pair]
    yield "| dollars a core hour | | " + " | ".join(f"{price:.4f}" for price in hour) + " |"
    for name, frames in measured.items():
        hours = core_hours(frames)
        costs = " | ".join(f"{hours * price:.2f}" for price in hour)
        yield f"| {name} | 10^9 / {frames:,.0f} / 3,600 = {hours:.1f} | {costs} |"
    yield ""
    yield "| choice | dollars an hour | that is, a month |"
    yield "|---|---|---|"
    for name, text, price in standing(prices):
        yield f"| {name} | {text} = {price:.4f} | {price * MONTH_H:.2f} |"


if __name__ == "__main__":
    sys.stdout.write("\n".join([*tables(*read(Path(__file__).with_name("prices.toml"))), ""]))
