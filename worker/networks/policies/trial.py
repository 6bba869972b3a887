"""Tries a policy out before it plays: what it answers must follow from its weights and from what it sees.

An engine plays copies of a policy, many at a time, each with weights of its own. So a short episode is played
here in many ways: again, beside other episodes, by a copy, as it was constructed another time, and in the
experiment's precision. Where the answers differ, a score would not be that of a genome.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from germline.weights import Layout, initialise
from worker.networks.forward.base import DTYPES
from worker.networks.forward.choose import make_forward
from worker.networks.policies.recurrent import Recurrent
from worker.plugins import described
from worker.tasks.base import Spaces

_STEPS = 4
_ROWS = 2
_ROUNDING = 1e-5  # by which equal answers may differ, of their size: a copy lies elsewhere in memory
_SHARE = 0.01  # the same, of what other weights change
_CPU = torch.device("cpu")

_KEEPS = (
    "answers the same episode differently when it plays it again: it keeps something between its calls, or "
    "uses chance; a policy that remembers gets its state and gives back the next one, see docs/policies.md"
)
_MIXES = "lets its answer to one observation depend on those beside it; each row is an episode of its own"
_ESCAPES = (
    "does not answer by a copy's own weights: it calls a layer through a closure, or through something else "
    "that is not copied with it, or its stages are not its forward; call layers as attributes of the module"
)
_VARIES = (
    "answers differently each time it is constructed, with the same weights: its constructor uses chance "
    "that is not torch's, or keeps what torch drew in no parameter and no buffer"
)

Episodes = list[Tensor]
"""What all rows see, step by step: `[rows, *shape]` each."""


class MisfitError(ValueError):
    """A policy that cannot play; the message goes on from the policy's name."""


def look(policy: nn.Module, spaces: Spaces, rows: int = _ROWS) -> object:
    """What a policy answers to blank observations.

    Raises:
        MisfitError: if it cannot see them.
    """
    blank = torch.from_numpy(np.zeros((rows, *spaces.observation_shape), spaces.observation_dtype))
    try:
        with torch.no_grad():
            return _first_step(policy, blank) if isinstance(policy, Recurrent) else policy(blank)
    except MisfitError:
        raise
    except Exception as error:  # whatever somebody's forward does
        raise MisfitError(
            f"cannot see observations of shape {spaces.observation_shape} ({spaces.observation_dtype}): "
            f"{described(error)}{_without_state(policy)}"
        ) from error


def _without_state(policy: nn.Module) -> str:
    """What a policy lacks whose forward seems to want a state, in words."""
    if isinstance(policy, Recurrent) or "state" not in inspect.signature(policy.forward).parameters:
        return ""
    return "; a policy that remembers has a method initial_state(rows), too: docs/policies.md"


def _first_step(policy: Recurrent, blank: Tensor) -> object:
    """The answer of a policy that remembers, and a look at its states."""
    state: object = policy.initial_state(len(blank))
    if not isinstance(state, Tensor) or not state.ndim or len(state) != len(blank):
        raise MisfitError(
            f"remembers, but its initial_state({len(blank)}) gives {_shown(state)}; allowed: one tensor, "
            f"[{len(blank)}, ...]; torch.cat joins several"
        )
    answered: object = policy(blank, state)
    if not isinstance(answered, tuple) or len(answered) != 2:
        raise MisfitError(
            f"remembers, but its forward(observations, state) gives {_shown(answered)}; allowed: a tuple "
            "(outputs, next state)"
        )
    answer, after = answered
    if not isinstance(after, Tensor) or (after.shape, after.dtype) != (state.shape, state.dtype):
        raise MisfitError(
            f"remembers, but its state is {_shown(state)} at first and {_shown(after)} after a step; its "
            "forward(observations, state) gives (outputs, next state), in this order"
        )
    return answer


def _shown(given: object) -> str:
    """What somebody's module gave, in words."""
    if isinstance(given, Tensor):
        return f"a tensor {list(given.shape)} of {str(given.dtype).removeprefix('torch.')}"
    return f"a {type(given).__name__}"


def try_out(policy: nn.Module, another: nn.Module, spaces: Spaces, precision: str) -> None:
    """Play a policy in all the ways in which engines do; it has a founder's weights afterwards.

    Args:
        policy: what is to play.
        another: the same, constructed another time.
        spaces: what it sees and answers.
        precision: "float32" or "bfloat16", in which the experiment plays.

    Raises:
        MisfitError: if its answers do not fit the task, or depend on more than its weights and its episode.
    """
    _check_answers(policy, spaces, _ROWS)
    layout = Layout.of(policy)
    founder = torch.empty(layout.size)
    initialise(1, layout, founder)
    other = 0.01 - founder
    layout.write(founder, policy)
    seen, beside_others = _episodes(policy, spaces)
    before = _play(policy, seen)
    _play(policy, seen[::-1])
    _expect_same(before, _play(policy, seen), _KEEPS)
    _expect_same(before[:, :1], _play(policy, beside_others)[:, :1], _MIXES)
    copied = _play_copy(policy, layout, other, seen, "float32")
    layout.write(other, policy)
    layout.write(other, another)
    after = _play(policy, seen)
    changed = float((after - before).nan_to_num().abs().max())
    _expect_same(after, copied, _ESCAPES, _SHARE * changed)
    _expect_same(after, _play(another, seen), _VARIES, _SHARE * changed)
    layout.write(founder, policy)
    _check_answers(policy, spaces, 1)
    if precision == "bfloat16":  # integers are played by the contract, not by a copy
        _play_copy(policy, layout, founder, seen, precision)


def _check_answers(policy: nn.Module, spaces: Spaces, rows: int) -> None:
    """One row for each observation, and one output for each action."""
    wanted, answer = spaces.actions.outputs, look(policy, spaces, rows)
    if not isinstance(answer, Tensor) or tuple(answer.shape) != (rows, wanted):
        shape = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        raise MisfitError(
            f"answers {rows} observations with {shape}; "
            f"the task wants ({rows}, {wanted}): one output for each action"
        )


def _episodes(policy: nn.Module, spaces: Spaces) -> tuple[Episodes, Episodes]:
    """Episodes that the policy can see; and the first of them beside others."""
    reason = ""
    for values in _values(spaces):
        seen, others = ([values() for _ in range(_STEPS)] for _ in range(2))
        try:
            is_seen = bool(_play(policy, seen).isfinite().any())
        except Exception as error:  # a forward that looks values up in a table wants few of them
            reason = f"cannot see more than one observation after the other: {described(error)}"
            continue
        if is_seen:
            return seen, [torch.cat((own[:1], other[1:])) for own, other in zip(seen, others, strict=True)]
        reason = "answers nothing but NaN"
    raise MisfitError(reason)


def _values(spaces: Spaces) -> Iterator[Callable[[], Tensor]]:
    """Makers of observations, the same on every machine: of all kinds of values, then of fewer."""
    random = np.random.default_rng(0)
    shape, dtype = (_ROWS, *spaces.observation_shape), spaces.observation_dtype
    if dtype == np.uint8:
        yield lambda: torch.from_numpy(random.integers(0, 256, shape, np.uint8)).clone()
    else:
        yield lambda: torch.from_numpy(random.standard_normal(shape, np.float32)).clone()
    yield lambda: torch.from_numpy(random.integers(0, 2, shape).astype(dtype)).clone()
    yield lambda: torch.from_numpy(np.zeros(shape, dtype)).clone()


@torch.no_grad()
def _play(policy: nn.Module, episodes: Episodes) -> Tensor:
    """The answers of the policy itself, `[steps, rows, outputs]`."""
    if not isinstance(policy, Recurrent):
        return torch.stack([policy(seen) for seen in episodes])
    answers, state = [], policy.initial_state(_ROWS)
    for seen in episodes:
        answer, state = policy(seen, state)
        answers.append(answer)
    return torch.stack(answers)


def _play_copy(
    policy: nn.Module, layout: Layout, weights: Tensor, episodes: Episodes, precision: str
) -> Tensor:
    """The same of a copy with these weights, as engines play it."""
    active = np.ones((1, _ROWS), np.bool_)
    try:
        shape = tuple(episodes[0].shape[1:])
        forward = make_forward(policy, layout, shape, 1, _ROWS, DTYPES[precision], _CPU)
        forward.load(0, weights)
        return torch.stack([torch.from_numpy(forward(seen[None].numpy(), active)[0]) for seen in episodes])
    except Exception as error:  # whatever somebody's module does
        raise MisfitError(f"cannot play as a copy in {precision}: {described(error)}") from error


def _expect_same(right: Tensor, found: Tensor, complaint: str, more: float = 0.0) -> None:
    allowed = _ROUNDING * float(right.nan_to_num().abs().max()) + more
    if not torch.allclose(right, found, rtol=0.0, atol=allowed, equal_nan=True):
        raise MisfitError(complaint)
