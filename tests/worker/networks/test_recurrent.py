"""Policies that remember: each episode for itself, from its beginning, in whatever company it is played."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from germline.eggroll import Evolution
from germline.genome import Genome
from germline.pairs import Member
from worker.centres.first_centre import CentreSettings, first_evolution
from worker.centres.members import (
    MaterialisedMembers,
    MemberPopulation,
    centre_member,
    member_population,
    write_weights,
)
from worker.networks.policies.build import make_policy
from worker.networks.policies.recurrent import Recurrent
from worker.networks.population import DensePopulation
from worker.playing.engine import Evaluation
from worker.playing.rollout import Rollout
from worker.tasks.base import (
    Actions,
    ContinuousActions,
    LaneIndices,
    Lanes,
    Observations,
    SetupError,
    Spaces,
    Stepped,
)

GRU = "worker.networks.policies.gru:Gru"


class Tones:
    """Four random observations in each episode; the return tells what was answered to them."""

    spaces = Spaces(
        (3,),
        np.dtype(np.float32),
        ContinuousActions(np.full(3, -1, np.float32), np.full(3, 1, np.float32), (3,)),
    )

    def make_lanes(self, count: int) -> Lanes:
        return ToneLanes(count)


class ToneLanes:
    def __init__(self, count: int) -> None:
        self.count = count
        self.observations: Observations = np.zeros((count, 3), np.float32)
        self._tones, self._ages = np.zeros((count, 5, 3)), np.zeros(count, np.int64)

    def begin(self, lanes: LaneIndices, seeds: list[int]) -> None:
        self._tones[lanes] = [np.random.default_rng(seed).standard_normal((5, 3)) for seed in seeds]
        self._ages[lanes] = 0
        self.observations[lanes] = self._tones[lanes, 0]

    def send(self, lanes: LaneIndices, actions: Actions) -> None:
        self._lanes, self._actions = lanes, actions

    def receive(self) -> Stepped:
        lanes = self._lanes
        self._ages[lanes] += 1
        self.observations[lanes] = self._tones[lanes, self._ages[lanes]]
        rewards = self._actions.sum(axis=1, dtype=np.float64) * 2.0 ** self._ages[lanes]
        return Stepped(rewards, self._ages[lanes] == 4, np.ones(len(lanes), np.int64))

    def close(self) -> None:
        """Nothing to free."""


Returns = dict[int, tuple[float, ...]]


def played(slots: int, rows: int, work: dict[int, tuple[int, ...]], name: str = GRU) -> Returns:
    """Returns of founders of these seeds in episodes of those."""
    policy = make_policy(name, Tones())
    engine: Rollout[int] = Rollout(
        ToneLanes, lambda count: DensePopulation(policy, Tones.spaces, count, rows), slots
    )
    for seed, episodes in work.items():
        engine.submit(Evaluation(seed, Genome.founder(seed), episodes))
    returns: Returns = {}
    while engine.busy():
        returns |= {each.key: each.returns for each in engine.tick()}
    return returns


class LearnsItsBeginning(nn.Module):
    """Remembers by an LSTM, from a first state that evolves."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(1, 8))
        self.memory, self.head = nn.LSTMCell(3, 4), nn.Linear(4, 3)

    def initial_state(self, rows: int) -> Tensor:
        return self.first.expand(rows, -1)

    def forward(self, observations: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        hidden, cell = self.memory(observations, tuple(state.chunk(2, dim=1)))
        return self.head(hidden), torch.cat((hidden, cell), dim=1)


@pytest.mark.parametrize("name", [GRU, f"{__name__}:LearnsItsBeginning"])
def test_an_episode_is_remembered_from_its_beginning_in_whatever_company_it_is_played(name: str) -> None:
    people, seeds = range(3), tuple(range(5))
    alone = {who: [played(1, 1, {who: (seed,)}, name)[who][0] for seed in seeds] for who in people}
    assert len({returned for returns in alone.values() for returned in returns}) == 15
    for slots, rows in ((1, 1), (2, 2), (3, 4)):
        together = played(slots, rows, dict.fromkeys(people, seeds), name)
        for who in people:
            assert together[who] == pytest.approx(alone[who], rel=1e-4)


def test_what_a_network_answers_depends_on_what_it_saw_in_the_episode_and_not_before_it() -> None:
    population = DensePopulation(make_policy(GRU, Tones()), Tones.spaces, 1, 2)
    population.fill(0, Genome.founder(1))
    everybody = np.ones((1, 2), np.bool_)
    tones = np.random.default_rng(0).standard_normal((2, 3), np.float32)

    def heard(*both: int) -> Actions:
        actions: Actions = population.act(tones[None, list(both)], everybody)[0]
        return actions

    beginning, later = heard(0, 1), heard(0, 0)
    assert not np.array_equal(later[0], later[1])
    population.begin(0, 1)
    assert np.array_equal(heard(0, 1)[1], beginning[1])
    population.fill(0, Genome.founder(1))
    assert np.array_equal(heard(0, 1), beginning)


class Forgets(LearnsItsBeginning):
    def forward(self, observations: Tensor, state: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(observations, state)[0]


class Shrinks(LearnsItsBeginning):
    def forward(self, observations: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        answer, state = super().forward(observations, state)
        return answer, state[:, :4]


class IsOne(LearnsItsBeginning):
    def initial_state(self, rows: int) -> Tensor:
        return self.first


class HasTwo(LearnsItsBeginning):
    def initial_state(self, rows: int) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return super().initial_state(rows), super().initial_state(rows)


class HasNone(nn.Module):
    def __init__(self, observation_shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.memory = nn.RNNCell(observation_shape[0], outputs)

    def forward(self, observations: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        after: Tensor = self.memory(observations, state)
        return after, after


class AlsoKeeps(LearnsItsBeginning):
    last: Tensor | float = 0.0

    def forward(self, observations: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        before, self.last = self.last, observations
        return super().forward(observations + before, state)


@pytest.mark.parametrize(
    ("policy", "complaint"),
    [
        (
            Forgets,
            r"forward\(observations, state\) gives a tensor \[2, 3\] of float32; allowed: a tuple",
        ),
        (
            Shrinks,
            r"its state is a tensor \[2, 8\] of float32 at first and a tensor \[2, 4\]",
        ),
        (IsOne, r"initial_state\(2\) gives a tensor \[1, 8\] of float32; allowed: one tensor, \[2, ...\]"),
        (HasTwo, r"initial_state\(2\) gives a tuple; .*torch.cat joins several"),
        (
            HasNone,
            r"'state'; a policy that remembers has a method initial_state\(rows\)",
        ),
        (AlsoKeeps, "answers the same episode differently when it plays it again"),
    ],
)
def test_a_policy_that_remembers_in_another_way_is_refused(policy: type[nn.Module], complaint: str) -> None:
    with pytest.raises(SetupError, match=complaint):
        make_policy(f"{__name__}:{policy.__name__}", Tones())


def test_a_policy_that_remembers_plays_in_bfloat16() -> None:
    policy = make_policy(GRU, Tones(), precision="bfloat16")
    population = DensePopulation(policy, Tones.spaces, 1, 1, precision="bfloat16")
    population.fill(0, Genome.founder(3))
    for _ in range(2):
        actions = population.act(np.ones((1, 1, 3), np.float32), np.ones((1, 1), np.bool_))
        assert np.isfinite(actions).all()


CENTRE = CentreSettings(
    seed=3, pairs=4, rank=1, sigma=0.1, sigma_decay=1.0, optimiser="adam", learning_rate=0.05,
    learning_rate_decay=1.0, momentum=0.9, weight_decay=0.0, shaping="centred_rank", noise_reuse=1,
    measured_every=0,
)  # fmt: skip


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("name", "kind"), [(GRU, MemberPopulation), (f"{__name__}:LearnsItsBeginning", MaterialisedMembers)]
)
def test_members_of_an_epoch_remember_their_own_episodes(name: str, kind: type, precision: str) -> None:
    evolution = first_evolution(make_policy(name, Tones()), CENTRE)
    population = member_population(evolution, Tones.spaces, 4, 2, precision)
    assert isinstance(population, kind)
    everybody = [Member(0, 1, 1), Member(0, 1, -1), Member(0, 3, 1), centre_member(0)]
    active = np.ones((population.slots, 2), np.bool_)
    tones = np.random.default_rng(0).standard_normal((5, population.slots, 2, 3)).astype(np.float32)

    def heard(first: int) -> list[Actions]:
        return [population.act(tones[step], active)[:4] for step in range(first, 5)]

    for slot, member in enumerate(everybody):
        population.fill(slot, member)
        population.begin(slot, 0)
        population.begin(slot, 1)
    answers = heard(0)
    for slot in range(4):
        population.begin(slot, 1)
    again = heard(3)
    for slot, member in enumerate(everybody):
        wanted = _own(evolution, member, tones[:, slot])
        rough = 1e-4 if precision == "float32" else 0.03
        assert np.allclose([answer[slot] for answer in answers], wanted, atol=rough)
        late = _own(evolution, member, tones[3:, slot])
        assert np.allclose([answer[slot, 1] for answer in again], late[:, 1], atol=rough)


@torch.no_grad()
def _own(evolution: Evolution, member: Member, tones: np.ndarray) -> np.ndarray:
    """Actions of one member's exact weights, `[steps, rows, 3]`."""
    weights, kept = torch.zeros(evolution.space.size), evolution.centre.clone()
    write_weights(evolution, member, weights)
    evolution.space.write(weights, evolution.network)
    network = evolution.network
    assert isinstance(network, Recurrent)
    state, actions = network.initial_state(tones.shape[1]), []
    for seen in torch.from_numpy(tones):
        answer, state = network(seen, state)
        actions.append(answer.tanh().numpy())
    evolution.space.write(kept, evolution.network)
    return np.stack(actions)
