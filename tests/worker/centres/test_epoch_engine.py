"""The engine of an evolution strategy: slices in, scores out, and a centre that moves by itself."""

import gc
import math
from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from typing import Any
from weakref import ref

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from germline.eggroll import Evolution
from germline.genome import Genome, Mutation
from germline.pairs import Member, Slice, members
from germline.weights import Layout, rebuild
from worker.centres import first_centre
from worker.centres.epoch_engine import EpochEngine
from worker.centres.first_centre import CentreSettings, build_evolving, first_evolution
from worker.centres.members import (
    LowRankRows,
    MaterialisedMembers,
    MemberPopulation,
    centre_member,
    member_population,
    write_weights,
)
from worker.networks.policies.mlp import Mlp
from worker.networks.policies.vector import Vector
from worker.playing.engine import Evaluation, Played
from worker.playing.playable import EngineSettings
from worker.tasks.base import DiscreteActions, Spaces
from worker.tasks.function import noisy_sphere

PAIRS = 4
CPU = torch.device("cpu")
CENTRE = CentreSettings(
    seed=3, pairs=PAIRS, rank=1, sigma=0.1, sigma_decay=0.9, optimiser="adam", learning_rate=0.05,
    learning_rate_decay=1.0, momentum=0.9, weight_decay=0.0, shaping="centred_rank", noise_reuse=1,
    measured_every=2,
)  # fmt: skip
FUNCTION = EngineSettings(
    "function", "vector", {"path": "worker.tasks.function:noisy_sphere", "dimension": 10}, episodes=2
)
CARTPOLE = EngineSettings("gym", "mlp", {"id": "CartPole-v1", "max_steps": 60}, hidden=(8,), episodes=2)


def engine(settings: EngineSettings = FUNCTION, centre: CentreSettings = CENTRE) -> EpochEngine[Hashable]:
    return build_evolving(settings, centre, device=CPU)


def slice_of(key: str, epoch: int, first_pair: int, pairs: int, episodes: int = 2) -> Evaluation[Hashable]:
    seeds = range(1000 * epoch + 2 * first_pair, 1000 * epoch + 2 * first_pair + episodes * max(pairs, 1))
    return Evaluation(key, Slice(epoch, first_pair, pairs), tuple(seeds))


def play(engine: EpochEngine[Hashable]) -> dict[str, Played[Hashable]]:
    finished: dict[str, Played[Hashable]] = {}
    while engine.busy():
        finished |= {str(played.key): played for played in engine.tick()}
    return finished


def test_returns_come_pair_by_pair_plus_before_minus_episode_by_episode() -> None:
    playing = engine()
    playing.submit(slice_of("slice", 0, 1, 2))
    returns = play(playing)["slice"].returns
    evolution = first_evolution(_vector(), CENTRE)
    weights, wanted = torch.zeros(10), []
    for member in members(0, 1, 2):
        write_weights(evolution, member, weights)
        wanted += [noisy_sphere(weights.numpy(), 2 + 2 * (member.pair - 1) + episode) for episode in range(2)]
    assert list(returns) == wanted


def test_the_first_centre_may_be_a_genome_rebuilt_bit_for_bit() -> None:
    line = Genome.founder(9).child(Mutation(1, 0.5)).child(Mutation(2, 0.25, 3))
    policy = _vector()
    evolution = first_evolution(policy, replace(CENTRE, start=line))
    wanted = torch.zeros(10)
    rebuild(line, Layout.of(policy), wanted)
    assert torch.equal(evolution.centre, wanted)
    begun = [engine(centre=replace(CENTRE, start=start)).digest() for start in (line, line, None)]
    assert begun[0] == begun[1] == evolution.digest() != begun[2]
    assert begun[2] == first_evolution(_vector(), CENTRE).digest()


def test_starting_over_comes_back_to_the_genome_it_started_from() -> None:
    playing = engine(centre=replace(CENTRE, start=Genome.founder(9)))
    first = playing.digest()
    playing.update(0, [1.0, 0.0] * PAIRS)
    assert playing.digest() != first
    playing.reload()
    assert (playing.epoch, playing.digest()) == (0, first)


def test_no_pairs_are_the_centre_itself_on_all_seeds() -> None:
    playing = engine()
    playing.submit(slice_of("centre", 0, 0, 0, episodes=5))
    returns = play(playing)["centre"].returns
    assert len(returns) == 5
    assert np.std(returns) < 1.0  # one network, and noise of 0.2


def test_work_of_a_later_epoch_waits_for_its_centre_and_of_an_earlier_one_is_dropped() -> None:
    playing = engine()
    playing.submit(slice_of("later", 1, 0, 1))
    assert not playing.busy()
    playing.submit(slice_of("open", 0, 0, 1))
    assert playing.busy()
    assert playing.update(0, [1.0, 0.0] * PAIRS)
    assert set(play(playing)) == {"later"}
    playing.submit(slice_of("earlier", 0, 1, 1))
    assert not playing.busy()


def test_an_update_is_applied_once_and_in_order() -> None:
    playing = engine()
    assert not playing.update(1, [1.0, 0.0] * PAIRS)
    assert playing.update(0, [1.0, 0.0] * PAIRS)
    digest = playing.digest()
    assert not playing.update(0, [0.0, 1.0] * PAIRS)
    assert (playing.epoch, playing.digest()) == (1, digest)


def test_starting_over_forgets_a_corrupted_centre() -> None:
    sound, corrupted = engine(), engine()
    scores = [float(number) for number in range(2 * PAIRS)]
    for each in (sound, corrupted):
        each.update(0, scores)
    corrupted._evolution.centre[2] += 1.0
    corrupted.submit(slice_of("held", 1, 0, 1))
    corrupted.reload()
    assert corrupted.epoch == 0
    corrupted.update(0, scores)
    assert corrupted.digest() == sound.digest()
    assert set(play(corrupted)) == {"held"}


def test_a_checkpoint_goes_on_with_the_same_bits() -> None:
    first, late = engine(), engine()
    scores = [[float((7 * number + epoch) % 5) for number in range(2 * PAIRS)] for epoch in range(4)]
    for epoch in range(3):
        first.update(epoch, scores[epoch])
    state = first.state(3)
    assert state is not None
    assert late.load(state.data)
    assert not late.load(state.data)
    for each in (first, late):
        each.update(3, scores[3])
    assert late.digest() == first.digest()


def test_the_states_that_may_be_asked_for_are_kept_for_a_while() -> None:
    playing = engine(centre=replace(CENTRE, measured_every=2, checkpoint_every=5))
    digests = {}
    for epoch in range(7):
        digests[epoch] = playing.digest()
        playing.update(epoch, [1.0, 0.0] * PAIRS)
    kept = {epoch: playing.state(epoch) for epoch in range(7)}
    expected = {epoch: digests[epoch] for epoch in (4, 5, 6)}
    assert {epoch: state.digest for epoch, state in kept.items() if state} == expected


@pytest.mark.parametrize("damage", ["not a file", "flipped", "another network"])
def test_a_damaged_checkpoint_is_refused_and_changes_nothing(damage: str) -> None:
    playing = engine()
    other = engine(CARTPOLE)
    other.update(0, [1.0, 0.0] * PAIRS)
    playing.update(0, [1.0, 0.0] * PAIRS)
    mine, theirs = playing.state(1), other.state(1)
    assert mine
    assert theirs
    fresh = engine()
    flipped = mine.data[:-3] + bytes([mine.data[-3] ^ 64]) + mine.data[-2:]
    data = {"not a file": b"no", "flipped": flipped, "another network": theirs.data}[damage]
    with pytest.raises(ValueError, match="centre"):
        fresh.load(data)
    assert fresh.epoch == 0
    assert fresh.digest() == engine().digest()


def test_a_slice_plays_the_same_beside_whatever_else() -> None:
    alone, crowded = engine(CARTPOLE), engine(CARTPOLE)
    alone.submit(slice_of("it", 0, 2, 1))
    for number in (0, 1, 3):
        crowded.submit(slice_of(f"other {number}", 0, number, 1))
    crowded.submit(slice_of("centre", 0, 0, 0))
    crowded.submit(slice_of("it", 0, 2, 1))
    assert play(alone)["it"].returns == play(crowded)["it"].returns


def test_what_is_cancelled_is_not_told_and_the_rest_is() -> None:
    playing = engine(CARTPOLE)
    playing.submit(slice_of("stays", 0, 0, 1))
    playing.submit(slice_of("goes", 0, 1, 1))
    playing.submit(slice_of("later", 1, 1, 1))
    playing.tick()
    playing.cancel({"goes", "later"})
    assert set(play(playing)) == {"stays"}
    playing.update(0, [1.0, 0.0] * PAIRS)
    assert not playing.busy()


class Reader(nn.Module):
    """Computes with a layer's weight itself, which no shared forward pass can follow."""

    def __init__(self, *, observation_shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(observation_shape[0], outputs)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.layer(x) + self.layer.weight.sum()
        return answer


class Gated(nn.Module):
    """No plain line of layers, but made of layers that know populations."""

    def __init__(self, *, observation_shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.gate, self.value = (
            nn.Linear(observation_shape[0], outputs),
            nn.Linear(observation_shape[0], outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = torch.sigmoid(self.gate(x)) * self.value(x)
        return answer


class Mixer(Gated):
    """Compares its rows with each other, which are other members' in a shared forward pass."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - x.mean(0))


class Insider(Reader):
    """Reads a layer's weight where nobody can see it."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.layer._parameters["weight"]
        assert weight is not None
        answer: Tensor = self.layer(x) + weight.sum()
        return answer


SPACES = Spaces((6,), np.dtype(np.float32), DiscreteActions(3))


@pytest.mark.parametrize(
    ("network", "kind"),
    [
        (Mlp(observation_shape=(6,), outputs=3, hidden=(8,)), MemberPopulation),
        (Gated(observation_shape=(6,), outputs=3), MemberPopulation),
        (Reader(observation_shape=(6,), outputs=3), MaterialisedMembers),
        (Insider(observation_shape=(6,), outputs=3), MaterialisedMembers),
        (Mixer(observation_shape=(6,), outputs=3), MaterialisedMembers),
    ],
)
def test_members_act_as_their_exact_weights_do_whatever_plays_them(network: nn.Module, kind: type) -> None:
    evolution = first_evolution(network.requires_grad_(True), CENTRE)
    population = member_population(evolution, SPACES, 4, 3, "float32")
    assert isinstance(population, kind)
    everybody = [Member(0, 1, 1), Member(0, 1, -1), Member(0, 3, 1), centre_member(0)]
    for slot, member in enumerate(everybody):
        population.fill(slot, member)
    observations = np.random.default_rng(0).normal(size=(population.slots, 3, 6)).astype(np.float32)
    actions = population.act(observations, np.ones((population.slots, 3), np.bool_))
    for slot, member in enumerate(everybody):
        assert list(actions[slot]) == _greedy(evolution, member, observations[slot])


def _greedy(evolution: object, member: Member, rows: np.ndarray) -> Iterable[int]:
    assert isinstance(evolution, Evolution)
    weights, kept = torch.zeros(evolution.space.size), evolution.centre.clone()
    write_weights(evolution, member, weights)
    evolution.space.write(weights, evolution.network)
    with torch.no_grad():
        chosen = evolution.network(torch.from_numpy(rows)).argmax(-1).tolist()
    evolution.space.write(kept, evolution.network)
    return list(chosen)


def test_a_network_that_is_no_plain_line_shares_its_layers_all_the_same() -> None:
    evolution = first_evolution(Gated(observation_shape=(6,), outputs=3).requires_grad_(True), CENTRE)
    population = member_population(evolution, SPACES, 4, 3, "float32")
    assert isinstance(population, MemberPopulation)
    assert isinstance(population._forward, LowRankRows)


def test_a_network_whose_frozen_part_cannot_compute_in_the_precision_is_written_out() -> None:
    network = nn.Sequential(nn.Linear(6, 3), nn.PReLU())
    network[1].requires_grad_(False)
    evolution = first_evolution(network, CENTRE)
    assert isinstance(member_population(evolution, SPACES, 4, 3, "float32"), MemberPopulation)
    population = member_population(evolution, SPACES, 4, 3, "bfloat16")
    assert isinstance(population, MaterialisedMembers)
    population.fill(0, Member(0, 1, 1))
    shape = (population.slots, 3, 6)
    population.act(np.ones(shape, np.float32), np.ones(shape[:2], np.bool_))


def test_a_device_that_is_full_gets_fewer_slots_and_not_written_out_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("no room for the trial")

    monkeypatch.setattr("worker.centres.members.try_out", full)
    evolution = first_evolution(Gated(observation_shape=(6,), outputs=3).requires_grad_(True), CENTRE)
    with pytest.raises(torch.OutOfMemoryError, match="no room for the trial"):
        member_population(evolution, SPACES, 4, 3, "float32")


def _vector() -> nn.Module:
    return Vector(dimension=10)


@pytest.mark.parametrize("frees", [EpochEngine.doze, EpochEngine.close, EpochEngine.reload])
def test_an_engine_that_dozes_keeps_no_members_and_wakes_to_the_same_centre(
    frees: Callable[[EpochEngine[Hashable]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[ref[object]] = []

    def noted(*arguments: Any) -> object:
        made.append(ref(population := member_population(*arguments)))
        return population

    monkeypatch.setattr(first_centre, "member_population", noted)
    playing = engine(CARTPOLE)
    playing.submit(slice_of("slice", 0, 0, 2))
    awake = play(playing)["slice"].returns
    frees(playing)
    gc.collect()
    assert [members() for members in made] == [None]
    playing.submit(slice_of("slice", 0, 0, 2))
    assert play(playing)["slice"].returns == awake


def replace_noisy_sphere(monkeypatch: pytest.MonkeyPatch, other: Callable[..., float]) -> None:
    """Put another function in its place, as if it were defined there."""
    other.__module__ = noisy_sphere.__module__
    monkeypatch.setattr("worker.tasks.function.noisy_sphere", other)


def test_members_that_cannot_be_scored_are_missing_from_their_slice_and_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def picky(weights: np.ndarray[Any, np.dtype[np.float32]], seed: int) -> float:
        if seed in (3, 4):
            raise FloatingPointError(f"seed {seed} diverges")
        return noisy_sphere(weights, seed)

    whole = engine()
    whole.submit(slice_of("slice", 0, 0, 3))
    scored = play(whole)["slice"].returns
    replace_noisy_sphere(monkeypatch, picky)
    playing = engine()
    playing.submit(slice_of("slice", 0, 0, 3))
    playing.submit(slice_of("later", 1, 0, 3))
    assert playing.in_play() == {"slice"}
    played = play(playing)["slice"]
    missing = [math.isnan(value) for value in played.returns]
    assert missing == [False] * 4 + [True] * 8
    assert played.returns[:4] == scored[:4]
    assert played.failure == (
        "member 0.1+: FloatingPointError: seed 3 diverges; member 0.1-: FloatingPointError: seed 3 diverges; "
        "member 0.2+: FloatingPointError: seed 4 diverges"
    )


def test_a_centre_that_cannot_be_measured_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(weights: np.ndarray[Any, np.dtype[np.float32]], seed: int) -> float:
        raise SystemExit("no licence")

    replace_noisy_sphere(monkeypatch, broken)
    playing = engine()
    playing.submit(slice_of("centre", 0, 0, 0))
    assert play(playing)["centre"].failure == "the centre: SystemExit: no licence"
