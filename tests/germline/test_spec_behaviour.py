"""A spec's `behaviour`: a table that may be left out, and fields that belong together."""

import pytest

from germline.algorithms.cells import MapSettings
from germline.algorithms.centre_novelty import CentreNoveltySettings
from germline.algorithms.novelty_settings import NoveltySettings
from germline.spec import (
    SpecError,
    behaviour_dimensions,
    complete,
    eggroll_settings,
    ga_settings,
    loads,
    to_toml,
)
from germline.spec.behaviour import measures_of

TASKS = {
    "atari": '[task.atari]\ngame = "venture"\n[policy]\nname = "motion"\n',
    "gym": '[task.gym]\nid = "CartPole-v1"\n[policy]\nname = "mlp"\n',
    "function": '[task.function]\npath = "a:b"\n[policy]\nname = "vector"\n',
    "plugin": '[task.plugin]\nname = "maze"\n[policy]\nname = "mlp"\n',
}


def text(task: str, behaviour: str = "") -> str:
    return f'name = "a"\n{TASKS[task]}[algorithm.ga]\n{behaviour and "[behaviour]"}\n{behaviour}'


def problems(task: str, behaviour: str) -> dict[str, str]:
    with pytest.raises(SpecError) as caught:
        loads(text(task, behaviour))
    return {problem.path: problem.text for problem in caught.value.problems}


def test_a_spec_without_behaviour_is_the_spec_that_it_was_before_there_was_one() -> None:
    spec = loads(text("gym"))
    assert not spec.HasField("behaviour")
    assert b"behaviour" not in to_toml(spec).encode()
    assert behaviour_dimensions(spec) == 0
    assert complete(spec).SerializeToString(deterministic=True) == spec.SerializeToString(deterministic=True)


@pytest.mark.parametrize(
    ("task", "behaviour", "dimensions"),
    [
        ("atari", 'descriptor = "ram"', 128),
        ("atari", 'descriptor = "ram"\nindices = [85, 26]', 2),
        ("atari", 'descriptor = "ram_path"\nevery_steps = 100', 512),
        ("atari", 'descriptor = "path"\nindices = [85, 26]', 32),
        ("gym", 'descriptor = "observation"\nindices = [0, 2]\nlow = [-2.4]\nhigh = [2.4]', 2),
        ("gym", 'descriptor = "observation"\nindices = [0, 2]\nlow = [-2.4, -0.2]\nhigh = [2.4, 0.2]', 2),
        ("function", 'descriptor = "task"\ndimensions = 3\nlow = [0]\nhigh = [1]', 3),
        ("plugin", 'descriptor = "task"\ndimensions = 4', 4),
        ("gym", 'descriptor = "task"\ndimensions = 2\nlow = [0]\nhigh = [9]', 2),
    ],
)
def test_each_descriptor_has_its_size(task: str, behaviour: str, dimensions: int) -> None:
    spec = loads(text(task, behaviour))
    assert behaviour_dimensions(spec) == dimensions
    assert loads(to_toml(spec)) == spec


@pytest.mark.parametrize(
    ("task", "behaviour", "path", "sentence"),
    [
        ("gym", 'descriptor = "ram"', "descriptor", 'is "ram"; allowed: "observation", "task"'),
        ("atari", 'descriptor = "path"', "indices", 'is missing; "path" needs it'),
        ("atari", 'descriptor = "ram_path"\nindices = [1]', "indices", 'but "ram_path" does not use it'),
        ("atari", 'descriptor = "path"\nindices = [128]', "indices", "allowed: addresses below 128"),
        ("plugin", 'descriptor = "task"', "dimensions", 'is missing; "task" needs it'),
        ("plugin", 'descriptor = "task"\ndimensions = 513', "dimensions", "in 1..512"),
        ("plugin", 'descriptor = "task"\ndimensions = 3\nlow = [0]', "high", "belong together"),
        (
            "function",
            'descriptor = "task"\ndimensions = 3',
            "low",
            "all but plug-ins need them",
        ),
        ("plugin", 'descriptor = "task"\ndimensions = 3\nlow = [0, 1]\nhigh = [1]', "low", "or 3, one for"),
        ("plugin", 'descriptor = "task"\ndimensions = 2\nlow = [1]\nhigh = [1]', "low", "each below its"),
        ("plugin", "dimensions = 2", "descriptor", "is missing"),
        (
            "plugin",
            'descriptor = "task"\ndimensions = 2\nnames = ["x"]',
            "names",
            "1 values; allowed: 2, one",
        ),
        ("atari", 'descriptor = "path"\nindices = [3]\nnames = ["x", "y"]', "names", "each of `indices`"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(task: str, behaviour: str, path: str, sentence: str) -> None:
    found = problems(task, behaviour)
    assert list(found) == [f"behaviour.{path}"]
    assert sentence in found[f"behaviour.{path}"]


def test_too_many_numbers_of_a_path_are_refused() -> None:
    indices = ", ".join(map(str, range(33)))
    found = problems("atari", f'descriptor = "path"\nindices = [{indices}]')
    assert found == {"behaviour.indices": "has 33 values; allowed: 1 to 32"}


def test_a_slice_whose_members_say_too_much_for_one_message_is_refused() -> None:
    eggroll = "[algorithm.eggroll]\npairs = 8192\nslice_pairs = 4096\n"
    behaviour = '[behaviour]\ndescriptor = "ram_path"'
    with pytest.raises(SpecError, match=r"slice_pairs is 4096; allowed: at most 2048"):
        loads(f'name = "a"\n{TASKS["atari"]}{eggroll}{behaviour}')


NOVEL = '[algorithm.ga]\nselection = "tournament"\n[algorithm.ga.novelty]\n'
PLACE = '[behaviour]\ndescriptor = "ram"\nindices = [85, 26]\n'
HEAD = f'name = "a"\n{TASKS["atari"]}'


def test_novelty_is_a_table_of_its_own_with_defaults_from_its_sources() -> None:
    spec = loads(HEAD + NOVEL + PLACE)
    settings = ga_settings(spec).novelty
    assert settings == NoveltySettings(dimensions=2)
    assert settings is not None
    assert (settings.neighbours, settings.archive_share) == (25, 0.01)
    assert not loads(text("gym")).algorithm.ga.HasField("novelty")


def test_map_elites_cells_and_breeding_come_from_its_table() -> None:
    spec = loads(f"{HEAD}[algorithm.map_elites]\ngrid = [16, 8]\npower = 0.5\n{PLACE}")
    settings = ga_settings(spec)
    assert settings.cells == MapSettings(2, (16, 8))
    assert (settings.window, settings.founder_count, settings.power) == (128, 100, 0.5)
    assert loads(to_toml(spec)) == spec


@pytest.mark.parametrize(
    ("algorithm", "path", "sentence"),
    [
        (NOVEL, "behaviour", "is missing; [algorithm.ga.novelty] needs it"),
        ("[algorithm.map_elites]\npoints = 9\n", "behaviour", "[algorithm.map_elites] needs it"),
        (
            NOVEL.replace("tournament", "truncation") + PLACE,
            "algorithm.ga.selection",
            'is "truncation"; allowed: "tournament" with [algorithm.ga.novelty]',
        ),
        (f"[algorithm.map_elites]\n{PLACE}", "algorithm.map_elites.grid", "and points are missing"),
        (f"[algorithm.map_elites]\ngrid = [2, 2]\npoints = 4\n{PLACE}", "algorithm.map_elites.grid", "both"),
        (
            f"[algorithm.map_elites]\ngrid = [2]\n{PLACE}",
            "algorithm.map_elites.grid",
            "behaviour's 2 numbers",
        ),
        (
            f"[algorithm.map_elites]\ngrid = [2, 2]\n{PLACE}[evaluation]\ncap_frames = 100\n",
            "evaluation.cap_frames",
            "[algorithm.map_elites] compares whole games",
        ),
    ],
)
def test_what_a_search_by_behaviour_cannot_be_is_refused_by_name(
    algorithm: str, path: str, sentence: str
) -> None:
    with pytest.raises(SpecError) as caught:
        loads(HEAD + algorithm)
    found = {problem.path: problem.text for problem in caught.value.problems}
    assert list(found) == [path]
    assert sentence in found[path]


DOMINATED = '[algorithm.ga]\nreplacement = "dominated"\nselection = "tournament"\n'


@pytest.mark.parametrize(
    ("algorithm", "path", "sentence"),
    [
        (DOMINATED, "algorithm.ga.replacement", 'is "dominated"; allowed: "oldest" or "worst", unless'),
        (
            f'{DOMINATED}window = 10_001\n[algorithm.ga.novelty]\nobjective = "dominated"\n{PLACE}',
            "algorithm.ga.window",
            'is 10001; allowed: at most 10,000 with algorithm.ga.replacement = "dominated"',
        ),
    ],
)
def test_whom_dominated_novelty_cannot_replace_is_refused_by_name(
    algorithm: str, path: str, sentence: str
) -> None:
    with pytest.raises(SpecError) as caught:
        loads(HEAD + algorithm)
    found = {problem.path: problem.text for problem in caught.value.problems}
    assert list(found) == [path]
    assert sentence in found[path]


def test_ties_may_be_broken_by_novelty_whatever_the_selection() -> None:
    novel = '[algorithm.ga]\n[algorithm.ga.novelty]\nobjective = "tie_break"\n'
    assert not ga_settings(loads(HEAD + novel + PLACE)).novelty.chooses  # type: ignore[union-attr]


CENTRES = "[algorithm.eggroll]\nvalidation_epochs = 1\n[algorithm.eggroll.novelty]\n"


def test_novelty_of_centres_has_its_defaults_from_the_paper() -> None:
    settings = eggroll_settings(loads(HEAD + CENTRES + PLACE)).novelty
    assert settings == CentreNoveltySettings(dimensions=2)
    assert settings is not None
    assert (settings.neighbours, settings.centres, settings.patience) == (10, 3, 50)


@pytest.mark.parametrize(
    ("algorithm", "path", "sentence"),
    [
        (CENTRES, "behaviour", "is missing; [algorithm.eggroll.novelty] needs it"),
        (
            CENTRES.replace("validation_epochs = 1", "validation_epochs = 5") + PLACE,
            "algorithm.eggroll.validation_epochs",
            "is 5; allowed: 1 with [algorithm.eggroll.novelty]",
        ),
        (
            CENTRES.replace("validation", 'shaping = "z_score"\nvalidation', 1) + PLACE,
            "algorithm.eggroll.shaping",
            'is "z_score"; allowed: "centred_rank" with',
        ),
    ],
)
def test_what_novelty_of_centres_cannot_be_is_refused_by_name(
    algorithm: str, path: str, sentence: str
) -> None:
    with pytest.raises(SpecError) as caught:
        loads(HEAD + algorithm)
    found = {problem.path: problem.text for problem in caught.value.problems}
    assert list(found) == [path]
    assert sentence in found[path]


@pytest.mark.parametrize(
    ("task", "behaviour", "places", "names"),
    [
        ("plugin", 'descriptor = "task"\ndimensions = 2\nnames = ["x", "y"]', (0, 1), ("x", "y")),
        ("plugin", 'descriptor = "task"\ndimensions = 2', (0, 1), ("task 0", "task 1")),
        ("atari", 'descriptor = "ram"\nindices = [85, 26]', (0, 1), ("byte 85", "byte 26")),
        ("atari", 'descriptor = "ram_path"', (1, 129), ("byte 1 at moment 1", "byte 1 at moment 2")),
        (
            "atari",
            'descriptor = "path"\nindices = [85, 26]\nnames = ["x", "y"]',
            (0, 3),
            ("x at moment 1", "y at moment 2"),
        ),
    ],
)
def test_each_number_has_the_name_that_the_spec_gives_it(
    task: str, behaviour: str, places: tuple[int, ...], names: tuple[str, ...]
) -> None:
    measures = measures_of(loads(text(task, behaviour)))
    assert tuple(measures[place].name for place in places) == names
