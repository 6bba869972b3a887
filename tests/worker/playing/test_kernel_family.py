"""A family of kernels is what they answer: always the same here, another where sums are added otherwise."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from worker.networks.forward.base import ActiveRows, Outputs
from worker.networks.forward.stacked import StackedForward
from worker.playing import kernel_family as module
from worker.tasks.base import Observations

CPU = torch.device("cpu")
family = module.kernel_family.__wrapped__


def test_one_machine_is_of_one_family_and_each_precision_of_its_own() -> None:
    assert family(CPU, "float32") == family(CPU, "float32")
    assert family(CPU, "float32") != family(CPU, "bfloat16")
    assert len(family(CPU, "float32")) == 8


def test_the_last_bit_of_one_answer_makes_another_family(monkeypatch: pytest.MonkeyPatch) -> None:
    before = family(CPU, "float32")
    play: Callable[[StackedForward, Observations, ActiveRows], Outputs] = StackedForward.__call__

    def otherwise(forward: StackedForward, observations: Observations, active: ActiveRows) -> Outputs:
        outputs = play(forward, observations, active)
        outputs[0, 0, 0] = np.nextafter(outputs[0, 0, 0], np.float32(1), dtype=np.float32)
        return outputs

    monkeypatch.setattr(StackedForward, "__call__", otherwise)
    assert family(CPU, "float32") != before
