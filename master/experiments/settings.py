"""What an experiment's spec means to the master: its share, its lease, its end, and its algorithm."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from germline.algorithms.eggroll import Eggroll
from germline.algorithms.ga import GeneticAlgorithm
from germline.algorithms.map_elites import MapElites
from germline.algorithms.own import OwnRun
from germline.spec import breeding_of, complete, eggroll_settings, ga_settings, keep_first_version
from germline.v1 import spec_pb2
from master.centres.centre import Centre
from master.experiments.algorithm_seam import Search
from master.experiments.eggroll_search import EggrollSearch
from master.experiments.ga_search import GaSearch
from master.experiments.guest_search import GuestSearch
from master.experiments.own_search import OwnSearch


class Stop(NamedTuple):
    """When an experiment is complete: as soon as one of these is reached."""

    evaluations: float = math.inf
    frames: float = math.inf
    seconds: float = math.inf
    fitness: float = math.inf


@dataclass(frozen=True, slots=True)
class ExperimentSettings:
    """A complete spec as the master uses it.

    Attributes:
        name: what people call the experiment.
        share: its part of the fleet, relative to the others'.
        lease_s: how long a worker may keep a lease.
        max_attempts: failed attempts after which an individual is set aside.
        parallelism: evaluations that are worth playing at a time.
        precision: number of the forward pass's germline.v1.Precision.
        verify_share: share of the results that another worker plays again.
        stop: when it is complete.
        spec: the whole spec as message, and
        encoded: as bytes; equal specs have equal bytes.
    """

    name: str
    share: int
    lease_s: float
    max_attempts: int
    parallelism: int
    precision: int
    verify_share: float
    stop: Stop
    spec: spec_pb2.ExperimentSpec
    encoded: bytes

    @classmethod
    def of(cls, spec: spec_pb2.ExperimentSpec) -> ExperimentSettings:
        """Complete a spec and read it.

        Raises germline.spec.SpecError with the fields' paths if it does not hold.
        """
        spec = complete(spec)
        return cls(
            name=spec.name,
            share=spec.share,
            lease_s=spec.evaluation.lease_s,
            max_attempts=spec.evaluation.max_attempts,
            parallelism=_parallelism_of(spec),
            precision=spec.evaluation.precision,
            verify_share=spec.evaluation.verify_share if breeding_of(spec) is not None else 0.0,
            stop=_stop_of(spec.stop),
            spec=spec,
            encoded=spec.SerializeToString(deterministic=True),
        )

    @classmethod
    def stored(cls, encoded: bytes) -> ExperimentSettings:
        """Read a spec that was stored; what it could not say when it was made is as it was then."""
        spec = spec_pb2.ExperimentSpec.FromString(encoded)
        _keep_first_meaning(spec)
        keep_first_version(spec)
        return cls.of(spec)

    def with_stop(self, stop: bytes) -> ExperimentSettings:
        """The same search with other stop conditions, a serialized germline.v1.Stop.

        Raises germline.spec.SpecError with the fields' paths if they do not hold.
        """
        spec = spec_pb2.ExperimentSpec()
        spec.CopyFrom(self.spec)
        spec.stop.ParseFromString(stop)
        return self.of(spec)

    def make_search(self) -> Search:
        """A new search with these settings."""
        kind = self.spec.algorithm.WhichOneof("kind")
        if kind == "ga" and self.plays_elsewhere:
            return GuestSearch(GeneticAlgorithm(ga_settings(self.spec), self.spec.seed))
        if kind == "ga":
            return GaSearch(GeneticAlgorithm(ga_settings(self.spec), self.spec.seed))
        if kind == "map_elites":
            return GaSearch(MapElites(ga_settings(self.spec), self.spec.seed))
        if kind == "eggroll":
            return EggrollSearch(Eggroll(eggroll_settings(self.spec), self.spec.seed))
        if kind == "own":
            return OwnSearch(OwnRun(self.spec.algorithm.own.population))
        raise NotImplementedError(
            f"algorithm.{kind} is not served; allowed: algorithm.ga, algorithm.map_elites, "
            "algorithm.eggroll, algorithm.own"
        )

    def make_centre(self) -> Centre | None:
        """What is known of an evolution strategy's centre at first; None for a genetic algorithm."""
        if not self.spec.algorithm.HasField("eggroll"):
            return None
        return Centre(self.spec.algorithm.eggroll.checkpoint_epochs)

    @property
    def plays_elsewhere(self) -> bool:
        """Whether clients of other projects play it, or workers that bring the arithmetic: not the fleet."""
        return self.spec.task.HasField("own")

    @property
    def differences_prove(self) -> bool:
        """Whether every machine plays alike, so that of two different returns one is wrong."""
        in_integers = self.spec.evaluation.precision == spec_pb2.PRECISION_INT8
        return in_integers and self.spec.task.HasField("atari")

    @property
    def encoded_stop(self) -> bytes:
        """Its stop conditions as bytes; equal ones have equal bytes."""
        return self.spec.stop.SerializeToString(deterministic=True)

    @property
    def close_after_s(self) -> float:
        """Time after which an epoch may close without its last pairs; infinite if it waits for all."""
        eggroll = self.spec.algorithm.eggroll
        return eggroll.close_after_s if eggroll.HasField("close_after_s") else math.inf


def _stop_of(stop: spec_pb2.Stop) -> Stop:
    return Stop(**{field.name: value for field, value in stop.ListFields()})


def _keep_first_meaning(spec: spec_pb2.ExperimentSpec) -> None:
    """Let what a stored spec could not say when it was made mean what there was then."""
    if not spec.evaluation.HasField("starts"):
        spec.evaluation.starts = spec_pb2.STARTS_SEEDS
    algorithm = spec.algorithm
    if algorithm.HasField("map_elites") and not algorithm.map_elites.HasField("ties"):
        algorithm.map_elites.ties = spec_pb2.TIES_FIRST
    if not algorithm.HasField("eggroll"):
        return
    if not algorithm.eggroll.HasField("reported_episodes"):
        algorithm.eggroll.reported_episodes = 0
    if algorithm.eggroll.HasField("novelty") and not algorithm.eggroll.novelty.HasField("measured"):
        algorithm.eggroll.novelty.measured = spec_pb2.CENTRE_MEASURED_OWN_EPOCH


def _parallelism_of(spec: spec_pb2.ExperimentSpec) -> int:
    if spec.HasField("parallelism"):
        return spec.parallelism
    algorithm = spec.algorithm
    if algorithm.HasField("own"):
        return algorithm.own.population
    if algorithm.HasField("map_elites"):
        return 2 * algorithm.map_elites.founders
    return 2 * (algorithm.eggroll.pairs if algorithm.HasField("eggroll") else algorithm.ga.window)
