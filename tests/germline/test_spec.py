"""A spec file becomes a complete message, or one error that says everything that is wrong with it."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf.message import Message

from germline.spec import SpecError, complete, explain, ga_settings, load, loads, to_toml
from germline.v1 import spec_pb2
from worker.plugins import values

EXPERIMENTS = sorted((Path(__file__).parents[2] / "experiments").glob("*.toml"))

GOOD = """
name = "pong"
[task.atari]
game = "pong"
[policy]
name = "dqn2015"
[algorithm.ga]
"""


def problems_of(text: str) -> dict[str, str]:
    with pytest.raises(SpecError) as caught:
        loads(text)
    return {problem.path: problem.text for problem in caught.value.problems}


def test_defaults_are_filled_in() -> None:
    spec = loads(GOOD)
    assert spec.task.atari.protocol == "uber2018"
    assert spec.evaluation.precision == spec_pb2.PRECISION_FLOAT32
    assert (spec.algorithm.ga.window, spec.algorithm.ga.parents, spec.algorithm.ga.power) == (1000, 20, 0.002)


def test_fields_that_may_be_absent_stay_absent() -> None:
    spec = loads(GOOD)
    assert not spec.task.atari.HasField("max_frames")
    assert not spec.algorithm.ga.HasField("final_power")


def test_what_is_given_is_kept_even_where_it_is_zero() -> None:
    spec = loads(GOOD + "parents = 0\nlitter = 1\ncandidates = 0\nvalidation_share = 0\n")
    assert (spec.algorithm.ga.parents, spec.algorithm.ga.candidates) == (0, 0)


def test_completing_a_complete_spec_changes_nothing() -> None:
    spec = loads(GOOD)
    assert complete(spec) == spec


def test_a_message_from_the_wire_is_checked_as_a_file_is() -> None:
    spec = loads(GOOD)
    spec.share = 0
    spec.algorithm.ga.ClearField("window")
    spec.algorithm.ga.selection = spec_pb2.SELECTION_UNSPECIFIED
    with pytest.raises(SpecError) as caught:
        complete(spec)
    assert {problem.path for problem in caught.value.problems} == {"share", "algorithm.ga.selection"}
    assert not spec.algorithm.ga.HasField("window"), "the caller's message was changed"


def test_an_empty_message_names_every_required_field() -> None:
    with pytest.raises(SpecError) as caught:
        complete(spec_pb2.ExperimentSpec())
    assert [p.path for p in caught.value.problems] == ["name", "task", "policy.name", "algorithm"]


def test_malformed_toml_is_refused_with_its_line() -> None:
    with pytest.raises(SpecError, match="line 3"):
        loads('name = "a"\n\nshare = = 2\n')


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SpecError, match=r"binary\.toml"):
        load(path)


def test_all_problems_stand_in_one_error() -> None:
    found = problems_of('share = 0\n[task.atari]\ngmae = "pong"\n[algorithm.ga]\nwindow = "many"\n')
    assert set(found) == {
        "share",
        "task.atari.gmae",
        "task.atari.game",
        "algorithm.ga.window",
        "name",
        "policy.name",
    }


def test_an_unknown_field_is_refused_with_a_guess() -> None:
    found = problems_of(GOOD + "parnets = 3\n")
    assert "did you mean 'parents'?" in found["algorithm.ga.parnets"]


@pytest.mark.parametrize(
    ("line", "path", "allowed"),
    [
        ("window = 0", "algorithm.ga.window", "a whole number in 1..1000000 (individuals)"),
        ("window = 1e3", "algorithm.ga.window", "is 1000.0; allowed: a whole number"),
        ("window = true", "algorithm.ga.window", "is true; allowed: a whole number"),
        ("power = 0", "algorithm.ga.power", "above 0, at most 1000"),
        ("power = nan", "algorithm.ga.power", "is nan"),
        ("power = inf", "algorithm.ga.power", "is inf"),
        ("power = 1e-60", "algorithm.ga.power", "above 0"),
        ('selection = "best"', "algorithm.ga.selection", 'one of "truncation", "tournament"'),
        ('selection = "unspecified"', "algorithm.ga.selection", 'one of "truncation", "tournament"'),
        ("parents = 1001", "algorithm.ga.parents", "at most algorithm.ga.window, 1000"),
        ('power_schedule = "linear"', "algorithm.ga.final_power", 'power_schedule "linear" needs it'),
        ("final_power = 0.001", "algorithm.ga.final_power", "does not use it"),
        ("power_evaluations = 10", "algorithm.ga.power_evaluations", "does not use it"),
        ('parents = 0\nselection = "tournament"', "algorithm.ga.selection", "nobody may be a parent"),
        ('window = 40\nselection="tournament"\ntournament_size=50', "algorithm.ga.tournament_size", "40"),
        ("parents = 0\nlitter = 8", "algorithm.ga.litter", "random search"),
        ("validation_share = 0", "algorithm.ga.validation_share", "nobody could be validated"),
        ("candidates = 2000", "algorithm.ga.candidates", "at most algorithm.ga.window"),
        (
            'power_schedule = "self_adapted"\nfinal_power = 0.1',
            "algorithm.ga.final_power",
            "at most algorithm.ga.power",
        ),
        ("[stop]\nevaluations = 18446744073709551616", "stop.evaluations", "2^64-1"),
        ("[stop]\nseconds = -1", "stop.seconds", "above 0"),
        ("[evaluation]\nlease_s = 1e999", "evaluation.lease_s", "is inf"),
    ],
)
def test_a_wrong_value_is_refused_by_path_with_what_is_allowed(line: str, path: str, allowed: str) -> None:
    found = problems_of(GOOD + line + "\n")
    assert allowed in found[path]


@pytest.mark.parametrize(
    ("text", "path", "allowed"),
    [
        (GOOD.replace('name = "pong"', 'name = "Pong!"'), "name", "text that matches"),
        (GOOD.replace('"dqn2015"', '"vector"'), "policy.name", "[task.atari] wants actions"),
        (GOOD.replace("[algorithm.ga]", "[algorithm]"), "algorithm", "[algorithm.ga], [algorithm.eggroll]"),
        (GOOD + '[task.gym]\nid = "CartPole-v1"\n', "task", "2 kinds, atari and gym"),
        (GOOD.replace("[policy]", "[policy]\nhidden = [32]"), "policy.hidden", "no such layers"),
        (GOOD.replace("[policy]", "[policy]\nhidden = 32"), "policy.hidden", "a list"),
        (GOOD.replace("[task.atari]", "[task.atari]\nstrips = [84]"), "task.atari.strips", "1..83"),
        (
            GOOD.replace("[task.atari]", '[task.atari]\nprotocol = "ale-v5"')
            + '[evaluation]\nstarts = "common"\n',
            "evaluation.starts",
            "episodes without end",
        ),
        (
            GOOD.replace("[algorithm.ga]", "[algorithm.ga]\ncandidates = 0")
            + '[evaluation]\nstarts = "common"\n',
            "evaluation.starts",
            "without the candidates",
        ),
        (GOOD + "[evaluation]\nframe_bonus = 0.1\n", "evaluation.frame_bonus", "cap_frames is not"),
        (GOOD.replace("[policy]", "[policy]\nhidden = [0]"), "policy.hidden", "1..65536"),
        (GOOD.replace("[policy]", "[policy]\narguments = 3"), "policy.arguments", "a table of texts"),
        (
            'policy = "mlp"\n' + GOOD.replace('[policy]\nname = "dqn2015"\n', ""),
            "policy",
            "a table, [policy]",
        ),
        (
            'name = "f"\n[task.function]\npath = "a:b"\n[policy]\nname = "mlp"\n[algorithm.ga]\n',
            "policy.name",
            '"vector"',
        ),
        (
            GOOD.replace("[algorithm.ga]", "[algorithm.eggroll]\nclose_share = 0.9"),
            "algorithm.eggroll.close_after_s",
            "needs the time",
        ),
        (
            GOOD.replace("[algorithm.ga]", "[algorithm.eggroll]\npairs = 5000\nslice_pairs = 4096")
            + "[evaluation]\nepisodes = 1000\n",
            "algorithm.eggroll.slice_pairs",
            "at most 1000 with 1000 evaluation.episodes",
        ),
    ],
)
def test_a_contradiction_is_refused(text: str, path: str, allowed: str) -> None:
    assert allowed in problems_of(text)[path]


def test_a_message_from_the_wire_with_an_unprintable_name_is_refused() -> None:
    spec = loads(GOOD)
    spec.task.atari.game = "pong\n"
    with pytest.raises(SpecError, match=r"task\.atari\.game"):
        complete(spec)


@pytest.mark.parametrize(
    ("at", "path"), [(lambda spec: spec, ""), (lambda spec: spec.algorithm.ga, "algorithm.ga")]
)
def test_a_setting_of_a_later_build_is_refused_and_not_passed_over(
    at: Callable[[spec_pb2.ExperimentSpec], Message], path: str
) -> None:
    spec = loads(GOOD)
    at(spec).MergeFromString(b"\xf8\x3f\x05")  # field 1023, a number
    with pytest.raises(SpecError, match="field 1023, which this build does not know") as error:
        complete(spec)
    assert [problem.path for problem in error.value.problems] == [path]


def test_arguments_are_stored_as_toml_writes_them() -> None:
    text = GOOD.replace(
        "[policy]", '[policy]\narguments = { width = 3, deep = true, gain = 0.5, mode = "x" }'
    )
    stored = loads(text).policy.arguments
    assert dict(stored) == {"width": "3", "deep": "true", "gain": "0.5", "mode": "x"}


@pytest.mark.parametrize(
    "written",
    [
        *('"2024-01-01"', '"8"', '"1e3"', '"true"', '"nan"', '"[1, 2]"', '"plain"', '""', '"1 # one"'),
        *("'\"quoted\"'", '"1\\nb = 2"', "2024-01-01", "10:30:00", "2024-01-01T10:30:00Z", "8", "-0.0"),
        *("1e300", "true", "[1, [2.5, 'x']]", "{a = 1, b = {c = '2'}}"),
    ],
)
def test_an_argument_reaches_its_class_with_the_type_that_was_written(written: str) -> None:
    spec = loads(GOOD.replace("[policy]", f"[policy]\narguments = {{ it = {written} }}"))
    meant = tomllib.loads(f"it = {written}")

    arrived = values(spec.policy.arguments)
    assert repr(arrived) == repr(meant)
    assert loads(to_toml(spec)) == spec


def test_a_spec_that_was_stored_with_numbers_as_texts_still_means_numbers() -> None:
    stored = GOOD.replace("[policy]", '[policy]\narguments = { "size" = "7", "mode" = "x" }')
    message = loads(GOOD)
    message.policy.arguments.update({"size": "7", "mode": "x"})

    for spec in (loads(stored, spec_format=1), complete(message)):
        assert values(spec.policy.arguments) == {"size": 7, "mode": "x"}
        assert loads(to_toml(spec)) == spec


UBER = GOOD.replace('"dqn2015"', '"uber2018"')


def test_a_new_spec_gets_a_policy_s_newest_version_and_a_stored_one_keeps_the_first() -> None:
    assert loads(UBER).policy.version == 2
    for stored in (loads(UBER, spec_format=1), loads(UBER, spec_format=2)):
        assert stored.policy.version == 1
        assert loads(to_toml(stored)) == complete(stored) == stored
    assert not loads(GOOD).policy.HasField("version"), "dqn2015 has only ever been built in one way"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (UBER.replace("[policy]", "[policy]\nversion = 3"), "allowed: 1 to 2, the versions of uber2018"),
        (GOOD.replace("[policy]", "[policy]\nversion = 1"), '"dqn2015" has no versions; leave it out'),
    ],
)
def test_a_version_that_a_policy_does_not_have_is_refused(text: str, says: str) -> None:
    assert says in problems_of(text)["policy.version"]


def test_the_algorithm_gets_the_settings_of_the_spec() -> None:
    power = 'power_schedule = "linear"\nfinal_power = 0.001\npower_evaluations = 500\n'
    mutation = 'mutation = "low_rank"\nrank = 2\n'
    settings = ga_settings(loads(GOOD + power + mutation + "[evaluation]\nepisodes = 4\n"))
    assert (settings.power_schedule, settings.power_evaluations, settings.rank) == ("linear", 500, 2)
    assert settings.episodes == 4
    assert ga_settings(loads(GOOD)).rank == 0, "a dense mutation has no rank"


def test_every_field_is_explained_in_words() -> None:
    rows = [row for section in explain() for row in section.rows]
    assert len(rows) > 40
    assert all(row.text and row.allowed for row in rows)
    assert all(all(row.words.values()) for row in rows)


def test_every_default_lies_in_its_own_range() -> None:
    """Filling a spec in accepts each default as if a person had written it."""
    for kind in ("ga", "eggroll"):
        filled = loads(GOOD.replace("algorithm.ga", f"algorithm.{kind}"))
        written_out = to_toml(filled)
        assert written_out.count("=") > GOOD.count("=")
        assert loads(written_out) == filled


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_a_ready_spec_loads_and_is_named_like_its_file(path: Path) -> None:
    spec = load(path)
    assert spec.name == path.stem
    assert loads(to_toml(spec)) == spec


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (("[algorithm.ga]", "[algorithm.eggroll]"), "[algorithm.eggroll] has no candidates"),
        (("[algorithm.ga]", "[algorithm.ga]\ncandidates = 0"), "algorithm.ga.candidates is 0"),
        (('[task.atari]\ngame = "pong"', '[task.function]\npath = "a:b"'), "[task.function] has no frames"),
    ],
)
def test_a_cap_needs_frames_and_somebody_who_plays_whole_games(changed: tuple[str, str], why: str) -> None:
    capped = GOOD.replace("[algorithm.ga]", "[evaluation]\ncap_frames = 2_000\n[algorithm.ga]")
    assert ga_settings(loads(capped)).cap_frames == 2_000
    problems = problems_of(capped.replace(*changed))
    assert problems["evaluation.cap_frames"] == f"is given, but {why}; leave it out"
