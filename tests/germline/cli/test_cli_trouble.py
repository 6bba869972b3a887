"""What keeps an experiment from going on, and whom it set aside, on every screen."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from germline.cli import live
from germline.cli.archive import Archive
from germline.cli.beginning import Wanted
from germline.cli.errors import Exit
from germline.cli.fleet import MOST_RESTARTS, Child, Fleet
from germline.cli.folder import RunFolder
from germline.cli.output import Shown, experiment_json
from germline.cli.sitting import Sitting
from germline.cli.verdict import Judge
from germline.client import Experiment, Worker
from germline.spec import loads
from germline.v1 import experiment_pb2, spec_pb2

SPEC = loads('name = "a"\n[task.gym]\nid = "CartPole-v1"\n[policy]\nname = "mlp"\n[algorithm.ga]\n')
TROUBLE = "none of 2 workers can play it; the last says: [task] is no plug-in"
ASIDE = experiment_pb2.Unscored(name="00ff", reason="[Errno 2] no licence", attempts=3, worker="w-1")
LOOK = Experiment.of(
    experiment_pb2.Experiment(
        spec=SPEC,
        state=experiment_pb2.EXPERIMENT_STATE_RUNNING,
        trouble=TROUBLE,
        failed=1_234,
        set_aside=[ASIDE],
    )
)


def shown(what: RenderableType) -> str:
    screen = io.StringIO()
    Console(file=screen, width=200).print(what)
    return screen.getvalue()


def test_the_facts_say_what_the_trouble_is_and_who_was_set_aside() -> None:
    facts = shown(live.facts(LOOK))
    assert TROUBLE in facts
    assert "1,234 that could not be scored; the last, 00ff, failed 3 times" in facts
    assert "then on w-1: [Errno 2] no licence" in facts


def test_a_line_says_what_the_trouble_is_and_how_many_were_set_aside() -> None:
    line = live.line(LOOK)
    assert line.endswith(f"1,234 set aside; trouble: {TROUBLE}")


def test_workers_are_shown_with_what_they_cannot_play() -> None:
    worker = Worker.of(experiment_pb2.Worker(worker_id="w-1", trouble="cannot play a: no [such] plug-in"))
    assert "w-1: cannot play a: no [such] plug-in" in shown(live.worker_table([worker]))


def test_a_folder_remembers_trouble_and_who_was_set_aside(tmp_path: Path) -> None:
    (tmp_path / "experiment.json").write_text(json.dumps(experiment_json(LOOK)))
    there = Archive(RunFolder(tmp_path)).experiment()
    assert (there.trouble, there.failed, there.set_aside) == (TROUBLE, 1_234, LOOK.set_aside)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, ""),
        ({"note": "nothing is checked while only one worker plays it"}, "nothing is checked while only one"),
        (
            {"agreed": 1_234, "differed": 1, "frames": 98_765, "note": "1 result is in dispute"},
            "1,235 results by another worker: 1,234 agreed, 1 differed; 98,765 steps beside; 1 result is in",
        ),
    ],
)
def test_what_came_of_checks_is_shown_and_remembered(
    fields: dict[str, object], sentence: str, tmp_path: Path
) -> None:
    checked = look("RUNNING", 5, verification=experiment_pb2.Verification(**fields))  # type: ignore[arg-type]
    (tmp_path / "experiment.json").write_text(json.dumps(experiment_json(checked)))
    there = Archive(RunFolder(tmp_path)).experiment()
    assert there.verification == checked.verification
    assert sentence in shown(live.facts(there))
    assert ("checked" in shown(live.facts(there))) == bool(sentence)


def test_of_a_damaged_experiment_only_the_name_and_the_reason_are_shown() -> None:
    reason = "Snapshot of 3 bytes is damaged"
    damaged = experiment_pb2.Experiment(
        number=3,
        spec=spec_pb2.ExperimentSpec(name="ill"),
        state=experiment_pb2.EXPERIMENT_STATE_DAMAGED,
        trouble=reason,
    )
    look = Experiment.of(damaged)
    lines = [line.split(maxsplit=1) for line in shown(live.facts(look)).splitlines()]
    assert [[word.strip() for word in line] for line in lines] == [
        ["experiment", "ill, damaged"],
        ["trouble", reason],
    ]
    assert (experiment_json(look)["state"], experiment_json(look)["trouble"]) == ("damaged", reason)


def look(state: str, evaluations: int = 0, **fields: object) -> Experiment:
    message = experiment_pb2.Experiment(
        spec=SPEC,
        state=experiment_pb2.ExperimentState.Value(f"EXPERIMENT_STATE_{state}"),
        evaluations=evaluations,
        **fields,  # type: ignore[arg-type]
    )
    return Experiment.of(message)


@pytest.fixture
def sitting(tmp_path: Path) -> Sitting:
    children = [Child(name, "worker", (), tmp_path / "log", {}) for name in ("master", "w-1", "w-2")]
    fleet = Fleet(children[0], children[1:], tmp_path)
    wanted = Wanted(SPEC, "", asks_for_stop=False)
    return Sitting(RunFolder(tmp_path), wanted, fleet, Judge(0, "cpu", Shown.NOTHING), seconds=None)


def test_a_run_that_pauses_by_itself_ends_with_the_reason(
    sitting: Sitting, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sitting._is_stuck(look("PAUSED", 5, trouble="20 of the last 20 could not be scored"))
    assert sitting._exit(look("PAUSED", 5)) is Exit.FAILED
    assert "a is paused: 20 of the last 20 could not be scored; the logs are in" in capsys.readouterr().err


def test_a_run_that_nobody_can_play_ends_with_the_reason(
    sitting: Sitting, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not sitting._is_stuck(look("RUNNING", unable=1, trouble="the store is full"))
    assert sitting._exit(look("RUNNING", 5)) is Exit.OK
    assert sitting._is_stuck(look("RUNNING", unable=2, trouble="none of 2 workers can play it"))
    assert sitting._exit(look("RUNNING", 5)) is Exit.FAILED
    assert "a is running: none of 2 workers can play it" in capsys.readouterr().err


def test_a_run_that_somebody_pauses_waits_for_them(sitting: Sitting) -> None:
    assert not sitting._is_stuck(look("PAUSED"))
    assert sitting._exit(look("PAUSED", 5)) is Exit.OK


def test_a_run_of_which_nothing_was_ever_evaluated_fails(
    sitting: Sitting, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sitting._exit(look("COMPLETE", failed=2, set_aside=[ASIDE])) is Exit.FAILED
    assert (
        "a is complete: nothing was ever evaluated; 2 that could not be scored; the last, 00ff, failed 3 "
        "times, then on w-1: [Errno 2] no licence" in capsys.readouterr().err
    )
    assert sitting._exit(look("COMPLETE", 1)) is Exit.OK


def test_why_nothing_was_evaluated_is_said_as_far_as_it_is_known() -> None:
    assert live.why_nothing(look("STOPPED")) == "nothing was ever evaluated"
    assert live.why_nothing(look("PAUSED", trouble="no")) == "nothing was ever evaluated; no"
    assert live.why_nothing(look("RUNNING", 1)) == ""


def test_a_worker_that_does_some_good_is_started_again_however_often_it_dies(tmp_path: Path) -> None:
    children = [Child(name, "worker", (), tmp_path / "log", {}) for name in ("master", "w-1", "w-2")]
    fleet = Fleet(children[0], children[1:], tmp_path)
    for child in children:
        child.restarts = MOST_RESTARTS
    fleet.credit(["w-2", "a stranger"])
    assert [child.restarts for child in children] == [MOST_RESTARTS, MOST_RESTARTS, 0]
