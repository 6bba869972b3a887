"""The genetic algorithm keeps its promises to the master: asking, telling, selecting, replacing."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from germline.algorithms.base import (
    AlreadyToldError,
    Ask,
    Purpose,
    Result,
    TicketError,
    UnknownTicketError,
    check_result,
)
from germline.algorithms.ga import GeneticAlgorithm
from germline.algorithms.ga_settings import GaSettings
from germline.genome import Genome, Mutation, float32

SMALL = GaSettings(window=20, parents=5, founders=10, candidates=0, power=0.5)


def tell(algorithm: GeneticAlgorithm, ask: Ask, value: float) -> None:
    algorithm.tell(Result(ask.ticket, (value,) * len(ask.episode_seeds), frames=4, steps=1))


def play(algorithm: GeneticAlgorithm, n: int, fitness: Callable[[Ask], float]) -> list[Ask]:
    """Ask and tell one by one."""
    asks = []
    for _ in range(n):
        (ask,) = algorithm.ask(1)
        tell(algorithm, ask, fitness(ask))
        asks.append(ask)
    return asks


def number(ask: Ask) -> float:
    return float(ask.ticket)


def told_window(algorithm: GeneticAlgorithm) -> list[float]:
    return [member.fitness for member in algorithm.population()]


def test_asking_never_blocks_and_always_gives_as_much_as_was_asked() -> None:
    algorithm = GeneticAlgorithm(SMALL, seed=1)
    assert len(algorithm.ask(1_000)) == 1_000
    assert algorithm.ask(0) == []


def test_tickets_count_up_from_nought_and_stay_pending_until_told() -> None:
    algorithm = GeneticAlgorithm(SMALL, seed=1)
    asks = algorithm.ask(3)
    assert [ask.ticket for ask in asks] == [0, 1, 2]
    tell(algorithm, asks[1], 1.0)
    assert algorithm.pending() == [asks[0], asks[2]]


def test_a_run_opens_with_founders_and_goes_on_with_children() -> None:
    asks = play(GeneticAlgorithm(SMALL, seed=1), 50, number)
    assert all(len(ask.genome) == 0 and ask.parent_id is None for ask in asks[:10])
    assert all(len(ask.genome) > 0 for ask in asks[10:])
    assert len({ask.genome.init_seed for ask in asks[:10]}) == 10


def test_founders_go_on_while_nothing_is_known() -> None:
    asks = GeneticAlgorithm(SMALL, seed=1).ask(30)
    assert all(len(ask.genome) == 0 for ask in asks)


def test_no_parents_is_random_search() -> None:
    settings = GaSettings(window=20, parents=0, founders=1, candidates=2, validation_episodes=3)
    asks = play(GeneticAlgorithm(settings, seed=1), 300, number)
    assert all(len(ask.genome) == 0 for ask in asks)
    assert any(ask.purpose is Purpose.VALIDATE for ask in asks)


def test_a_child_names_its_parent_and_differs_by_one_mutation() -> None:
    algorithm = GeneticAlgorithm(SMALL, seed=1)
    known: dict[int, Genome] = {}
    for ask in play(algorithm, 100, number):
        if ask.parent_id is not None:
            assert known[ask.parent_id].child(ask.genome.mutations[-1]) == ask.genome
            assert ask.genome.parent() == known[ask.parent_id]
        known[ask.genome.id] = ask.genome


def test_truncation_breeds_from_the_best_of_the_window_only_and_from_each_of_them() -> None:
    algorithm = GeneticAlgorithm(SMALL, seed=3)
    founders = play(algorithm, 10, number)
    best = {ask.genome.id for ask in founders[-5:]}
    champion = founders[-1].genome.id
    bred = Counter(ask.parent_id for ask in algorithm.ask(6_000))
    assert set(bred) == best
    # one place each, and one more for the champion
    assert all(abs(bred[parent] - (2_000 if parent == champion else 1_000)) < 150 for parent in best)


def test_a_tournament_gives_each_rank_its_chance() -> None:
    settings = GaSettings(
        window=10, parents=10, founders=10, selection="tournament", tournament_size=3, candidates=0
    )
    algorithm = GeneticAlgorithm(settings, seed=3)
    founders = play(algorithm, 10, number)
    bred = Counter(ask.parent_id for ask in algorithm.ask(20_000))
    for rank, ask in enumerate(founders):
        chance = ((rank + 1) / 10) ** 3 - (rank / 10) ** 3
        assert bred[ask.genome.id] / 20_000 == pytest.approx(chance, abs=0.015)


def test_the_oldest_leaves_a_full_window_however_good_it_was() -> None:
    algorithm = GeneticAlgorithm(SMALL, seed=1)
    play(algorithm, 50, lambda ask: -float(ask.ticket))
    assert told_window(algorithm) == [-float(ticket) for ticket in range(49, 29, -1)]


def test_the_worst_leaves_a_full_window_if_that_is_the_rule() -> None:
    settings = GaSettings(window=20, parents=5, founders=10, candidates=0, replacement="worst")
    algorithm = GeneticAlgorithm(settings, seed=1)
    play(algorithm, 50, lambda ask: -float(ask.ticket))
    assert told_window(algorithm) == [-float(ticket) for ticket in range(19, -1, -1)]
    play(algorithm, 1, lambda _ask: 100.0)
    assert told_window(algorithm)[0] == -18.0
    assert told_window(algorithm)[-1] == 100.0


def test_of_equals_the_newer_ranks_higher() -> None:
    algorithm = GeneticAlgorithm(SMALL, seed=1)
    play(algorithm, 8, lambda _ask: 1.0)
    assert [member.ticket for member in algorithm.population()] == list(range(8))


def test_fitness_is_the_mean_of_an_evaluations_returns() -> None:
    algorithm = GeneticAlgorithm(GaSettings(episodes=3, candidates=0), seed=1)
    (ask,) = algorithm.ask(1)
    algorithm.tell(Result(ask.ticket, (1.0, 2.0, 6.0), frames=40, steps=10))
    assert told_window(algorithm) == [3.0]
    assert (algorithm.evaluations, algorithm.episodes, algorithm.frames, algorithm.steps) == (1, 3, 40, 10)


def test_a_late_result_counts_and_enters_as_the_newest() -> None:
    algorithm = GeneticAlgorithm(SMALL, seed=1)
    (late,) = algorithm.ask(1)
    play(algorithm, 500, number)
    tell(algorithm, late, 7.0)
    assert algorithm.evaluations == 501
    assert algorithm.find(late.genome.id) == late.genome
    play(algorithm, 19, number)
    assert algorithm.find(late.genome.id) is not None
    play(algorithm, 1, number)
    assert algorithm.find(late.genome.id) is None


@pytest.mark.parametrize("told_since", [0, 1_000])
def test_a_ticket_told_twice_counts_once_and_is_refused_by_name(told_since: int) -> None:
    algorithm = GeneticAlgorithm(SMALL, seed=1)
    (ask,) = algorithm.ask(1)
    tell(algorithm, ask, 1.0)
    play(algorithm, told_since, number)
    before = algorithm.snapshot()
    with pytest.raises(AlreadyToldError, match=f"ticket {ask.ticket} was told before"):
        tell(algorithm, ask, 2.0)
    assert algorithm.snapshot() == before


@pytest.mark.parametrize("ticket", [-1, 3, 2**63])
def test_a_ticket_never_asked_is_refused_by_name(ticket: int) -> None:
    algorithm = GeneticAlgorithm(SMALL, seed=1)
    algorithm.ask(3)
    with pytest.raises(UnknownTicketError, match=f"ticket {ticket} was never asked"):
        algorithm.tell(Result(ticket, (1.0,), 4, 1))


@pytest.mark.parametrize(
    ("returns", "frames", "says"),
    [
        ((math.nan,), 4, "returns is"),
        ((math.inf,), 4, "returns is"),
        ((-math.inf,), 4, "returns is"),
        ((), 4, "returns has 0 values; ticket 0 asked for 1 episodes"),
        ((1.0, 2.0), 4, "returns has 2 values"),
        ((1.0,), -4, "frames is -4"),
    ],
)
def test_an_impossible_result_is_refused_by_name_and_changes_nothing(
    returns: tuple[float, ...], frames: int, says: str
) -> None:
    algorithm = GeneticAlgorithm(SMALL, seed=1)
    (ask,) = algorithm.ask(1)
    before = algorithm.snapshot()
    with pytest.raises(ValueError, match=says) as refusal:
        algorithm.tell(Result(ask.ticket, returns, frames, 1))
    assert not isinstance(refusal.value, TicketError)
    assert algorithm.snapshot() == before
    tell(algorithm, ask, 1.0)
    assert algorithm.evaluations == 1


def test_an_ask_names_no_parent_unless_it_has_one() -> None:
    assert Ask(0, Genome.founder(1), Purpose.VALIDATE, (1,)).parent_id is None


def test_frames_and_steps_count_from_nought() -> None:
    check_result(Result(1, (1.0,), 0, 0), 1)
    for frames, steps, says in ((-1, 0, "frames is -1"), (0, -1, "steps is -1")):
        with pytest.raises(ValueError, match=f"^{says}; it counts from 0$"):
            check_result(Result(1, (1.0,), frames, steps), 1)


def test_what_could_not_be_scored_is_no_result() -> None:
    with pytest.raises(ValueError, match=r"^failure is 'no'; it is no result, set ticket 1 aside$"):
        check_result(Result(1, (1.0,), 4, 1, "no"), 1)


def test_returns_whose_sum_overflows_are_refused() -> None:
    algorithm = GeneticAlgorithm(GaSettings(episodes=2), seed=1)
    (ask,) = algorithm.ask(1)
    with pytest.raises(ValueError, match="finite"):
        algorithm.tell(Result(ask.ticket, (1e308, 1e308), 4, 1))


def test_equal_genomes_are_one_individual() -> None:
    algorithm = GeneticAlgorithm(SMALL, seed=1)
    (first,) = algorithm.ask(1)
    twin = first._replace(ticket=1)
    algorithm.adopt(twin)
    tell(algorithm, first, 1.0)
    tell(algorithm, twin, 3.0)
    (member,) = algorithm.population()
    assert (member.fitness, member.episodes) == (2.0, 2)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_beyond_uint64_is_refused_by_name(seed: int) -> None:
    with pytest.raises(ValueError, match=rf"^seed is {seed}"):
        GeneticAlgorithm(SMALL, seed)


def test_the_dice_of_an_ask_depend_on_the_seed_and_its_ticket_only() -> None:
    one, other = (GeneticAlgorithm(SMALL, seed=9) for _ in range(2))
    asks = one.ask(30)
    for ask in asks[:5]:
        tell(one, ask, 1.0)
    again = other.ask(30)
    assert asks == again
    changed = GeneticAlgorithm(SMALL, seed=10).ask(30)
    assert not {ask.genome.init_seed for ask in asks} & {ask.genome.init_seed for ask in changed}


def test_episode_seeds_are_fresh_for_every_ask_and_longer_lists_extend_shorter_ones() -> None:
    few, many = (GeneticAlgorithm(GaSettings(episodes=n), seed=1).ask(200) for n in (3, 21))
    assert all(ask.episode_seeds == longer.episode_seeds[:3] for ask, longer in zip(few, many, strict=True))
    seeds = [seed for ask in many for seed in ask.episode_seeds]
    assert len(set(seeds)) == len(seeds) == 200 * 21


@given(st.data())
def test_the_same_asks_and_tells_give_the_same_state(data: st.DataObject) -> None:
    settings = GaSettings(
        window=8, parents=3, founders=3, candidates=2, validation_episodes=3, validation_share=0.4, litter=2
    )
    one, other = (GeneticAlgorithm(settings, seed=5) for _ in range(2))
    for _ in range(data.draw(st.integers(1, 30))):
        n = data.draw(st.integers(0, 4))
        assert one.ask(n) == other.ask(n)
        for ask in one.pending()[: data.draw(st.integers(0, 5))]:
            value = data.draw(st.floats(-10, 10))
            tell(one, ask, value)
            tell(other, ask, value)
    assert one.snapshot() == other.snapshot()


def test_a_litters_children_follow_each_other_even_between_validations() -> None:
    settings = GaSettings(window=50, founders=10, parents=40, litter=6, candidates=5, validation_share=0.3)
    algorithm = GeneticAlgorithm(settings, seed=2)
    asks = play(algorithm, 1_000, lambda ask: math.sin(ask.ticket))
    bred: list[int | None] = []
    for ask in asks:
        if ask.purpose is not Purpose.EXPLORE:
            assert len(bred) % 6 == 0
        elif len(ask.genome):
            bred.append(ask.parent_id)
    rows = [bred[start : start + 6] for start in range(0, len(bred), 6)]
    assert all(len(set(row)) == 1 for row in rows)
    assert len({row[0] for row in rows}) > 20


@pytest.mark.parametrize("share", [0.05, 0.3, 0.7])
@pytest.mark.parametrize("litter", [1, 6])
def test_the_share_of_validation_is_the_one_that_was_set(share: float, litter: int) -> None:
    settings = GaSettings(window=50, founders=10, candidates=5, validation_share=share, litter=litter)
    asks = play(GeneticAlgorithm(settings, seed=2), 3_000, lambda ask: math.sin(ask.ticket))
    validating = sum(ask.purpose is not Purpose.EXPLORE for ask in asks)
    assert validating / 3_000 == pytest.approx(share, abs=0.02)


def test_quantiles_run_from_the_worst_to_the_best() -> None:
    algorithm = GeneticAlgorithm(SMALL, seed=1)
    assert algorithm.fitness_quantiles((0, 0.5, 1)) == []
    play(algorithm, 1, number)
    assert algorithm.fitness_quantiles((0, 0.5, 1)) == [0.0, 0.0, 0.0]
    play(algorithm, 10, number)
    assert algorithm.fitness_quantiles((0, 0.5, 1)) == [0.0, 5.0, 10.0]


def test_nothing_grows_with_the_number_of_evaluations() -> None:
    """Lines grow longer; besides them a run a hundred times as long keeps as many objects."""
    settings = GaSettings(window=50, founders=5, parents=0, candidates=5, validation_episodes=5)
    sizes = []
    for evaluations in (2_000, 20_000):
        algorithm = GeneticAlgorithm(settings, seed=1)
        play(algorithm, evaluations, lambda ask: math.sin(ask.ticket))
        sizes.append(_reachable_bytes(algorithm))
    assert sizes[1] < 1.1 * sizes[0]


def _reachable_bytes(root: object) -> int:
    seen: dict[int, object] = {}
    stack = [root]
    while stack:
        thing = stack.pop()
        if id(thing) in seen or isinstance(thing, type) or callable(thing):
            continue
        seen[id(thing)] = thing
        stack.extend(_parts(thing))
    return sum(sys.getsizeof(thing) for thing in seen.values())


def _parts(thing: object) -> list[object]:
    if isinstance(thing, dict):
        return [*thing.keys(), *thing.values()]
    if isinstance(thing, str | bytes | int | float):
        return []
    slots = getattr(type(thing), "__slots__", ())
    parts = [
        getattr(thing, slot)
        for slot in ([slots] if isinstance(slots, str) else slots)
        if hasattr(thing, slot)
    ]
    if hasattr(thing, "__dict__"):
        parts.append(vars(thing))
    if hasattr(thing, "__iter__"):
        parts.extend(thing)
    return parts


def children_powers(settings: GaSettings, n: int) -> list[float]:
    asks = play(GeneticAlgorithm(settings, seed=4), n, number)
    return [ask.genome.mutations[-1].power for ask in asks if ask.parent_id is not None]


def test_a_constant_power_is_the_same_float32_in_every_mutation() -> None:
    settings = GaSettings(founders=1, power=0.002, rank=4)
    asks = play(GeneticAlgorithm(settings, seed=4), 50, number)
    kinds = {(m.power, m.rank) for ask in asks for m in ask.genome.mutations}
    assert kinds == {(float32(0.002), 4)}


@pytest.mark.parametrize(("schedule", "halfway"), [("linear", 0.505), ("exponential", 0.1)])
def test_a_scheduled_power_goes_from_first_to_last_in_few_steps(schedule: str, halfway: float) -> None:
    settings = GaSettings(
        founders=1,
        candidates=0,
        power=1.0,
        power_schedule=schedule,  # type: ignore[arg-type]
        final_power=0.01,
        power_evaluations=1_000,
    )
    powers = children_powers(settings, 1_100)
    assert powers[0] == 1.0
    assert powers[500] == pytest.approx(halfway, rel=0.05)
    assert powers[-1] == float32(0.01)
    assert powers == sorted(powers, reverse=True)
    assert len(set(powers)) <= 65


def test_a_self_adapted_power_travels_in_the_genome_and_varies_log_normally() -> None:
    settings = GaSettings(
        founders=1, power=0.1, power_schedule="self_adapted", final_power=1e-6, power_learning_rate=0.3
    )
    logs = []
    for ask in play(GeneticAlgorithm(settings, seed=4), 4_000, lambda ask: math.sin(ask.ticket)):
        line = [0.1, *(mutation.power for mutation in ask.genome.mutations)]
        assert all(float32(power) == power for power in line[1:])
        if len(line) > 1:
            logs.append(math.log(line[-1] / line[-2]))
    mean = sum(logs) / len(logs)
    spread = math.sqrt(sum((log - mean) ** 2 for log in logs) / len(logs))
    assert abs(mean) < 0.03
    assert spread == pytest.approx(0.3, rel=0.1)


def test_a_self_adapted_power_never_falls_below_the_final_power() -> None:
    settings = GaSettings(
        founders=1, power=0.1, power_schedule="self_adapted", final_power=0.09, power_learning_rate=2.0
    )
    assert min(children_powers(settings, 500)) == float32(0.09)


def test_an_adopted_ask_is_pending_and_its_ticket_is_not_used_again() -> None:
    algorithm = GeneticAlgorithm(SMALL, seed=1)
    old = Ask(5, Genome.founder(77).child(Mutation(1, 0.5)), Purpose.EXPLORE, (1,))
    algorithm.adopt(old)
    assert algorithm.pending() == [old]
    assert [ask.ticket for ask in algorithm.ask(2)] == [6, 7]
    tell(algorithm, old, 3.0)
    assert algorithm.find(old.genome.id) == old.genome


def test_a_litter_that_began_before_a_restart_is_completed_after_it() -> None:
    lived, restarted = (GeneticAlgorithm(GaSettings(litter=2, founders=3), seed=1) for _ in range(2))
    for ask in play(lived, 3, number):
        restarted.adopt(ask)
        tell(restarted, ask, number(ask))
    first, second = lived.ask(2)
    restarted.adopt(first)
    assert restarted.ask(1) == [second]
    assert second.parent_id == first.parent_id is not None


def test_a_litters_parent_is_found_though_the_window_has_forgotten_it() -> None:
    algorithm = GeneticAlgorithm(GaSettings(window=3, parents=1, founders=3, litter=9, candidates=0), seed=1)
    play(algorithm, 3, number)
    (child,) = play(algorithm, 1, number)
    parent = child.genome.parent()
    assert parent is not None
    play(algorithm, 5, lambda _ask: 100.0)
    assert parent.id not in {member.genome.id for member in algorithm.population()}
    assert algorithm.find(parent.id) == parent
    assert algorithm.find(parent.id + 1) is None


def test_an_adopted_ask_that_was_told_is_refused() -> None:
    algorithm = GeneticAlgorithm(SMALL, seed=1)
    (ask,) = algorithm.ask(1)
    tell(algorithm, ask, 1.0)
    with pytest.raises(AlreadyToldError, match="cannot be adopted again"):
        algorithm.adopt(ask)


def test_a_pending_ask_cannot_be_adopted_twice() -> None:
    algorithm = GeneticAlgorithm(SMALL, seed=1)
    (ask,) = algorithm.ask(1)
    with pytest.raises(AlreadyToldError, match="cannot be adopted again"):
        algorithm.adopt(ask)


def test_tickets_passed_over_in_a_restart_are_unknown_until_they_are_adopted() -> None:
    algorithm = GeneticAlgorithm(SMALL, seed=1)
    algorithm.skip_to(10)
    with pytest.raises(UnknownTicketError, match="ticket 4 was lost in a restart"):
        algorithm.tell(Result(4, (1.0,), 4, 1))
    found = Ask(4, Genome.founder(1), Purpose.EXPLORE, (1,))
    algorithm.adopt(found)
    tell(algorithm, found, 1.0)
    with pytest.raises(AlreadyToldError):
        tell(algorithm, found, 1.0)
    with pytest.raises(UnknownTicketError, match="lost"):
        algorithm.tell(Result(5, (1.0,), 4, 1))
    assert algorithm.ask(1)[0].ticket == 10


@given(st.data())
def test_replaying_the_asks_and_tells_of_a_journal_gives_the_same_state(data: st.DataObject) -> None:
    settings = GaSettings(
        window=8, parents=3, founders=3, candidates=2, validation_episodes=3, validation_share=0.4,
        litter=data.draw(st.sampled_from([1, 3])),
    )  # fmt: skip
    lived, replayed = (GeneticAlgorithm(settings, seed=5) for _ in range(2))
    for _ in range(data.draw(st.integers(1, 30))):
        for ask in lived.ask(data.draw(st.integers(0, 4))):
            replayed.adopt(ask)
        for ask in lived.pending()[: data.draw(st.integers(0, 5))]:
            value = data.draw(st.floats(-10, 10))
            tell(lived, ask, value)
            tell(replayed, ask, value)
    assert replayed.snapshot() == lived.snapshot()
    assert replayed.ask(10) == lived.ask(10)
