"""The starts of a protocol are what the emulator makes of their seeds."""

import numpy as np
import pytest

from germline.algorithms.ga import GeneticAlgorithm
from germline.protocol_starts import STARTS
from germline.spec import SpecError, loads
from germline.spec.convert import ga_settings
from master.experiments.settings import ExperimentSettings
from worker.playing.engine_builder import engine_settings
from worker.tasks.atari import AtariTask
from worker.tasks.protocols import PROTOCOLS

SPEC = """
name = "starts"
[task.atari]
game = "pong"
protocol = "{protocol}"
[policy]
name = "dqn2015"
[evaluation]
episodes = {episodes}
{more}
[algorithm.ga]
candidates = {candidates}
validation_share = {share}
"""


def spec_text(
    protocol: str = "uber2018", episodes: int = 1, more: str = "", candidates: int = 4, share: float = 0.2
) -> str:
    return SPEC.format(protocol=protocol, episodes=episodes, more=more, candidates=candidates, share=share)


def test_the_thirty_starts_of_uber2018_are_thirty_different_beginnings() -> None:
    """By the frames that the console has shown when the agent acts first: in order, one more each time."""
    protocol, starts = PROTOCOLS["uber2018"], STARTS["uber2018"]
    assert len(starts) == protocol.noop_max - protocol.noop_min + 1
    lanes = AtariTask(game="seaquest", protocol="uber2018").make_lanes(1)
    noops = []
    for seed in starts:
        lanes.begin(np.array([0]), [seed])
        noops.append(lanes._emulators[0]._ale.getEpisodeFrameNumber())
    lanes.close()
    assert noops == list(range(noops[0], noops[0] + len(starts)))


def test_only_protocols_without_sticky_actions_have_finitely_many_starts() -> None:
    finite = {name for name, protocol in PROTOCOLS.items() if not protocol.repeat_action_probability}
    assert set(STARTS) == finite


def test_a_spec_enumerates_starts_where_there_are_finitely_many() -> None:
    assert ga_settings(loads(spec_text())).starts == STARTS["uber2018"]
    assert ga_settings(loads(spec_text("machado2018"))).starts == ()
    assert ga_settings(loads(spec_text(more='starts = "seeds"'))).starts == ()
    assert ga_settings(loads(spec_text(candidates=0, share=0.0))).starts == ()


def test_an_experiment_made_before_there_was_a_choice_goes_on_with_seeds() -> None:
    spec = loads(spec_text())
    spec.evaluation.ClearField("starts")
    settings = ExperimentSettings.stored(spec.SerializeToString())
    search = settings.make_search()
    assert isinstance(search.algorithm, GeneticAlgorithm)  # type: ignore[attr-defined]
    assert search.algorithm.settings.starts == ()  # type: ignore[attr-defined]


def test_an_experiment_made_before_policies_had_versions_keeps_the_first() -> None:
    spec = loads(spec_text())
    spec.policy.name = "uber2018"
    stored = ExperimentSettings.stored(spec.SerializeToString())
    assert stored.spec.policy.version == engine_settings(spec).policy_version == 1
    assert ExperimentSettings.of(spec).spec.policy.version == 2


def test_more_episodes_than_starts_are_refused_by_name() -> None:
    with pytest.raises(SpecError, match=r"evaluation\.episodes is 31; allowed: at most 30, the starts"):
        loads(spec_text(episodes=31))
    assert loads(spec_text(episodes=31, more='starts = "seeds"')).evaluation.episodes == 31
