"""From a policy card to a spec under which its network plays as it did."""

from __future__ import annotations

from germline.card import PolicyCard
from germline.spec.read import from_table
from germline.v1 import spec_pb2


def spec_of_card(card: PolicyCard, source: str) -> spec_pb2.ExperimentSpec:
    """A complete spec with the card's task, policy and precision.

    Args:
        card: of any version.
        source: what it is called in problems.

    Raises:
        SpecError: with everything that this build does not know of it.
    """
    mutation = {"mutation": "low_rank", "rank": card.rank} if card.rank else {}
    table = {
        "name": "card",
        "task": card.task,
        "policy": card.policy,
        "evaluation": {"precision": card.precision, "episodes": card.episodes},
        "algorithm": {"ga": mutation},
    }
    return from_table(table, source, spec_format=card.version)
