"""All that it takes to build a policy, in this process or in another one."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import torch

from germline.genome import Genome
from germline.v1 import spec_pb2
from worker.machine import prepare
from worker.serving.policy import PolicyModel, VectorModel, build_policy


@dataclass(frozen=True, slots=True)
class Recipe:
    """A policy before it is built.

    Attributes:
        spec: says task, network and precision.
        policy: a genome, or the file of an evolution strategy's centre.
        about: what callers are told of it.
        device: where the network runs: auto, cpu, cuda or mps.
    """

    spec: spec_pb2.ExperimentSpec
    policy: Genome | bytes
    about: Mapping[str, object] = field(default_factory=dict)
    device: str = "auto"

    def build(self) -> PolicyModel | VectorModel:
        """Build it. Raises SetupError if this machine cannot play it."""
        return build_policy(self.spec, self.policy, self.about, _prepared(self.device))

    def write(self) -> str:
        """The recipe as a line of JSON."""
        is_genome = isinstance(self.policy, Genome)
        policy = self.policy.encode() if isinstance(self.policy, Genome) else self.policy
        return json.dumps(
            {
                "spec": base64.b64encode(self.spec.SerializeToString()).decode(),
                "genome" if is_genome else "centre": base64.b64encode(policy).decode(),
                "about": dict(self.about),
                "device": self.device,
            }
        )

    @classmethod
    def read(cls, line: str) -> Recipe:
        """Read what :meth:`write` wrote."""
        found = json.loads(line)
        is_genome = "genome" in found
        policy = base64.b64decode(found["genome" if is_genome else "centre"])
        return cls(
            spec_pb2.ExperimentSpec.FromString(base64.b64decode(found["spec"])),
            Genome.decode(policy) if is_genome else policy,
            found["about"],
            found["device"],
        )


@cache
def _prepared(device: str) -> torch.device:
    """The device, with torch tamed once for all models."""
    return prepare(device, 1)
