"""Settings of the neuro gateway: what its server had as constants, and who is let in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from germline.connection import is_loopback
from germline.settings import read
from germline.v1 import spec_pb2
from master.config import MasterConfig, split_address
from master.gateways.house import GatewayError


@dataclass(frozen=True, kw_only=True)
class NeuroConfig:
    """What the gateway's experiment is; each is read from GERMLINE_NEURO_NAME.

    They make the experiment; of one that is there already they change nothing.
    """

    neuro_experiment: str = "neuro"
    """Name of the experiment that workers of this gateway play; it is made unless there is one."""

    neuro_parents: int = 50
    """Elites: a new individual is the child of one of the so many best."""

    neuro_window: int = 5000
    """Scores that are remembered: elites are the best of the last so many. As many random individuals open
    the run."""

    neuro_strength: float = 0.005
    """What the workers' MUTATION_STRENGTH is. They multiply with their own; this one is written down."""

    neuro_evaluations: int = 0
    """Scores after which the experiment is complete; 0 is for ever. `germline extend` lets it go on."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> NeuroConfig:
        """Read the settings. Raises GatewayError, naming what is wrong."""
        try:
            return read(cls, dict.fromkeys(field.name for field in fields(cls)), environment)
        except ValueError as error:
            raise GatewayError(f"the neuro gateway cannot be opened: {error}") from None

    def spec(self) -> spec_pb2.ExperimentSpec:
        """The experiment as a spec: a genetic algorithm whose individuals are played elsewhere."""
        spec = spec_pb2.ExperimentSpec(name=self.neuro_experiment, policy=spec_pb2.Policy(name="own"))
        spec.task.own.SetInParent()
        ga = spec.algorithm.ga
        ga.window, ga.parents, ga.power = self.neuro_window, self.neuro_parents, self.neuro_strength
        ga.candidates, ga.validation_share = 0, 0.0
        if self.neuro_evaluations:
            spec.stop.evaluations = self.neuro_evaluations
        return spec


def is_plain(config: MasterConfig, address: str) -> bool:
    """Whether the port has neither encryption nor tokens: what an unmodified worker can talk to.

    It can on this machine, and wherever the operator says `insecure`.
    """
    return config.insecure or is_loopback(split_address(address)[0])
