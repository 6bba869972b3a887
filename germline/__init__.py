"""Neuroevolution as a service: every network is a line of seeds.

The names that most people look for, each loaded when it is first asked for::

    policy = germline.load("champion.toml")          # act, evaluate, record, weights, network
    result = germline.run("experiments/pong.toml")   # a master and workers, on this machine
    found = germline.sweep("pong.toml", {"algorithm.ga.power": [0.002, 0.005]})   # many settings
    client = germline.connect("master-host:7700")    # a master that somebody else started
    history = germline.experiment(client).history()  # arrays; a notebook shows experiments and champions
    print(germline.Spec.load("experiments/pong.toml"))
    found = germline.minimise(function, x0=10)       # of a plain Python function
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from germline import eggroll, spec
    from germline.algorithms.ga import GeneticAlgorithm
    from germline.algorithms.ga_settings import GaSettings
    from germline.face.connecting import connect
    from germline.face.errors import GermlineError
    from germline.face.experiment import experiment
    from germline.face.minimise import minimise
    from germline.face.objects import here
    from germline.face.policy import Policy, load
    from germline.face.run import run
    from germline.face.sweep import sweep
    from germline.spec.problems import SpecError
    from germline.spec.typed import Spec

_HOMES = {
    "GaSettings": "germline.algorithms.ga_settings",
    "GeneticAlgorithm": "germline.algorithms.ga",
    "GermlineError": "germline.face.errors",
    "Policy": "germline.face.policy",
    "Spec": "germline.spec.typed",
    "SpecError": "germline.spec.problems",
    "connect": "germline.face.connecting",
    "experiment": "germline.face.experiment",
    "here": "germline.face.objects",
    "load": "germline.face.policy",
    "minimise": "germline.face.minimise",
    "run": "germline.face.run",
    "sweep": "germline.face.sweep",
}
_MODULES = ("eggroll", "spec")  # torch is loaded by the first alone

__all__ = [
    "GaSettings",
    "GeneticAlgorithm",
    "GermlineError",
    "Policy",
    "Spec",
    "SpecError",
    "connect",
    "eggroll",
    "experiment",
    "here",
    "load",
    "minimise",
    "run",
    "spec",
    "sweep",
]


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return importlib.import_module(f"germline.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'germline' has no attribute {name!r}; it has {', '.join(__all__)}")
    found: object = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
