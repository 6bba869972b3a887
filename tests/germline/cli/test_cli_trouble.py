"""What keeps an experiment from going on, and whom it set aside, on every screen."""

import io
import json
from pathlib import Path

from rich.console import Console, RenderableType

from germline.cli import live
from germline.cli.folder import Archive, RunFolder
from germline.cli.output import experiment_json
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
