"""A policy card is text that gives the same network back, or is refused with the field's name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from germline.card import (
    PolicyCard,
    Score,
    parse_card,
    read_line,
    read_seed,
    spell,
    spell_power,
    spell_seed,
    write_card,
)
from germline.genome import Genome, Mutation, float32
from germline.toml import Table, TomlValue

GOLDEN = Path(__file__).parents[1] / "golden"

POWER = float32(0.002)
GENOME = Genome.founder(2**64 - 1).extended([Mutation(1, POWER), Mutation(2, POWER), Mutation(3, 0.5, 4)])
CARD = PolicyCard(
    task={"atari": {"game": "frostbite", "protocol": "uber2018", "max_frames": 20_000}},
    policy={"name": "dqn2015", "hidden": [64, 64], "arguments": {"odd key": 'quoted "text"\n\x7f'}},
    precision="float32",
    genome=GENOME,
    score=Score(mean=3_720.5, episodes=30, interval=(3_500.25, 3_940.75)),
    experiment="frostbite-ga",
    episodes=4,
    rank=1,
)
FIRST_CARD = replace(CARD, version=1, episodes=1, rank=0)
SECOND_CARD = replace(CARD, version=2)

seeds = st.integers(0, 2**64 - 1)
powers = st.floats(-(2.0**100), 2.0**100, width=32).map(lambda power: power + 0.0)
lines = st.lists(st.builds(Mutation, seeds, powers, st.sampled_from([0, 0, 1, 255])), max_size=20)
plain = st.text(st.characters(exclude_categories=["Cs"]))
leaves = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | plain
values: st.SearchStrategy[TomlValue] = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(plain, inner, max_size=3),
    max_leaves=6,
)
tables: st.SearchStrategy[Table] = st.dictionaries(plain, values, max_size=4)


def test_a_card_is_read_as_it_was_written() -> None:
    assert parse_card(write_card(CARD)) == CARD


def test_a_card_without_score_or_experiment_is_a_card() -> None:
    card = PolicyCard({"function": {}}, {"name": "vector"}, "bfloat16", Genome.founder(0))
    assert parse_card(write_card(card)) == card


def test_a_score_says_which_kernels_played_it() -> None:
    card = replace(CARD, score=Score(1.0, 1, kernels=("0a1b2c3d", "fc7d6c66")))
    assert parse_card(write_card(card)) == card
    with pytest.raises(ValueError, match=r"score.kernels is \[3\]; it has the names of families"):
        parse_card(write_card(card).replace('["0a1b2c3d", "fc7d6c66"]', "[3]"))


@given(tables, tables, plain, seeds, lines)
def test_any_task_policy_and_genome_survive_the_text(
    task: Table, policy: Table, precision: str, init_seed: int, line: list[Mutation]
) -> None:
    card = PolicyCard(task, policy, precision, Genome.founder(init_seed).extended(line))
    assert parse_card(write_card(card)) == card


@pytest.mark.parametrize("card", [FIRST_CARD, SECOND_CARD, CARD], ids=lambda card: f"v{card.version}")
def test_a_frozen_card_of_each_version_still_gives_its_network(card: PolicyCard) -> None:
    text = (GOLDEN / f"card-v{card.version}.toml").read_text()
    assert parse_card(text) == card
    assert write_card(card) == text


def test_equal_powers_are_written_once_and_seeds_seven_a_line() -> None:
    genome = Genome.founder(0).extended(Mutation(seed, POWER) for seed in range(100))
    text = list(spell(genome))
    assert text[1] == "@0.002"
    assert len(text) == 2 + 15
    assert len("\n".join(text)) < 15 * 100


@given(seeds)
def test_a_seed_is_read_in_either_case(seed: int) -> None:
    assert read_seed(spell_seed(seed)) == read_seed(spell_seed(seed).upper()) == seed


@given(powers)
def test_a_power_is_spelled_so_that_its_float32_comes_back(power: float) -> None:
    assert float32(float(spell_power(power))) == power


@pytest.mark.parametrize(("power", "text"), [(0.002, "0.002"), (0.5, "0.5"), (1e-6, "1e-06")])
def test_a_power_is_spelled_as_short_as_possible(power: float, text: str) -> None:
    assert spell_power(float32(power)) == text


def change(old: str, new: str) -> Callable[[str], str]:
    def changed(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return changed


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (change("fzzzzzzzzzzzz", "fzzzzzzzzzzzy"), "a digit is wrong"),
        (change("@0.002", "@0.003"), "a digit is wrong"),
        (change("@0.5:4", "@0.5:5"), "a digit is wrong"),
        (change('id = "', 'id = "0'), "16 hexadecimal digits"),
        (change("0000000000001 ", ""), "genome.mutations is 3, but the line has 2"),
        (change("0000000000001", "000000000000u"), "'000000000000u'; a seed is 13 digits"),
        (change("0000000000001", "g000000000001"), "'g000000000001'; a seed is 13 digits"),
        (change("0000000000001", "001"), "'001'; a seed is 13 digits"),
        (change("@0.002\n", ""), "before any power"),
        (change("@0.002", "@lots"), "'@lots'; a power is written like"),
        (change("@0.002", "@1e99"), "'@1e99'; a power is written like"),
        (change("@0.002", "@nan"), "'@nan'; a power is written like"),
        (change("@0.5:4", "@0.5:256"), "'@0.5:256'; a power is written like"),
        (change("card = 3", "card = 4"), "card is 4; this build reads cards of versions 1 to 3"),
        (change("card = 3\n", ""), "card is missing"),
        (change("card = 3", "card = 1"), "the card has unknown fields: episodes, rank"),
        (change("episodes = 4", "episodes = 0"), "episodes is 0; allowed: 1 or more"),
        (change("episodes = 4\n", ""), "episodes is missing"),
        (change("rank = 1", "rank = -1"), "rank is -1; allowed: 0 or more"),
        (change("noise_version = 1", "noise_version = 2"), "noise_version is 2"),
        (change('precision = "float32"', "precision = 32"), "precision is 32, which has the wrong type"),
        (lambda text: text.replace("[policy", "[politics"), "policy is missing"),
        (change("[policy]", "[extra]\n[policy]"), "the card has unknown fields: extra"),
        (change("mean = 3720.5", "mean = nan"), "score has mean nan"),
        (change("episodes = 30", "episodes = true"), "score.episodes is True"),
        (change("interval = [3500.25, 3940.75]", "interval = [1]"), "score.interval is"),
        (change("episodes = 30", "episodes = 30\nluck = 1"), "score has unknown fields: luck"),
        (change("mutations = 3", 'mutations = "3"'), "genome.mutations is '3'"),
        (lambda _text: "}", "the card is not TOML"),
    ],
)
def test_a_broken_card_is_refused_with_the_fields_name(broken: Callable[[str], str], says: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as refusal:
        parse_card(broken(write_card(CARD)))
    assert says in str(refusal.value)


def test_a_card_cut_anywhere_is_refused() -> None:
    text = write_card(CARD)
    for length in range(len(text) - len('"""\n')):
        with pytest.raises(ValueError, match=r"missing|TOML|digit|empty"):
            parse_card(text[:length])


def test_an_empty_line_is_refused() -> None:
    with pytest.raises(ValueError, match="begins with the initialisation seed"):
        read_line("")
