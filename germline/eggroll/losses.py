"""The loss of every member at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

LossFn = Callable[[Tensor, Tensor], Tensor]

_MEANS_OF_ROWS: tuple[LossFn, ...] = (functional.cross_entropy, functional.mse_loss, functional.l1_loss)


def of_members(loss_fn: LossFn, outputs: Tensor, targets: Tensor) -> Tensor:
    """``loss_fn(outputs[i], targets)`` for every member i: `[members, batch, ...]` -> `[members]`.

    The common losses, in their plain form, are means over rows, and are computed for all rows in one go; any
    other goes through `torch.func.vmap`, or member by member where that cannot follow it.

    Raises:
        ValueError: if it gives anything but a scalar.
    """
    plain = _plain(loss_fn)
    if plain is not None and _means_of_equal_rows(plain, outputs, targets):
        rows = targets.expand(len(outputs), *targets.shape).flatten(0, 1)
        losses: Tensor = plain(outputs.flatten(0, 1), rows, reduction="none")
        return losses.reshape(len(outputs), -1).mean(1)
    members = _one_for_each(loss_fn, outputs, targets)
    if members.shape != outputs.shape[:1]:
        raise ValueError(f"loss_fn gave shape {tuple(members.shape[1:])} for one member; allowed: a scalar")
    return members


def _one_for_each(loss_fn: LossFn, outputs: Tensor, targets: Tensor) -> Tensor:
    from torch.func import vmap  # noqa: PLC0415 - takes 40 MB that the common losses do without

    try:
        members: Tensor = vmap(loss_fn, in_dims=(0, None))(outputs, targets)
    except (RuntimeError, ValueError):  # a loss that looks at values, such as by item() or if
        return torch.stack([torch.as_tensor(loss_fn(out, targets)) for out in outputs])
    return members


def _means_of_equal_rows(plain: Callable[..., Tensor], outputs: Tensor, targets: Tensor) -> bool:
    """Whether each member's loss is a mean over the same number of rows, nothing broadcast or ignored."""
    if plain is functional.cross_entropy:
        labels = not targets.is_floating_point() and outputs.shape[1:2] + outputs.shape[3:] == targets.shape
        return labels and not bool((targets < 0).any())
    return outputs.shape[1:] == targets.shape


def _plain(loss_fn: LossFn) -> Callable[..., Tensor] | None:
    """The function that a loss is in its plain form; None for any other."""
    if loss_fn in _MEANS_OF_ROWS:
        return loss_fn
    if type(loss_fn) is nn.MSELoss and loss_fn.reduction == "mean":
        return functional.mse_loss
    if type(loss_fn) is nn.CrossEntropyLoss and loss_fn.reduction == "mean":
        bare = loss_fn.weight is None and not loss_fn.label_smoothing and loss_fn.ignore_index < 0
        return functional.cross_entropy if bare else None
    return None
