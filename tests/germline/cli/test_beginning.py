"""Until when `germline run` goes on: what the person says now, what was said before, what the master has."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest

from germline.cli.beginning import Wanted, begin
from germline.cli.errors import CommandError, Exit
from germline.cli.folder import RunFolder
from germline.client import Client, Experiment, RefusedError
from germline.spec import complete, loads
from germline.v1 import experiment_pb2, spec_pb2
from germline.v1.spec_pb2 import Stop

SPEC = """
name = "one"
[task.function]
path = "germline.functions:sphere"
[policy]
name = "vector"
[algorithm.ga]
[stop]
"""


class Master:
    """What a run asks of a master: one experiment, which has 200 evaluations once it exists."""

    address = "127.0.0.1:1"

    def __init__(self) -> None:
        self.there: Experiment | None = None
        self.damage = ""

    def create(self, spec: spec_pb2.ExperimentSpec) -> Experiment:
        if self.damage:
            raise RefusedError("FAILED_PRECONDITION", self.damage)
        if self.there is None:
            now = datetime.now(UTC)
            message = experiment_pb2.Experiment(
                number=1, spec=spec, state=experiment_pb2.EXPERIMENT_STATE_RUNNING
            )
            self.there = replace(Experiment.of(message), created=now, evaluations=200)
        if self.there.spec != spec:
            raise RefusedError("ALREADY_EXISTS", "another spec has this name")
        return self.there

    def experiment(self, name: str) -> Experiment:
        assert self.there is not None
        return self.there

    def extend(self, name: str, stop: Stop, *, only: bool) -> Experiment:
        if stop.HasField("evaluations") and stop.evaluations <= 200:
            raise RefusedError("FAILED_PRECONDITION", "it has 200 already")
        there = self.experiment(name)
        spec = spec_pb2.ExperimentSpec()
        spec.CopyFrom(there.spec)
        if only:
            spec.ClearField("stop")
        spec.stop.MergeFrom(stop)
        self.there = replace(there, spec=complete(spec))
        return self.there


@pytest.fixture
def master() -> Master:
    return Master()


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def run(master: Master, folder: RunFolder, stop: str, evaluations: int | None = None) -> Stop:
    """The stop conditions with which a run goes on whose spec says this, and its command line that."""
    wanted = Wanted.of(loads(SPEC + stop), evaluations, "the spec")
    return begin(cast(Client, master), folder, wanted).spec.stop


def test_what_the_person_changed_in_the_spec_is_done(master: Master, folder: RunFolder) -> None:
    assert run(master, folder, "evaluations = 300") == Stop(evaluations=300)
    assert run(master, folder, "evaluations = 600\nfitness = 5.0") == Stop(evaluations=600, fitness=5.0)
    assert run(master, folder, "frames = 9") == Stop(frames=9)
    assert run(master, folder, "evaluations = 300") == Stop(evaluations=300)


def test_evaluations_of_the_command_line_are_done_whatever_the_spec_says(
    master: Master, folder: RunFolder
) -> None:
    assert run(master, folder, "evaluations = 300") == Stop(evaluations=300)
    assert run(master, folder, "evaluations = 300", 450) == Stop(evaluations=450)


def test_an_unchanged_spec_does_not_take_back_what_the_run_was_told_since(
    master: Master, folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    run(master, folder, "evaluations = 300", 450)
    assert run(master, folder, "evaluations = 300") == Stop(evaluations=450)
    assert "going on until 450 evaluations, as this run was told before" in capsys.readouterr().err
    master.extend("one", Stop(fitness=7.0), only=True)
    assert run(master, folder, "evaluations = 300") == Stop(fitness=7.0)


def test_a_folder_of_an_earlier_build_takes_the_spec_at_its_word(master: Master, folder: RunFolder) -> None:
    run(master, folder, "evaluations = 300")
    (folder.path / "run.json").write_text('{"master": "127.0.0.1:1", "experiment": "one"}')
    assert run(master, folder, "evaluations = 600") == Stop(evaluations=600)


def test_an_end_that_is_behind_is_refused_and_not_remembered(master: Master, folder: RunFolder) -> None:
    run(master, folder, "evaluations = 300")
    for _ in range(2):
        with pytest.raises(CommandError, match="it has 200 already") as error:
            run(master, folder, "evaluations = 100")
        assert error.value.code is Exit.USAGE
    assert run(master, folder, "evaluations = 300") == Stop(evaluations=300)


def test_another_search_is_refused_whatever_its_end(master: Master, folder: RunFolder) -> None:
    run(master, folder, "evaluations = 300")
    other = Wanted.of(loads(SPEC.replace("[algorithm.ga]", "[algorithm.ga]\npower = 0.5")), None, "the spec")
    with pytest.raises(CommandError, match=r"with another spec(.|\n)*here:  power = 0\.5"):
        begin(cast(Client, master), folder, other)


def test_a_run_that_is_damaged_is_left_as_it_is_with_a_way_out(master: Master, folder: RunFolder) -> None:
    master.damage = "an experiment of this name is damaged"
    with pytest.raises(CommandError, match=f"is damaged; move {folder.path} away, or use --folder") as error:
        run(master, folder, "evaluations = 300")
    assert error.value.code is Exit.REFUSED
    assert not list(folder.path.iterdir())
