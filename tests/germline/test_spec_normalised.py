"""What a spec says of normalised observations, and the spec of one policy of a run that learns them."""

import re
from dataclasses import replace

import pytest

from germline.card import PolicyCard, parse_card, write_card
from germline.genome import Genome
from germline.normalisation import Normalisation, marked
from germline.spec import SpecError, loads, spec_of_card, to_toml
from germline.spec.normalised import numbers_of, played_under
from germline.spec.travelling import for_workers

PENDULUM = """
name = "a"
[task.gym]
id = "Pendulum-v1"
[policy]
name = "mlp"
{policy}
[algorithm.ga]
{ga}
"""
NUMBERS = Normalisation((0.10000000149011612, -3.0, 0.0), (1.0, 2.0, 9.999999747378752e-05))


def spec(policy: str = "normalise_observations = true", ga: str = "") -> str:
    return PENDULUM.format(policy=policy, ga=ga)


def test_one_policy_of_a_run_has_its_numbers_and_learns_nothing() -> None:
    run = loads(spec())
    own = played_under(run, NUMBERS)
    assert not own.policy.HasField("normalise_observations")
    assert numbers_of(loads(to_toml(own))) == NUMBERS, "to the last digit"
    assert run == loads(spec()), "the run's own spec stays"


def test_one_that_sees_what_the_task_shows_has_none() -> None:
    own = played_under(loads(spec()), None)
    assert own == loads(spec(""))


def test_a_run_that_does_not_normalise_is_as_it_was() -> None:
    plain = loads(spec(""))
    assert played_under(plain, None) is plain
    assert "normalis" not in to_toml(plain)


def test_a_worker_of_an_earlier_build_is_told_so_that_it_can_refuse() -> None:
    assert for_workers(loads(spec())).policy.normalise_observations


def test_numbers_are_rounded_as_networks_see_them() -> None:
    given = loads(spec("[policy.normalisation]\nmean = [0.1]\ndeviation = [2]"))
    assert numbers_of(given) == Normalisation((0.10000000149011612,), (2.0,))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (spec(ga="parents = 0"), "algorithm.ga.parents is 0; allowed: 1 or more, where observations"),
        (
            spec().replace("[task.gym]\nid", '[task.atari]\ngame = "pong"\n#'),
            "policy.normalise_observations is given",
        ),
        (
            spec("normalise_observations = true\n[policy.normalisation]\nmean = [1.0]\ndeviation = [1.0]"),
            "leave one of them out",
        ),
        (
            spec("[policy.normalisation]\nmean = [1.0, 2.0]\ndeviation = [1.0]"),
            "has 2 means and 1 deviations",
        ),
        (spec("[policy.normalisation]"), "has 0 means and 0 deviations"),
        (
            spec("[policy.normalisation]\nmean = [1.0]\ndeviation = [0.0]"),
            "policy.normalisation.deviation is",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(text: str, problem: str) -> None:
    with pytest.raises(SpecError, match=re.escape(problem)):
        loads(text)


def test_a_card_holds_the_numbers_that_its_genome_names() -> None:
    card = PolicyCard(
        task={"gym": {"id": "Pendulum-v1"}},
        policy={"name": "mlp", "normalisation": {"mean": [*NUMBERS.mean], "deviation": [*NUMBERS.deviation]}},
        precision="float32",
        genome=marked(Genome.founder(7), NUMBERS),
    )
    again = parse_card(write_card(card))
    assert again == card
    assert numbers_of(spec_of_card(again, "it")) == NUMBERS
    wrong = parse_card(write_card(card).replace("-3.0", "-3.5"))
    for other in (wrong, replace(card, policy={"name": "mlp"})):
        with pytest.raises(SpecError, match=r"policy.normalisation is .* the genome plays under"):
            spec_of_card(other, "it")
