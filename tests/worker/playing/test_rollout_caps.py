"""An evaluation's cap cuts its own episodes, with the step that reaches it, and nobody else's."""

from collections.abc import Hashable

import pytest
import torch

from germline.genome import Genome
from tests.worker.playing.test_rollout_engine import Countdown, Names, finish
from worker.playing.engine import Engine, Evaluation, Played
from worker.playing.engines import build_engine
from worker.playing.playable import EngineSettings
from worker.playing.rollout import Rollout

STEP = 4  # frames of a Countdown's step


def countdown(slots: int, rows: int) -> Rollout[Hashable]:
    return Rollout(Countdown, lambda count: Names(count, rows), slots)


@pytest.mark.parametrize("cap", [3 * STEP, 3 * STEP - 1, 2 * STEP + 1])
def test_an_episode_is_cut_with_the_step_that_reaches_the_cap(cap: int) -> None:
    engine = countdown(slots=1, rows=1)
    engine.submit(Evaluation("cut", Genome.founder(5), (9,), cap_frames=cap))
    played = finish(engine)["cut"]
    assert (played.returns, played.frames, played.steps, played.cut) == ((15.0,), 3 * STEP, 3, 1)


def test_an_episode_that_ends_by_itself_is_not_cut_even_at_the_cap() -> None:
    engine = countdown(slots=1, rows=2)
    engine.submit(Evaluation("some", Genome.founder(1), (2, 3, 4, 9), cap_frames=3 * STEP))
    played = finish(engine)["some"]
    assert (played.returns, played.cut) == ((2.0, 3.0, 3.0, 3.0), 2)


def test_each_episode_of_a_row_has_the_whole_cap() -> None:
    engine = countdown(slots=1, rows=1)
    engine.submit(Evaluation("in turn", Genome.founder(1), (9, 9, 9), cap_frames=3 * STEP))
    assert finish(engine)["in turn"].returns == (3.0, 3.0, 3.0)


def test_beside_a_capped_evaluation_whole_games_are_played() -> None:
    engine = countdown(slots=2, rows=1)
    engine.submit(Evaluation("cut", Genome.founder(1), (9,), cap_frames=STEP))
    engine.submit(Evaluation("whole", Genome.founder(1), (9,)))
    played = finish(engine)
    assert (played["cut"].returns, played["cut"].cut) == ((1.0,), 1)
    assert (played["whole"].returns, played["whole"].cut) == ((9.0,), None)


def test_a_game_cut_by_its_evaluation_is_the_game_cut_by_the_task() -> None:
    """So a run that shortened the task and one that caps its children choose by the same numbers."""

    def play(cap_frames: int, **task: object) -> dict[Hashable, Played[Hashable]]:
        settings = EngineSettings("atari", "motion", {"game": "pong", **task}, precision="int8")
        engine: Engine[Hashable] = build_engine(settings, device=torch.device("cpu"), slots=2)
        for number in range(2):
            engine.submit(Evaluation(number, Genome.founder(number), (31, 5), cap_frames=cap_frames))
        return finish(engine)

    by_task, by_cap = play(0, max_frames=400), play(400)
    assert {key: played[:4] for key, played in by_task.items()} == {
        key: played[:4] for key, played in by_cap.items()
    }
    assert [played.cut for played in by_cap.values()] == [2, 2]
