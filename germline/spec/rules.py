"""Rules that tie one field of a spec to another: what a range alone cannot say."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from germline.algorithms.novelty_settings import LARGEST_COMPETITION
from germline.behaviour import BYTES
from germline.card import read_line
from germline.policy_versions import VERSIONS
from germline.spec.behaviour import behaviour_dimensions, behaviour_problems
from germline.spec.convert import breeding_of, ga_settings, starts_of
from germline.spec.normalised import normalisation_problems
from germline.spec.problems import Problem, wrong_value
from germline.v1 import spec_pb2

MAX_RETURNS = 2_000_000  # of one result: 16 MB, what a master takes in one message
MAX_BEHAVIOUR_BYTES = 4 << 20  # of one result

_GA = "algorithm.ga."
_MAP_ELITES = "algorithm.map_elites."
_EGGROLL = "algorithm.eggroll."
_OF_POWER = ("power", "power_schedule", "final_power", "power_evaluations")
_SCHEDULED = (spec_pb2.POWER_SCHEDULE_LINEAR, spec_pb2.POWER_SCHEDULE_EXPONENTIAL)
_SHOWN = 60  # letters of a genome
_WITHOUT_HIDDEN = ("dqn2015", "linear", "uber2018", "vector")


def broken(spec: spec_pb2.ExperimentSpec, refused: set[str]) -> list[Problem]:
    """The rules that a filled-in spec breaks; rules about refused fields have nothing to say."""
    problems: list[Problem] = []
    for reads, rule in _rules(spec):
        if not any(_touches(path, refused) for path in reads):
            problems += rule()
    if not problems and not refused and breeding_of(spec) is not None:
        problems += _refused_by_the_algorithm(spec)
    return problems


def _touches(path: str, refused: set[str]) -> bool:
    return any(path == other or path.startswith(other + ".") for other in refused)


def _rules(
    spec: spec_pb2.ExperimentSpec,
) -> Iterator[tuple[tuple[str, ...], Callable[[], Iterator[Problem]]]]:
    """Each rule after the paths that it reads."""
    yield ("task", "policy.name", "policy.hidden"), lambda: _policy_fits_task(spec)
    yield ("task", "policy.name", "algorithm"), lambda: _own_is_all_or_nothing(spec)
    yield ("policy.name", "policy.version"), lambda: _policy_has_its_version(spec.policy)
    yield (
        ("task", "policy.normalise_observations", "policy.normalisation"),
        lambda: normalisation_problems(spec),
    )
    if spec.HasField("behaviour"):
        fields = (field.name for field in spec.behaviour.DESCRIPTOR.fields)
        yield ("task", *_below("behaviour.", *fields)), lambda: behaviour_problems(spec)
    yield _below("evaluation.", "lowest_return", "highest_return"), lambda: _returns_have_a_range(spec)
    yield ("task", "evaluation.episodes", "evaluation.starts"), lambda: _starts_are_enough(spec)
    yield ("task", "algorithm", "evaluation.starts"), lambda: _common_starts_are_known(spec)
    yield ("policy", "algorithm"), lambda: _founder_is_bred_from(spec)
    yield ("task", "algorithm", "behaviour"), lambda: _behaviours_are_known(spec)
    if spec.algorithm.HasField("map_elites"):
        elites = spec.algorithm.map_elites
        table = _MAP_ELITES
        yield _below(table, "grid", "points", "behaviour"), lambda: _cells_fit(spec)
        yield _below(table, *_OF_POWER), lambda: _power_has_its_schedule(elites, table)
        yield _below(table, "candidates", "validation_share"), lambda: _somebody_is_validated(elites, table)
    if spec.algorithm.HasField("ga"):
        ga = spec.algorithm.ga
        yield _below(_GA, "novelty", "selection", "tournament_size"), lambda: _novelty_has_tournaments(ga)
        yield _below(_GA, "novelty", "replacement", "window"), lambda: _the_dominated_may_leave(ga)
        yield (
            _below(_GA, "window", "parents", "selection", "tournament_size", "litter"),
            lambda: _population_holds_parents(ga),
        )
        yield _below(_GA, *_OF_POWER), lambda: _power_has_its_schedule(ga, _GA)
        yield (
            _below(_GA, "window", "candidates", "validation_share"),
            lambda: _validation_is_possible(ga),
        )
    yield ("task", "algorithm", "evaluation.precision"), lambda: _integers_are_played(spec)
    yield (
        ("task", "algorithm", "evaluation.cap_frames", "evaluation.cap_schedule"),
        lambda: _somebody_plays_whole_games(spec),
    )
    yield ("evaluation.cap_frames", "evaluation.frame_bonus"), lambda: _a_bonus_is_bounded(spec.evaluation)
    if spec.algorithm.HasField("eggroll"):
        yield (
            _below(_EGGROLL, "novelty", "shaping", "validation_epochs", "start"),
            lambda: _centres_can_be_novel(spec.algorithm.eggroll),
        )
        yield (_EGGROLL + "start",), lambda: _first_centre_is_a_genome(spec.algorithm.eggroll)
        yield (
            _below(_EGGROLL, "close_share", "close_after_s"),
            lambda: _early_close_has_a_deadline(spec.algorithm.eggroll),
        )
        yield (
            ("behaviour", _EGGROLL + "slice_pairs", _EGGROLL + "pairs", "evaluation.episodes"),
            lambda: _a_result_fits_into_a_message(spec),
        )


def _below(table: str, *names: str) -> tuple[str, ...]:
    return tuple(table + name for name in names)


def _policy_fits_task(spec: spec_pb2.ExperimentSpec) -> Iterator[Problem]:
    name = spec.policy.name
    kind = spec.task.WhichOneof("kind")
    if kind == "function" and name != "vector":
        yield wrong_value("policy.name", name, '"vector", since [task.function] takes the weights themselves')
    if name == "vector" and kind in ("atari", "gym"):
        yield wrong_value("policy.name", name, f"a network, since [task.{kind}] wants actions")
    if spec.policy.hidden and name in _WITHOUT_HIDDEN:
        yield Problem("policy.hidden", f'is given, but "{name}" has no such layers; leave it out')


def _own_is_all_or_nothing(spec: spec_pb2.ExperimentSpec) -> Iterator[Problem]:
    """Workers that bring the arithmetic, or only the game, bring the task and the network, too."""
    own = {"task": spec.task.HasField("own"), "policy.name": spec.policy.name == "own"}
    if not spec.algorithm.HasField("ga"):  # which can tell what others play
        own["algorithm"] = spec.algorithm.HasField("own")
    if any(own.values()) and not all(own.values()):
        given = ", ".join(path for path, is_own in own.items() if is_own)
        missing = ", ".join(path for path, is_own in own.items() if not is_own)
        yield Problem(
            missing.split(", ")[0],
            f'is not own, but {given} is; [task.own], policy.name "own", and [algorithm.own] or '
            "[algorithm.ga] belong together",
        )


def _policy_has_its_version(policy: spec_pb2.Policy) -> Iterator[Problem]:
    newest = VERSIONS.get(policy.name)
    if not policy.HasField("version") or policy.version <= (newest or 0):
        return
    if newest is None:
        yield Problem("policy.version", f'is given, but "{policy.name}" has no versions; leave it out')
    else:
        allowed = f"1 to {newest}, the versions of {policy.name} that this build knows"
        yield wrong_value("policy.version", policy.version, allowed)


def _returns_have_a_range(spec: spec_pb2.ExperimentSpec) -> Iterator[Problem]:
    lowest, highest = spec.evaluation.lowest_return, spec.evaluation.highest_return
    both = spec.evaluation.HasField("lowest_return") and spec.evaluation.HasField("highest_return")
    if both and lowest > highest:
        yield wrong_value("evaluation.lowest_return", lowest, f"at most highest_return, {highest}")


def _starts_are_enough(spec: spec_pb2.ExperimentSpec) -> Iterator[Problem]:
    starts, episodes = len(starts_of(spec)), spec.evaluation.episodes
    breeding = breeding_of(spec)
    if breeding is not None and breeding.candidates and 0 < starts < episodes:
        text = f'at most {starts}, the starts of the protocol; evaluation.starts "seeds" has no end'
        yield wrong_value("evaluation.episodes", episodes, text)


def _common_starts_are_known(spec: spec_pb2.ExperimentSpec) -> Iterator[Problem]:
    if spec.evaluation.starts != spec_pb2.STARTS_COMMON:
        return
    if not starts_of(spec):
        allowed = '"auto" or "seeds", since this task has episodes without end'
        yield wrong_value("evaluation.starts", "common", allowed)
    elif not (breeding := breeding_of(spec)) or not breeding.candidates:
        allowed = '"auto" or "seeds" without the candidates of [algorithm.ga], who play all the starts'
        yield wrong_value("evaluation.starts", "common", allowed)


def _integers_are_played(spec: spec_pb2.ExperimentSpec) -> Iterator[Problem]:
    if spec.evaluation.precision != spec_pb2.PRECISION_INT8:
        return
    others = '"float32" or "bfloat16"'
    if spec.algorithm.HasField("eggroll"):
        allowed = f"{others} with [algorithm.eggroll], whose members differ by less than a step of int8"
        yield wrong_value("evaluation.precision", "int8", allowed)
    if spec.task.WhichOneof("kind") == "function":
        allowed = f"{others}, since [task.function] takes the weights themselves"
        yield wrong_value("evaluation.precision", "int8", allowed)


def _somebody_plays_whole_games(spec: spec_pb2.ExperimentSpec) -> Iterator[Problem]:
    """A cap is for new individuals: it needs frames to count, and candidates whose games are not cut."""
    given = {
        "cap_frames": spec.evaluation.HasField("cap_frames"),
        "cap_schedule": spec.evaluation.cap_schedule == spec_pb2.CAP_SCHEDULE_PROGRESSIVE,
    }
    without = {
        "[task.function] has no frames": spec.task.HasField("function"),
        "[algorithm.eggroll] has no candidates": spec.algorithm.HasField("eggroll"),
        f"{_GA}candidates is 0": spec.algorithm.HasField("ga") and not spec.algorithm.ga.candidates,
        "[algorithm.map_elites] compares whole games": spec.algorithm.HasField("map_elites"),
        "[algorithm.ga.novelty] compares whole games": spec.algorithm.ga.HasField("novelty"),
    }
    for field in (field for field, is_given in given.items() if is_given):
        for reason in (reason for reason, holds in without.items() if holds):
            yield Problem(f"evaluation.{field}", f"is given, but {reason}; leave it out")


def _a_bonus_is_bounded(evaluation: spec_pb2.Evaluation) -> Iterator[Problem]:
    """Fitness with a bonus is no return; only under a cap is it kept apart from returns."""
    if evaluation.frame_bonus and not evaluation.HasField("cap_frames"):
        yield Problem("evaluation.frame_bonus", "is given, but evaluation.cap_frames is not; it needs one")


def _population_holds_parents(ga: spec_pb2.GeneticAlgorithm) -> Iterator[Problem]:
    tournament = ga.selection == spec_pb2.SELECTION_TOURNAMENT
    if ga.parents > ga.window:
        yield wrong_value(_GA + "parents", ga.parents, f"at most {_GA}window, {ga.window}")
    if tournament and not ga.parents:
        text = f'is "tournament", but {_GA}parents is 0 (random search): nobody may be a parent'
        yield Problem(_GA + "selection", text)
    if tournament and ga.tournament_size > ga.window:
        allowed = f"at most {_GA}window, {ga.window}"
        yield wrong_value(_GA + "tournament_size", ga.tournament_size, allowed)
    if ga.litter > 1 and not ga.parents:
        allowed = f"1, since {_GA}parents is 0 (random search) and makes no children"
        yield wrong_value(_GA + "litter", ga.litter, allowed)


def _power_has_its_schedule(
    ga: spec_pb2.GeneticAlgorithm | spec_pb2.MapElites, table: str
) -> Iterator[Problem]:
    adapted = ga.power_schedule == spec_pb2.POWER_SCHEDULE_SELF_ADAPTED
    scheduled = ga.power_schedule in _SCHEDULED
    yield from _present_if(ga, table, "final_power", scheduled or adapted)
    yield from _present_if(ga, table, "power_evaluations", scheduled)
    if adapted and ga.final_power > ga.power:
        yield wrong_value(table + "final_power", ga.final_power, f"at most {table}power, {ga.power}")


def _present_if(
    ga: spec_pb2.GeneticAlgorithm | spec_pb2.MapElites, table: str, field: str, wanted: bool
) -> Iterator[Problem]:
    """A field that some schedules need and that means nothing to the others."""
    given = any(descriptor.name == field for descriptor, _ in ga.ListFields())
    schedule = spec_pb2.PowerSchedule.Name(ga.power_schedule).removeprefix("POWER_SCHEDULE_").lower()
    if wanted and not given:
        yield Problem(table + field, f'is missing; {table}power_schedule "{schedule}" needs it')
    if given and not wanted:
        text = f'is given, but {table}power_schedule "{schedule}" does not use it; leave it out'
        yield Problem(table + field, text)


def _validation_is_possible(ga: spec_pb2.GeneticAlgorithm) -> Iterator[Problem]:
    if ga.candidates > ga.window:
        yield wrong_value(_GA + "candidates", ga.candidates, f"at most {_GA}window, {ga.window}")
    yield from _somebody_is_validated(ga, _GA)


def _somebody_is_validated(
    ga: spec_pb2.GeneticAlgorithm | spec_pb2.MapElites, table: str
) -> Iterator[Problem]:
    if ga.candidates and not ga.validation_share:
        text = f"is 0, but {table}candidates is {ga.candidates}: nobody could be validated"
        yield Problem(table + "validation_share", text + "; allowed: a share above 0, or no candidates")


def _behaviours_are_known(spec: spec_pb2.ExperimentSpec) -> Iterator[Problem]:
    """Who compares behaviours needs some; own tasks report none."""
    compares = {
        _MAP_ELITES: spec.algorithm.HasField("map_elites"),
        _GA + "novelty.": spec.algorithm.ga.HasField("novelty"),
        _EGGROLL + "novelty.": spec.algorithm.eggroll.HasField("novelty"),
    }
    for table, needs in compares.items():
        if needs and not spec.HasField("behaviour"):
            yield Problem("behaviour", f"is missing; [{table.rstrip('.')}] needs it")


def _cells_fit(spec: spec_pb2.ExperimentSpec) -> Iterator[Problem]:
    """Cells are a grid or a CVT, of as many dimensions as the behaviour has."""
    elites, dimensions = spec.algorithm.map_elites, behaviour_dimensions(spec)
    if bool(elites.grid) == elites.HasField("points"):
        how = "both given" if elites.grid else "missing"
        yield Problem(_MAP_ELITES + "grid", f"and points are {how}; allowed: exactly one of them")
    elif elites.grid and dimensions and len(elites.grid) != dimensions:
        allowed = f"a count of parts for each of the behaviour's {dimensions} numbers"
        yield wrong_value(_MAP_ELITES + "grid", list(elites.grid), allowed)


def _novelty_has_tournaments(ga: spec_pb2.GeneticAlgorithm) -> Iterator[Problem]:
    breaks_ties = ga.novelty.objective == spec_pb2.NOVELTY_OBJECTIVE_TIE_BREAK
    if ga.HasField("novelty") and not breaks_ties and ga.selection != spec_pb2.SELECTION_TOURNAMENT:
        allowed = '"tournament" with [algorithm.ga.novelty], unless its objective is "tie_break"'
        word = spec_pb2.Selection.Name(ga.selection).removeprefix("SELECTION_").lower()
        yield wrong_value(_GA + "selection", word, allowed)


def _the_dominated_may_leave(ga: spec_pb2.GeneticAlgorithm) -> Iterator[Problem]:
    if ga.replacement != spec_pb2.REPLACEMENT_DOMINATED:
        return
    if ga.novelty.objective != spec_pb2.NOVELTY_OBJECTIVE_DOMINATED:
        allowed = '"oldest" or "worst", unless the objective of [algorithm.ga.novelty] is "dominated"'
        yield wrong_value(_GA + "replacement", "dominated", allowed)
    if ga.window > LARGEST_COMPETITION:
        allowed = f'at most {LARGEST_COMPETITION:,} with {_GA}replacement = "dominated"'
        yield wrong_value(_GA + "window", ga.window, allowed)


def _a_result_fits_into_a_message(spec: spec_pb2.ExperimentSpec) -> Iterator[Problem]:
    """A slice's members play every episode, and all their returns are told at once."""
    eggroll, episodes = spec.algorithm.eggroll, spec.evaluation.episodes
    most = MAX_RETURNS // (2 * episodes)
    if min(eggroll.slice_pairs, eggroll.pairs) > most:
        told = f"a result has up to {MAX_RETURNS:,} returns"
        allowed = f"at most {most} with {episodes} evaluation.episodes: {told}"
        yield wrong_value(_EGGROLL + "slice_pairs", eggroll.slice_pairs, allowed)
    if not (pair_bytes := 2 * BYTES * behaviour_dimensions(spec)):
        return
    most = MAX_BEHAVIOUR_BYTES // pair_bytes
    if min(eggroll.slice_pairs, eggroll.pairs) > most:
        allowed = f"at most {most}, as each pair tells {pair_bytes} bytes of [behaviour]"
        yield wrong_value(_EGGROLL + "slice_pairs", eggroll.slice_pairs, allowed)


def _founder_is_bred_from(spec: spec_pb2.ExperimentSpec) -> Iterator[Problem]:
    """Stored weights are the only founder of those that are bred."""
    if not spec.policy.HasField("start"):
        return
    breeding = breeding_of(spec)
    if breeding is None:
        allowed = (
            "none but for [algorithm.ga] and [algorithm.map_elites]; [algorithm.eggroll] has a start, too"
        )
        yield wrong_value("policy.start", spec.policy.start, allowed)
    elif isinstance(breeding, spec_pb2.GeneticAlgorithm):
        if breeding.HasField("founders") and breeding.founders != 1:
            yield wrong_value(_GA + "founders", breeding.founders, "none, or 1, with policy.start")
        if not breeding.parents:
            yield wrong_value(_GA + "parents", breeding.parents, "1 or more with policy.start")


def _first_centre_is_a_genome(eggroll: spec_pb2.Eggroll) -> Iterator[Problem]:
    if not eggroll.HasField("start"):
        return
    try:
        read_line(eggroll.start)
    except ValueError as error:
        shown = eggroll.start if len(eggroll.start) <= _SHOWN else eggroll.start[:_SHOWN] + "..."
        allowed = f"the file of a policy card, .toml, or a genome as cards spell it ({error})"
        yield wrong_value(_EGGROLL + "start", shown, allowed)


def _centres_can_be_novel(eggroll: spec_pb2.Eggroll) -> Iterator[Problem]:
    """Novelty is among measured centres, and shapes by ranks."""
    if not eggroll.HasField("novelty"):
        return
    needs = "with [algorithm.eggroll.novelty]"
    if eggroll.validation_epochs != 1:
        yield wrong_value(_EGGROLL + "validation_epochs", eggroll.validation_epochs, f"1 {needs}")
    if eggroll.shaping != spec_pb2.SHAPING_CENTRED_RANK:
        word = spec_pb2.Shaping.Name(eggroll.shaping).removeprefix("SHAPING_").lower()
        yield wrong_value(_EGGROLL + "shaping", word, f'"centred_rank" {needs}')
    if eggroll.HasField("start") and eggroll.novelty.centres > 1:
        allowed = "1, since all would start at the same algorithm.eggroll.start"
        yield wrong_value(_EGGROLL + "novelty.centres", eggroll.novelty.centres, allowed)


def _early_close_has_a_deadline(eggroll: spec_pb2.Eggroll) -> Iterator[Problem]:
    if eggroll.close_share < 1 and not eggroll.HasField("close_after_s"):
        text = (
            f"is missing; {_EGGROLL}close_share {eggroll.close_share} needs the time after which it is enough"
        )
        yield Problem(_EGGROLL + "close_after_s", text)
    if eggroll.close_share == 1 and eggroll.HasField("close_after_s"):
        text = f"is given, but {_EGGROLL}close_share is 1, which waits for all; leave one of them out"
        yield Problem(_EGGROLL + "close_after_s", text)


def _refused_by_the_algorithm(spec: spec_pb2.ExperimentSpec) -> Iterator[Problem]:
    """The algorithm's own last word; its sentences open with the name of its setting."""
    try:
        ga_settings(spec)
    except ValueError as error:
        field, _, text = str(error).partition(" ")
        table = _MAP_ELITES if spec.algorithm.HasField("map_elites") else _GA
        yield Problem(table + field, text)
