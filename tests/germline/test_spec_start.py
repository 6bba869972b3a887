"""An evolution strategy's spec may begin with a policy card: the genome travels, not the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from germline.card import PolicyCard, read_line, write_card
from germline.genome import Genome, Mutation, float32
from germline.spec import SpecError, complete, load, loads, start_text, to_toml
from germline.toml import Table

GENOME = Genome.founder(4).child(Mutation(2, 0.25)).child(Mutation(3, float32(0.02), 2))
MLP: Table = {"name": "mlp", "hidden": [8]}
SPEC = """
name = "polish"
[task.gym]
id = "CartPole-v1"
[policy]
name = "mlp"
hidden = [8]
[algorithm.eggroll]
start = "{start}"
"""


def written(folder: Path, start: str, policy: Table = MLP) -> Path:
    """A spec beside a folder that holds a card."""
    card = PolicyCard({"gym": {"id": "CartPole-v1"}}, policy, "float32", GENOME)
    (folder / "runs").mkdir(exist_ok=True)
    (folder / "runs" / "champion.toml").write_text(write_card(card))
    path = folder / "polish.toml"
    path.write_text(SPEC.format(start=start))
    return path


def test_a_card_is_found_from_the_specs_folder_and_its_genome_travels(tmp_path: Path) -> None:
    spec = load(written(tmp_path, "runs/champion.toml"))
    assert read_line(spec.algorithm.eggroll.start) == GENOME
    assert loads(to_toml(spec)) == spec == complete(spec)
    absolute = load(written(tmp_path, str(tmp_path / "runs" / "champion.toml")))
    assert absolute == spec


def test_a_genome_may_stand_in_the_spec_itself(tmp_path: Path) -> None:
    assert load(written(tmp_path, start_text(GENOME))) == load(written(tmp_path, "runs/champion.toml"))


@pytest.mark.parametrize("policy", [{"name": "mlp", "hidden": [9]}, {"name": "mlp"}])
def test_a_card_of_another_policy_is_refused(tmp_path: Path, policy: Table) -> None:
    with pytest.raises(SpecError, match=r"algorithm\.eggroll\.start .*whose policy is another"):
        load(written(tmp_path, "runs/champion.toml", policy))


@pytest.mark.parametrize("start", ["runs/nobody.toml", "polish.toml"])
def test_a_file_that_is_no_card_is_refused_by_name(tmp_path: Path, start: str) -> None:
    with pytest.raises(SpecError, match=rf"{start}', which is no policy card"):
        load(written(tmp_path, start))


LONG = "0000000000004 @0.5 " + 99 * "0000000000004 "


@pytest.mark.parametrize("start", ["", "champion.json", "0000000000004 0000000000004", LONG + "mistyped"])
def test_a_text_that_is_no_genome_is_refused_and_shown_in_short(start: str) -> None:
    with pytest.raises(SpecError, match=r"algorithm\.eggroll\.start .*a genome as cards spell it") as error:
        loads(SPEC.format(start=start))
    assert len(str(error.value)) < 500


def test_a_card_that_only_a_file_can_name_is_refused_where_there_is_no_folder() -> None:
    with pytest.raises(SpecError, match="the file of a policy card"):
        loads(SPEC.format(start="runs/champion.toml"))
