"""A sweep from a program: its trials best first, as objects, as a table, and as a notebook shows them."""

from pathlib import Path

import pytest

import germline
from germline.face.sweep import Sweep

SPEC = """
name = "sphere"
seed = 5
[task.function]
path = "worker.tasks.function:noisy_sphere"
dimension = 5
[policy]
name = "vector"
[algorithm.ga]
window = 20
parents = 5
power = 0.2
candidates = 2
validation_episodes = 3
[stop]
evaluations = 60
"""
POWER = "algorithm.ga.power"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    folder = tmp_path_factory.mktemp("sweeps") / "sphere"
    over = {POWER: [0.0001, 0.2]}
    return germline.sweep(SPEC, over, replicates=2, workers=1, folder=folder, seed=7, progress=False)


def test_trials_come_best_first_with_what_they_changed(found: Sweep) -> None:
    assert sorted(trial.settings[POWER] for trial in found) == [0.0001, 0.2]  # type: ignore[type-var]
    values = [trial.value for trial in found]
    assert values == sorted(values, reverse=True)  # type: ignore[type-var]
    assert found.best is found.trials[0]
    assert len(found) == 2
    assert all(len(trial.values) == 2 for trial in found)
    assert [germline.Spec.load(folder / "spec.toml").seed for folder in found.best.folders] == [7, 8]
    assert found.best.policy.genome is not None


def test_it_is_a_table_for_pandas_and_for_a_notebook(found: Sweep) -> None:
    table = found.frame()
    assert list(table.columns) == ["trial", POWER, "value"]
    assert table["value"].tolist() == [trial.value for trial in found]
    shown = found._repr_html_()
    assert shown.count("<tr>") == 3
    assert f"<th>{POWER}</th>" in shown
    assert "2 trials" in repr(found)


def test_the_same_sweep_in_the_same_folder_has_nothing_left_to_do(found: Sweep) -> None:
    over = {POWER: [0.0001, 0.2]}
    again = germline.sweep(SPEC, over, replicates=2, workers=1, folder=found.folder, seed=7, progress=False)
    assert again == found


def test_what_is_no_sweep_is_a_sentence(tmp_path: Path) -> None:
    def refused(problem: str, over: dict[str, list[object] | str], **options: int) -> None:
        with pytest.raises(germline.GermlineError, match=problem):
            germline.sweep(SPEC, over, folder=tmp_path / "none", progress=False, **options)  # type: ignore[arg-type]

    refused("over algorithm.ga.power has no values", {POWER: []})
    refused("over algorithm.ga.power has a range, which no grid covers", {POWER: "0.1..0.2"})
    refused("random and optuna exclude each other", {POWER: "0.1..0.2"}, random=2, optuna=2)
    assert not (tmp_path / "none").exists()
