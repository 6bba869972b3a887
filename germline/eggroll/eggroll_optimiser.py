"""A population through one batch: `step(inputs, loss_fn, targets)`; or its weights, to play elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from germline.eggroll import losses
from germline.eggroll.ascent import Optimiser
from germline.eggroll.batch_player import BatchPlayer, gathered
from germline.eggroll.evolution import Evolution, Told, TorchOptimiser
from germline.eggroll.forward_choice import Mode
from germline.eggroll.settings import Settings
from germline.eggroll.space import Freeze
from germline.pairs import Member


class EggrollOptimiser(Evolution):
    """An evolution that plays its own population on batches; see :meth:`step`."""

    def __init__(
        self,
        network: nn.Module,
        settings: Settings,
        *,
        optimiser: Optimiser | TorchOptimiser | str = "sgd",
        freeze: Freeze = (),
        forward: Mode = "auto",
        chunk_pairs: int | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """As :class:`Evolution`, and how to play.

        Args:
            network: rows first; each row is treated by itself.
            settings: see :class:`Settings`.
            optimiser: see :class:`Evolution`.
            freeze: see :meth:`germline.eggroll.space.Space.of`.
            forward: ``low_rank``; ``materialised``, for any module, with each member's weights written out;
                or ``auto``, which takes the first where one pair, tried both ways, agrees with the second.
            chunk_pairs: pairs in one pass; None chooses by the batch. Memory depends on it.
            dtype: of the forward pass, float32 or bfloat16; the centre and the update do not depend on it.

        Raises:
            ValueError: the shaping is ``weighted_ranks``, for a loss is no ranking.
        """
        settings.expect_raw_fitness()
        super().__init__(network, settings, optimiser=optimiser, freeze=freeze)
        self._player = BatchPlayer(network, self.space, forward=forward, chunk=chunk_pairs, dtype=dtype)

    def step(self, inputs: Tensor, loss_fn: losses.LossFn, targets: Tensor) -> Told:
        """One epoch: every member sees the batch, its fitness is minus its loss.

        Args:
            inputs: `[batch, ...]`, the same for all members.
            loss_fn: of (outputs, targets) of one member, a scalar; see :func:`losses.of_members`.
            targets: `[batch, ...]`.

        Returns:
            What the scores say, before the update.
        """
        return self.tell(self.evaluate(inputs, loss_fn, targets))

    @torch.no_grad()
    def evaluate(self, inputs: Tensor, loss_fn: losses.LossFn, targets: Tensor) -> npt.NDArray[np.float64]:
        """The fitness of every member on a batch, `[members]`, in the order of :meth:`ask`; nothing moves."""
        together = gathered(self.outputs(inputs))
        scores = [-losses.of_members(loss_fn, out.float(), targets).double() for out in together]
        return torch.cat(scores).cpu().numpy()

    def outputs(self, inputs: Tensor) -> Iterator[Tensor]:
        """What the members say to the same inputs, chunk by chunk: `[members of the chunk, batch, ...]`."""
        return self._player.outputs(inputs, self.key(), self.settings.pairs, self.sigma, self.draw())

    def forward(self, rows: Tensor) -> Tensor:
        """Rows of the members' own, `[members * batch, ...]` -> `[members * batch, ...]`, member by member.

        The members are those of :meth:`ask`. For a policy that acts step after step, see
        :class:`germline.eggroll.LowRankForward`, which binds its noise once.
        """
        return self._player.forward(rows, self.key(), self.settings.pairs, self.sigma)

    def stacked_parameters(self) -> dict[str, Tensor]:
        """Every member's exact weights by name, `[members, *shape]`, as `torch.func.vmap` wants them."""
        rows = torch.empty(2 * self.settings.pairs, self.space.size, device=self.centre.device)
        for row, member in zip(rows, self.ask(), strict=True):
            row.copy_(self.weights(member))
        return self.space.views(rows)

    def parameters_of(self, member: Member) -> dict[str, Tensor]:
        """One member's exact weights by name."""
        return self.space.views(self.weights(member))

    def prepare_population(self) -> list[dict[str, Tensor]]:
        """For each member what `torch.func.functional_call` wants: its weights, frozen ones, and buffers."""
        fixed = {**dict(self.network.named_parameters()), **dict(self.network.named_buffers())}
        stacked = self.stacked_parameters()
        each = range(2 * self.settings.pairs)
        return [{**fixed, **{name: values[i] for name, values in stacked.items()}} for i in each]
