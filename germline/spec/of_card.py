"""From a policy card to a spec under which its network plays as it did."""

from __future__ import annotations

from germline.card import PolicyCard
from germline.genome import format_id
from germline.normalisation import digest_in
from germline.spec.normalised import numbers_of
from germline.spec.problems import Problem, SpecError
from germline.spec.read import from_table
from germline.v1 import spec_pb2


def spec_of_card(card: PolicyCard, source: str) -> spec_pb2.ExperimentSpec:
    """A complete spec with the card's task, policy and precision.

    Args:
        card: of any version.
        source: what it is called in problems.

    Raises:
        SpecError: with everything that this build does not know of it; or if the numbers by which it
            normalises observations are not those that its genome names.
    """
    mutation = {"mutation": "low_rank", "rank": card.rank} if card.rank else {}
    table = {
        "name": "card",
        "task": card.task,
        "policy": card.policy,
        "evaluation": {"precision": card.precision, "episodes": card.episodes},
        "algorithm": {"ga": mutation},
    }
    spec = from_table(table, source, spec_format=card.version)
    _check_numbers(card, spec, source)
    return spec


def _check_numbers(card: PolicyCard, spec: spec_pb2.ExperimentSpec, source: str) -> None:
    """Hold the numbers against their digest, so that a mistyped digit is noticed."""
    named, numbers = digest_in(card.genome), numbers_of(spec)
    if named is None or (numbers is not None and numbers.digest == named):
        return
    found = "missing" if numbers is None else f"of digest {format_id(numbers.digest)}"
    text = f"is {found}, but the genome plays under {format_id(named)}; allowed: the numbers of that digest"
    raise SpecError([Problem("policy.normalisation", text)], source)
