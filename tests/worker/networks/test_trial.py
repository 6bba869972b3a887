"""Policies whose answers follow from more than their weights and what they see are refused."""

import random
import threading

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from worker.networks.policies.build import make_policy
from worker.networks.policies.mlp import Mlp
from worker.tasks.base import DiscreteActions, Lanes, SetupError, Spaces


class Vectors:
    """A task with short vectors."""

    spaces = Spaces((6,), np.dtype(np.float32), DiscreteActions(2))

    def make_lanes(self, count: int) -> Lanes:
        raise NotImplementedError


class Net(nn.Module):
    """Two layers, in which others do one thing differently."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.head = nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, observations: Tensor) -> Tensor:
        answer: Tensor = self.head(torch.tanh(self.inner(self.change(observations))))
        return answer

    def change(self, seen: Tensor) -> Tensor:
        return seen


class Remembers(Net):
    last: Tensor | float = 0.0

    def change(self, seen: Tensor) -> Tensor:
        seen, self.last = seen + self.last, seen
        return seen


class Counts(Net):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def change(self, seen: Tensor) -> Tensor:
        return seen + self.get_buffer("calls").add_(1)


class DropsOut(Net):
    def change(self, seen: Tensor) -> Tensor:
        return functional.dropout(seen)


class Mixes(Net):
    def change(self, seen: Tensor) -> Tensor:
        return seen - seen.mean(0)


class Normalises(Net):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(6, track_running_stats=False)

    def change(self, seen: Tensor) -> Tensor:
        normed: Tensor = self.norm(seen)
        return normed


class Closes(Net):
    def __init__(self) -> None:
        super().__init__()
        inner = self.inner
        self.change = lambda seen: inner(2 * seen)  # type: ignore[method-assign]


class Overrides(Mlp):
    def __init__(self, *, observation_shape: tuple[int, ...], outputs: int) -> None:
        super().__init__(observation_shape=observation_shape, outputs=outputs)

    def forward(self, observations: Tensor) -> Tensor:
        return super().forward(2 * observations)


class Hides(Net):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = [nn.Linear(6, 6)]

    def change(self, seen: Tensor) -> Tensor:
        answer: Tensor = self.hidden[0](seen)
        return answer


class Gambles(Net):
    def __init__(self) -> None:
        super().__init__()
        self.scale = random.random() + torch.rand(6)  # noqa: S311 - that is the fault, in all six

    def change(self, seen: Tensor) -> Tensor:
        return seen * self.scale


class Imports(Net):
    def __init__(self) -> None:
        super().__init__()
        own = np.random.default_rng().standard_normal((6, 6)).astype(np.float32)
        self.inner.weight = nn.Parameter(torch.from_numpy(own))


class Grows(Net):
    def __init__(self) -> None:
        super().__init__()
        self.extra = nn.Parameter(torch.zeros(random.getrandbits(40) % 1000))


class Casts(Net):
    def change(self, seen: Tensor) -> Tensor:
        return seen.float()


class Squeezes(Net):
    def forward(self, observations: Tensor) -> Tensor:
        return super().forward(observations).squeeze()


class Divides(Net):
    def change(self, seen: Tensor) -> Tensor:
        return seen * 0.0 / 0.0


class Locks(Net):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


class HalfRemembers(Net):
    def initial_state(self, rows: int) -> Tensor:
        return torch.zeros(rows, 6)


@pytest.mark.parametrize(
    ("policy", "complaint"),
    [
        (Remembers, "answers the same episode differently .* docs/policies.md"),
        (Counts, "answers the same episode differently"),
        (DropsOut, "answers the same episode differently"),
        (Mixes, "lets its answer to one observation depend on those beside it"),
        (Normalises, "lets its answer to one observation depend on those beside it"),
        (Closes, "does not answer by a copy's own weights: it calls a layer through a closure"),
        (Overrides, "does not answer by a copy's own weights: .* its stages are not its forward"),
        (Hides, "answers differently each time it is constructed, with the same weights"),
        (Gambles, "answers differently each time it is constructed, with the same weights"),
        (Imports, r"starts differently each time .* parameter inner\.weight; .*germline_init"),
        (Grows, "has other parameters each time it is constructed"),
        (Squeezes, r"answers 1 observations with \(2,\); the task wants \(1, 2\)"),
        (Divides, "answers nothing but NaN"),
        (Locks, "cannot play as a copy in float32: TypeError"),
        (HalfRemembers, "cannot see observations"),
    ],
)
def test_a_policy_whose_score_would_not_be_that_of_its_genome_is_refused(
    policy: type[nn.Module], complaint: str
) -> None:
    name = f"{__name__}:{policy.__name__}"
    with pytest.raises(SetupError, match=f"policy.name is '{name}', which {complaint}"):
        make_policy(name, Vectors())


def test_a_policy_that_casts_inside_is_refused_for_the_precision_that_it_cannot_compute_in() -> None:
    make_policy(f"{__name__}:Casts", Vectors())
    with pytest.raises(SetupError, match="cannot play as a copy in bfloat16: RuntimeError"):
        make_policy(f"{__name__}:Casts", Vectors(), precision="bfloat16")


class Looks(Net):
    """Wants numbers of places in a table."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(2, 6)

    def change(self, seen: Tensor) -> Tensor:
        answer: Tensor = self.table(seen.long()).mean(1)
        return answer


class TakesLogarithms(Net):
    def change(self, seen: Tensor) -> Tensor:
        return seen.log1p()


class Prepares(Net):
    """Keeps what it computed once, which changes no answer."""

    mask: Tensor | None = None

    def change(self, seen: Tensor) -> Tensor:
        if self.mask is None or self.mask.dtype != seen.dtype:
            self.mask = torch.linspace(0, 1, 6, dtype=seen.dtype)
        return seen * self.mask


class Attends(Net):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True)
        self.recurrent = nn.GRU(6, 6, batch_first=True)

    def change(self, seen: Tensor) -> Tensor:
        hidden = self.attention(seen.unsqueeze(1).expand(-1, 3, -1))
        answer: Tensor = self.recurrent(hidden)[0][:, -1]
        return answer


class Lazy(Net):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.LazyLinear(6)


@pytest.mark.parametrize("policy", [Looks, TakesLogarithms, Prepares, Attends, Lazy])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_policy_that_depends_on_nothing_else_plays_whatever_it_is_made_of(
    policy: type[nn.Module], precision: str
) -> None:
    assert isinstance(make_policy(f"{__name__}:{policy.__name__}", Vectors(), precision=precision), policy)


def test_trying_a_policy_out_leaves_torch_s_generator_to_its_owner() -> None:
    before = torch.random.get_rng_state()
    make_policy("mlp", Vectors())
    assert torch.equal(before, torch.random.get_rng_state())
