"""The figures of `make mutants` say what the tests noticed."""

from tools.count_mutants import count

KILLED, SURVIVED, UNTESTED, OUT_OF_TIME = 1, 0, 33, -24


def test_a_mutant_survives_if_the_tests_passed_or_none_of_them_met_it() -> None:
    codes = {"a": KILLED, "b": OUT_OF_TIME, "c": KILLED, "d": SURVIVED, "e": UNTESTED, "f": None}
    assert count(codes) == "5 | 3 | 2 | 60.0 %"


def test_a_module_whose_mutants_met_no_test_yet_has_no_figure() -> None:
    assert count({"a": None}) == ""
