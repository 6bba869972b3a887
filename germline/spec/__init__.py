"""Experiment specs: TOML files that map one to one onto the ExperimentSpec message.

A table is a message, a key is a field, an enum is written as a lower-case word. What is allowed stands in
proto/germline/v1/spec.proto, in the fields' options and comments; nothing here repeats it. The few rules that
tie one field to another are in :mod:`germline.spec.rules`.

Example::

    spec = load(Path("experiments/pong.toml"))     # complete: every default is filled in
    spec.algorithm.ga.window                       # 1000
    loads(to_toml(spec)) == spec                   # True
"""

from germline.spec.behaviour import behaviour_dimensions
from germline.spec.convert import breeding_of, eggroll_settings, ga_settings, kernels_of, low_rank
from germline.spec.explain import Row, Section, explain
from germline.spec.load import load, start_text
from germline.spec.of_card import spec_of_card
from germline.spec.problems import Problem, SpecError
from germline.spec.read import (
    SPEC_FORMAT,
    complete,
    from_table,
    keep_first_version,
    loads,
    unknown_settings,
)
from germline.spec.settle import read_settings, with_settings
from germline.spec.typed import Spec
from germline.spec.write import to_toml
from germline.v1.spec_objects import (
    AtariTask,
    Behaviour,
    Eggroll,
    Evaluation,
    FunctionTask,
    GeneticAlgorithm,
    GymTask,
    Own,
    OwnTask,
    PluginTask,
    Policy,
    Stop,
)

__all__ = [
    "SPEC_FORMAT",
    "AtariTask",
    "Behaviour",
    "Eggroll",
    "Evaluation",
    "FunctionTask",
    "GeneticAlgorithm",
    "GymTask",
    "Own",
    "OwnTask",
    "PluginTask",
    "Policy",
    "Problem",
    "Row",
    "Section",
    "Spec",
    "SpecError",
    "Stop",
    "behaviour_dimensions",
    "breeding_of",
    "complete",
    "eggroll_settings",
    "explain",
    "from_table",
    "ga_settings",
    "keep_first_version",
    "kernels_of",
    "load",
    "loads",
    "low_rank",
    "read_settings",
    "spec_of_card",
    "start_text",
    "to_toml",
    "unknown_settings",
    "with_settings",
]
