"""Ask, tell, and come back: the state of an evolution is a function of its scores."""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from germline.eggroll import Adam, Decay, Evolution, Member, Ramp, Settings, Sgd


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2))


def evolution(**settings: object) -> Evolution:
    chosen = {"pairs": 8, "seed": 3, "sigma": 0.1, **settings}
    return Evolution(network(), Settings(**chosen), optimiser="adam")  # type: ignore[arg-type]


def scores(epoch: int, members: int = 16) -> list[float]:
    return [math.sin(i * 7.3 + epoch) for i in range(members)]


def test_members_come_in_pairs_around_the_centre() -> None:
    state = evolution()
    members = state.ask()
    assert [str(m) for m in members[:4]] == ["0.0+", "0.0-", "0.1+", "0.1-"]
    plus, minus = state.weights(members[2]), state.weights(members[3])
    assert torch.allclose(plus + minus, 2 * state.centre, atol=1e-6)
    assert not torch.equal(plus, minus)


def test_replaying_the_scores_gives_the_same_bits() -> None:
    first, late_joiner = evolution(), evolution()
    told = [scores(epoch) for epoch in range(6)]
    for fitness in told:
        first.ask()
        first.tell(fitness)
    for fitness in told:
        late_joiner.tell(fitness)
    assert first.digest() == late_joiner.digest()


def test_the_seed_changes_the_run() -> None:
    one, same, other = evolution(seed=3), evolution(seed=3), evolution(seed=4)
    for each in (one, same, other):
        each.tell(scores(0))
    assert one.digest() == same.digest() != other.digest()


def test_the_global_random_state_is_untouched() -> None:
    state = evolution()
    before = torch.random.get_rng_state()
    state.weights(state.ask()[0])
    state.tell(scores(0))
    assert torch.equal(before, torch.random.get_rng_state())


def test_noise_is_kept_for_noise_reuse_epochs() -> None:
    state = evolution(noise_reuse=2, sigma=1.0)
    noises = []
    for epoch in range(4):
        noises.append(state.weights(Member(epoch, 5, 1)) - state.centre)
        state.tell([0.0] * 16)
    assert torch.allclose(noises[0], noises[1], atol=1e-6)
    assert torch.allclose(noises[2], noises[3], atol=1e-6)
    assert not torch.allclose(noises[1], noises[2], atol=1e-2)


def test_epochs_have_different_noise_by_default() -> None:
    state = evolution()
    first = state.weights(Member(0, 0, 1))
    state.tell([0.0] * 16)
    assert not torch.equal(first, state.weights(Member(1, 0, 1)))


def test_zero_variance_moves_nothing_not_even_by_decay_or_momentum() -> None:
    state = Evolution(network(), Settings(pairs=8, seed=3), optimiser=Adam(weight_decay=0.5, decoupled=True))
    state.tell(scores(0))
    before, steps = state.digest(), state.moments.steps
    state.tell([0.7] * 16)
    assert state.digest() == before
    assert state.moments.steps == steps
    assert state.epoch == 2


def test_a_nan_score_drops_its_pair_and_no_other() -> None:
    with_hole, without = evolution(shaping="pair_sign"), evolution(shaping="pair_sign")
    holed, tied = scores(0), scores(0)
    holed[4], tied[4] = (
        math.nan,
        tied[5],
    )  # a dropped pair weighs as much as a tied one
    told = with_hole.tell(holed)
    without.tell(tied)
    assert told.members == 14
    assert not torch.isnan(with_hole.centre).any()
    assert torch.allclose(with_hole.centre, without.centre, atol=1e-5)  # adam ignores the scale of the rest


def test_an_epoch_of_nothing_but_nan_moves_nothing() -> None:
    state = evolution()
    before = state.digest()
    told = state.tell([math.nan] * 16)
    assert told.best is None
    assert math.isnan(told.mean)
    assert state.digest() == before


def test_the_best_member_is_named_and_can_be_rebuilt() -> None:
    state = evolution()
    fitness = scores(0)
    fitness[9] = 50.0
    weights = state.weights(Member(0, 4, -1))
    told = state.tell(fitness)
    assert told.best == Member(0, 4, -1)
    assert told.best_fitness == 50.0
    again = evolution()
    assert torch.equal(again.weights(Member.parse("0.4-")), weights)


@pytest.mark.parametrize("count", [15, 17, 0])
def test_a_wrong_number_of_scores_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="expected 16 fitness scores"):
        evolution().tell([1.0] * count)


def test_a_member_of_another_epoch_is_refused() -> None:
    with pytest.raises(ValueError, match=r"member 1\.0\+ is not one of epoch 0"):
        evolution().weights(Member(1, 0, 1))


def test_frozen_parameters_never_move_and_never_decay() -> None:
    net = network()
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    state = Evolution(
        net,
        Settings(pairs=8, seed=3),
        optimiser=Adam(weight_decay=0.5, decoupled=True),
        freeze=lambda name, _parameter: name.startswith("2."),
    )
    for epoch in range(3):
        state.tell(scores(epoch))
    for name, parameter in net.named_parameters():
        assert torch.equal(parameter, before[name]) == name.startswith("2.")


def test_a_pattern_that_freezes_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="fits none"):
        Evolution(network(), Settings(pairs=1, seed=0), freeze=["conv.*"])


def test_a_network_without_parameters_is_refused() -> None:
    with pytest.raises(ValueError, match="no parameters"):
        Evolution(nn.Sequential(nn.ReLU()), Settings(pairs=1, seed=0))


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"pairs": 0}, "pairs is 0"),
        ({"rank": 0}, "rank is 0"),
        ({"sigma": 0.0}, "sigma starts at 0"),
        ({"sigma": math.inf}, "sigma starts at inf"),
        ({"learning_rate": -1.0}, "learning_rate starts at -1"),
        ({"noise_reuse": 0}, "noise_reuse is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 1 << 64}, "allowed: 0 to"),
        ({"shaping": "group_mean", "group_pairs": 3}, "must divide"),
        ({"pairs": 2.5}, "pairs is 2.5; allowed: a whole number"),
        ({"pairs": True}, "pairs is True"),
        ({"rank": 1.5}, "rank is 1.5; allowed: a whole number"),
        ({"seed": "1"}, "seed is '1'"),
        ({"noise_reuse": 1.0}, "noise_reuse is 1.0"),
        ({"sigma": "0.1"}, "sigma starts at '0.1'"),
        ({"sigma": lambda _epoch: 0.1}, "a Decay or Ramp"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(wrong: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        evolution(**wrong)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Decay(0.1, -0.5), "factor is -0.5"),
        (lambda: Decay(0.1, math.nan), "factor is nan"),
        (lambda: Ramp(0.1, -0.1, 5), "last is -0.1"),
        (lambda: Ramp(0.1, 0.1, -1), "epochs is -1"),
        (lambda: Adam(beta1=1.0), "beta1 is 1.0; allowed: 0 to less than 1"),
        (lambda: Adam(epsilon=-1.0), "epsilon is -1.0"),
        (lambda: Sgd(momentum=math.nan), "momentum is nan"),
        (lambda: Sgd(weight_decay=-0.1), "weight_decay is -0.1"),
    ],
)
def test_schedules_and_optimisers_that_cannot_be_are_refused_by_name(
    make: Callable[[], object], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        make()


def test_a_network_without_values_is_refused() -> None:
    for empty in (nn.Linear(2, 2, device="meta"), nn.LazyLinear(2)):
        with pytest.raises(ValueError, match="parameter weight has no values yet"):
            Evolution(empty, Settings(pairs=1, seed=0))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64, torch.int64])
def test_scores_may_come_as_a_tensor_of_any_type(dtype: torch.dtype) -> None:
    plain, listed = evolution(), evolution()
    listed.tell(list(range(16)))
    plain.tell(torch.arange(16).to(dtype))
    assert plain.digest() == listed.digest()


def test_a_member_without_a_sign_is_refused() -> None:
    with pytest.raises(ValueError, match="sign 0; allowed: 1 and -1"):
        evolution().weights(Member(0, 0, 0))


@pytest.mark.parametrize("wrong", [5, Adam, lambda _parameters: None])
def test_what_is_no_optimiser_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="allowed: a name, an optimiser such as"):
        Evolution(network(), Settings(pairs=1, seed=0), optimiser=wrong)  # type: ignore[arg-type]


def test_a_class_of_torchs_optimisers_is_a_function_that_makes_one() -> None:
    by_class, by_function = (
        Evolution(network(), Settings(pairs=8, seed=3), optimiser=make)
        for make in (torch.optim.Adam, lambda parameters: torch.optim.Adam(parameters, lr=1e-3))
    )
    for each in (by_class, by_function):
        each.tell(scores(0))
    assert by_class.digest() == by_function.digest() != evolution().digest()


def test_an_unknown_optimiser_is_refused() -> None:
    with pytest.raises(ValueError, match="known are sgd"):
        Evolution(network(), Settings(pairs=1, seed=0), optimiser="rmsprop")


def test_a_state_dict_goes_through_torch_save_and_back_bit_for_bit() -> None:
    state, restored = evolution(sigma=Decay(0.1, 0.9)), evolution(sigma=Decay(0.1, 0.9))
    for epoch in range(3):
        state.tell(scores(epoch))
    file = io.BytesIO()
    torch.save(state.state_dict(), file)
    file.seek(0)
    restored.load_state_dict(torch.load(file, weights_only=True))
    assert restored.digest() == state.digest()
    for each in (state, restored):
        each.tell(scores(3))
    assert restored.digest() == state.digest()
    assert restored.epoch == 4


def test_a_state_dict_holds_buffers_and_frozen_parameters() -> None:
    state = evolution()
    state.network.get_buffer("1.running_mean").fill_(7.0)
    restored = evolution()
    restored.load_state_dict(state.state_dict())
    assert restored.network.state_dict()["1.running_mean"][0] == 7.0


def damaged(state: dict[str, object], how: str) -> dict[str, object]:
    if how == "format":
        return {**state, "format": 99}
    if how == "missing":
        return {name: value for name, value in state.items() if name != "moments"}
    if how == "settings":
        return {**state, "settings": {**state["settings"], "rank": 4}}  # type: ignore[dict-item]
    if how == "shapes":
        return {**state, "shapes": {"other": [1]}}
    assert isinstance(state["centre"], Tensor)
    return {**state, "centre": state["centre"] + 1}


@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        ("format", "format 99"),
        ("missing", "moments"),
        ("settings", "settings of the state"),
        ("shapes", "shapes of the state"),
        ("centre", "digest"),
    ],
)
def test_a_foreign_or_damaged_state_is_refused_and_changes_nothing(how: str, complaint: str) -> None:
    state, other = evolution(), evolution()
    other.tell(scores(1))
    before = state.digest()
    with pytest.raises(ValueError, match=complaint):
        state.load_state_dict(damaged(other.state_dict(), how))
    assert state.digest() == before
    assert state.epoch == 0


def test_a_state_whose_frozen_part_has_another_shape_is_refused_and_changes_nothing() -> None:
    def of(width: int) -> Evolution:
        torch.manual_seed(width)
        whole = nn.ModuleDict({"evolved": nn.Linear(2, 2), "frozen": nn.Linear(2, width)})
        return Evolution(whole, Settings(pairs=8, seed=3), freeze="frozen.*")

    state, other = of(3), of(4)
    other.tell(scores(0))
    before = {name: value.clone() for name, value in state.network.state_dict().items()}
    with pytest.raises(ValueError, match="the network of the state has"):
        state.load_state_dict(other.state_dict())
    assert all(torch.equal(before[name], value) for name, value in state.network.state_dict().items())


def test_torch_optimisers_and_their_schedulers_work_too() -> None:
    net = network()
    state = Evolution(
        net, Settings(pairs=8, seed=3), optimiser=lambda ps: torch.optim.SGD(ps, lr=1.0, momentum=0.5)
    )
    exact = Evolution(network(), Settings(pairs=8, seed=3))
    assert state.torch_optimiser is not None
    scheduler = torch.optim.lr_scheduler.StepLR(state.torch_optimiser, 1, gamma=0.5)
    state.tell(scores(0))
    exact.tell(scores(0))
    assert torch.allclose(state.centre, exact.centre, atol=1e-6)
    scheduler.step()
    assert scheduler.get_last_lr() == [0.5]
    assert np.isfinite(state.centre.numpy()).all()
    restored = Evolution(
        network(), Settings(pairs=8, seed=3), optimiser=lambda ps: torch.optim.SGD(ps, lr=1.0, momentum=0.5)
    )
    restored.load_state_dict(state.state_dict())
    for each in (state, restored):
        each.tell(scores(1))
    assert torch.equal(restored.centre, state.centre)
