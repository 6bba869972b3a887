"""A spec's `behaviour`: a table that may be left out, and fields that belong together."""

import pytest

from germline.spec import SpecError, behaviour_dimensions, complete, loads, to_toml

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
        ("atari", 'descriptor = "ram_path"\nevery_steps = 100', 512),
        ("atari", 'descriptor = "path"\nindices = [85, 26]', 32),
        ("gym", 'descriptor = "observation"\nindices = [0, 2]\nlow = [-2.4]\nhigh = [2.4]', 2),
        ("gym", 'descriptor = "observation"\nindices = [0, 2]\nlow = [-2.4, -0.2]\nhigh = [2.4, 0.2]', 2),
        ("function", 'descriptor = "task"\ndimensions = 3\nlow = [0]\nhigh = [1]', 3),
        ("plugin", 'descriptor = "task"\ndimensions = 4', 4),
    ],
)
def test_each_descriptor_has_its_size(task: str, behaviour: str, dimensions: int) -> None:
    spec = loads(text(task, behaviour))
    assert behaviour_dimensions(spec) == dimensions
    assert loads(to_toml(spec)) == spec


@pytest.mark.parametrize(
    ("task", "behaviour", "path", "sentence"),
    [
        ("gym", 'descriptor = "ram"', "descriptor", 'is "ram"; allowed: "observation"'),
        ("atari", 'descriptor = "path"', "indices", 'is missing; "path" needs it'),
        ("atari", 'descriptor = "ram"\nindices = [1]', "indices", 'is given, but "ram" does not use it'),
        ("atari", 'descriptor = "path"\nindices = [128]', "indices", "allowed: addresses below 128"),
        ("plugin", 'descriptor = "task"', "dimensions", 'is missing; "task" needs it'),
        ("plugin", 'descriptor = "task"\ndimensions = 513', "dimensions", "in 1..512"),
        ("plugin", 'descriptor = "task"\ndimensions = 3\nlow = [0]', "high", "belong together"),
        ("function", 'descriptor = "task"\ndimensions = 3', "low", "a function needs them"),
        ("plugin", 'descriptor = "task"\ndimensions = 3\nlow = [0, 1]\nhigh = [1]', "low", "or 3, one for"),
        ("plugin", 'descriptor = "task"\ndimensions = 2\nlow = [1]\nhigh = [1]', "low", "each below its"),
        ("plugin", "dimensions = 2", "descriptor", "is missing"),
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
