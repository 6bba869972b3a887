"""The figures of `make mutants` say what the tests noticed."""

from pathlib import Path

from mutmut.configuration import config

from tools.mutants import count, mutated, sample

ROOT = Path(__file__).parent.parent

KILLED, SURVIVED, UNTESTED, OUT_OF_TIME = 1, 0, 33, -24


def test_a_mutant_survives_if_the_tests_passed_or_none_of_them_met_it() -> None:
    codes = {"a": KILLED, "b": OUT_OF_TIME, "c": KILLED, "d": SURVIVED, "e": UNTESTED, "f": None}
    assert count(codes) == "6 | 5 | 3 | 2 | 60.0 %"


def test_a_module_whose_mutants_met_no_test_yet_has_no_figure() -> None:
    assert count({"a": None}) == ""


def test_a_sample_is_the_same_every_time_and_no_larger_than_the_module() -> None:
    (selection,) = mutated(["germline.algorithms.sel*"])
    some, all_of_them = sample(selection, 5), sample(selection, 10_000)
    assert len(some) == 5
    assert some == sample(selection, 5)
    assert set(some) < set(all_of_them)
    assert all(name.startswith("germline.algorithms.selection.x_") for name in some)


def test_only_what_the_settings_name_is_mutated() -> None:
    assert [str(path) for path in mutated(["*noise*"])] == ["germline/noise.py"]


def test_the_settings_name_tests_that_are_there() -> None:
    left_out = [arg.partition("=")[2] for arg in config().pytest_add_cli_args if "--deselect" in arg]
    for named in (*config().pytest_add_cli_args_test_selection, *left_out):
        path, _, test = named.partition("::")
        assert (ROOT / path).exists(), f"{path} is not there any more"
        assert not test or test in (ROOT / path).read_text(), f"{named} is not there any more"
