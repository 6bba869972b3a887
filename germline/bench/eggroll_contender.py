"""One contender of the EGGROLL bench, in a process of its own, in whatever environment has it installed.

Run as a file, so that it needs nothing of germline unless it is germline's turn. Each line on standard input
is one step; each line of output is ``[seconds, processor seconds, peak MiB]`` of it. The first output says
that it is ready, and what the process had already used.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

SIGMA, LEARNING_RATE = 0.02, 0.01
Step = Callable[[], object]


def main() -> None:
    """Play the part that the arguments name: a contender and a workload as JSON."""
    name, work = sys.argv[1], json.loads(sys.argv[2])
    torch.set_num_threads(work["threads"])
    torch.manual_seed(0)
    network = mlp(work["widths"])
    inputs = torch.randn(work["batch"], work["widths"][0])
    targets = torch.randint(0, work["widths"][-1], (work["batch"],))
    step = CONTENDERS[name](network, inputs, targets, work["population"], work["rank"])
    say([0.0, 0.0, peak_mib()])
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        step()
        say([time.perf_counter() - wall, time.process_time() - cpu, peak_mib()])


def mlp(widths: list[int]) -> nn.Sequential:
    """A ReLU network with biases."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def germline(network: nn.Sequential, inputs: Tensor, targets: Tensor, population: int, rank: int) -> Step:
    """Ours, with the peers' shaping."""
    from germline import eggroll  # the peers' environment does not have it

    settings = eggroll.Settings(
        pairs=population // 2,
        seed=0,
        rank=rank,
        sigma=SIGMA,
        learning_rate=LEARNING_RATE,
        shaping="z_score",
    )
    evolution = eggroll.EggrollOptimiser(network, settings)
    return lambda: evolution.step(inputs, functional.cross_entropy, targets)


def torcheggroll(
    network: nn.Sequential,
    inputs: Tensor,
    targets: Tensor,
    population: int,
    rank: int,
    package: str = "torcheggroll",
) -> Step:
    """Its batched step."""
    kind = import_module(package).TorchEggrollES
    evolution = kind(network, pop_size=population, sigma=SIGMA, lr=LEARNING_RATE, rank=rank)
    return lambda: evolution.step(inputs, functional.cross_entropy, targets)


def eggroll_trainer(
    network: nn.Sequential,
    inputs: Tensor,
    targets: Tensor,
    population: int,
    rank: int,
    package: str = "eggroll_trainer",
) -> Step:
    """Its trainer, with antithetic pairs (`noise_reuse=1`)."""

    def fitness(model: nn.Module) -> float:
        with torch.no_grad():
            return -float(functional.cross_entropy(model(inputs), targets))

    trainer = import_module(package).EGGROLLTrainer(
        network.parameters(),
        model=network,
        fitness_fn=fitness,
        population_size=population,
        learning_rate=LEARNING_RATE,
        sigma=SIGMA,
        rank=rank,
        noise_reuse=1,
    )
    return lambda: trainer.train(1, verbose=False)


def evox(network: nn.Sequential, inputs: Tensor, targets: Tensor, population: int, rank: int) -> Step:
    """Its virtual low-rank strategy; it has neither pairs nor a baseline."""
    strategies = import_module("evox.algorithms.so.es_variants.virtual_lora_es")
    problems = import_module("evox.problems.neuroevolution.virtual_lora_problem")
    algorithm = strategies.VirtualLoRAES(
        param_shapes=[tuple(p.shape) for p in network.parameters()],
        lora_rank=rank,
        pop_size=population,
        center_init=torch.cat([p.detach().flatten() for p in network.parameters()]),
        learning_rate=LEARNING_RATE,
        noise_stdev=SIGMA,
    )
    problem = problems.VirtualLoRAProblem(
        network,
        DataLoader(TensorDataset(inputs, targets), batch_size=len(inputs)),
        nn.CrossEntropyLoss(reduction="none"),
        lora_rank=rank,
        n_batch_per_eval=-1,
    )
    workflow = import_module("evox.workflows").StdWorkflow(algorithm, problem)

    def step() -> None:
        with torch.no_grad():
            workflow.step()

    return step


def inference(network: nn.Sequential, inputs: Tensor, targets: Tensor, population: int, _rank: int) -> Step:
    """No evolution at all: the network alone, forward, once for each member."""

    def step() -> None:
        with torch.no_grad():
            for _ in range(population):
                functional.cross_entropy(network(inputs), targets)

    return step


def peak_mib() -> float:
    """The most memory that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def say(figures: list[float]) -> None:
    """One line for whoever asked."""
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()


CONTENDERS: dict[str, Callable[[nn.Sequential, Tensor, Tensor, int, int], Step]] = {
    "germline": germline,
    "germline.compat.torcheggroll": partial(torcheggroll, package="germline.compat.torcheggroll"),
    "germline.compat.eggroll_trainer": partial(eggroll_trainer, package="germline.compat.eggroll_trainer"),
    "torcheggroll": torcheggroll,
    "eggroll-trainer": eggroll_trainer,
    "evox": evox,
    "inference": inference,
}

if __name__ == "__main__":
    main()
