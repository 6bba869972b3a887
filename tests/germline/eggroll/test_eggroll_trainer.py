"""Training by a fitness function: what users of eggroll-trainer do, done here."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from germline.eggroll import (
    Adam,
    EggrollTrainer,
    EpochReport,
    GaussianTrainer,
    Member,
    Settings,
    StopTraining,
    Trainer,
    VectorTrainer,
)

X = torch.randn(32, 5, generator=torch.Generator().manual_seed(0))
Y = X @ torch.tensor([[1.0], [-2.0], [0.5], [0.0], [1.5]])


def fitness(model: nn.Module) -> float:
    return -functional.mse_loss(model(X), Y).item()


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(5, 1)


def trainer(**chosen: object) -> EggrollTrainer:
    settings = {"pairs": 16, "seed": 1, "sigma": 0.1, "learning_rate": 0.5, **chosen}
    return EggrollTrainer(model(), fitness, Settings(**settings))  # type: ignore[arg-type]


def test_epochs_are_counted_over_steps_and_trainings() -> None:
    t = trainer()
    assert isinstance(t.step(), EpochReport)
    reports = t.train(5)
    assert t.epoch == 6
    assert [r.epoch for r in reports] == [1, 2, 3, 4, 5]
    assert len(t.history) == 6


def test_training_improves_fitness_by_far() -> None:
    t = trainer()
    before = fitness(t.model)
    t.train(40)
    assert fitness(t.model) > 0.1 * before


@pytest.mark.parametrize("rank", [1, 2, 4])
def test_ranks_beyond_the_smaller_side_train_too(rank: int) -> None:
    t = trainer(rank=rank)
    before = fitness(t.model)
    t.train(15)
    assert fitness(t.model) > before


def test_the_best_model_has_the_best_fitness() -> None:
    t = trainer()
    t.train(5)
    assert t.best is not None
    assert t.best.fitness == max(r.best_fitness for r in t.history)
    assert fitness(t.best_model()) == t.best.fitness
    assert t.best_model() is not t.model


def test_there_is_no_best_model_before_the_first_epoch() -> None:
    with pytest.raises(RuntimeError, match="before the first epoch"):
        trainer().best_model()


def test_any_member_is_rebuilt_by_its_name_with_the_same_bits() -> None:
    t = trainer()
    now = t.weights(Member(0, 3, -1))
    t.train(6)
    assert t.best is not None
    assert torch.equal(t.space.read(t.rebuild("0.3-")), now)
    assert torch.equal(t.weights(t.best.member), t.best.weights)
    assert fitness(t.rebuild(str(t.best.member))) == t.best.fitness
    with pytest.raises(ValueError, match="no epoch from 0 to 6"):
        t.rebuild("9.0+")


def test_the_model_is_put_back_after_every_evaluation() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.out = nn.BatchNorm1d(5), nn.Linear(5, 1)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.out(self.norm(x))
            return out

    seen: list[bool] = []

    def switching(network: nn.Module) -> float:
        seen.append(network.training and int(network.get_buffer("norm.num_batches_tracked")) == 0)
        value = -functional.mse_loss(network(X), Y).item()
        network.eval()
        return value

    network = Counting().train()
    t = EggrollTrainer(network, switching, Settings(pairs=4, seed=1))
    buffers = {name: b.clone() for name, b in network.named_buffers()}
    weights = t.space.read(network)
    t.evaluate(t.members())
    assert seen == [True] * 8  # no member saw another's statistics or flags
    assert network.training
    assert all(torch.equal(buffers[name], b) for name, b in network.named_buffers())
    assert torch.equal(t.space.read(network), weights)


def test_the_model_is_put_back_when_fitness_raises() -> None:
    def failing(_network: nn.Module) -> float:
        raise ZeroDivisionError

    t = EggrollTrainer(model(), failing, Settings(pairs=2, seed=1))
    before = t.space.read(t.model)
    with pytest.raises(ZeroDivisionError):
        t.step()
    assert torch.equal(t.space.read(t.model), before)


def test_callbacks_see_every_report_and_may_stop() -> None:
    seen: list[int] = []

    def watch(_trainer: Trainer, report: EpochReport) -> None:
        seen.append(report.epoch)
        if report.epoch == 2:
            raise StopTraining

    t = trainer()
    t.callbacks.append(watch)
    reports = t.train(10)
    assert seen == [0, 1, 2]
    assert len(reports) == t.epoch == 3


def test_progress_is_shown_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    trainer().train(2)
    assert capsys.readouterr().out == ""
    trainer().train(2, progress=True)
    assert "epoch 1" in capsys.readouterr().out


def test_reset_goes_back_to_the_start() -> None:
    t = trainer()
    start = t.space.read(t.model)
    first = t.train(3)
    t.reset()
    assert t.epoch == 0
    assert t.history == []
    assert t.best is None
    assert torch.equal(t.space.read(t.model), start)
    assert t.train(3) == first


def test_a_checkpoint_holds_everything(tmp_path: Path) -> None:
    t = EggrollTrainer(model(), fitness, Settings(pairs=8, seed=1), optimiser=Adam())
    t.train(4)
    t.save(tmp_path / "run.safetensors")
    again = EggrollTrainer(model(), fitness, Settings(pairs=8, seed=1), optimiser=Adam())
    again.load(tmp_path / "run.safetensors")
    assert again.history == t.history
    assert again.best is not None
    assert t.best is not None
    assert torch.equal(again.weights(again.best.member), t.best.weights)
    assert again.train(3) == t.train(3)
    assert again.evolution.digest() == t.evolution.digest()


def test_a_checkpoint_before_the_first_epoch_loads(tmp_path: Path) -> None:
    t = trainer()
    t.save(tmp_path / "run.safetensors")
    again = trainer()
    again.load(tmp_path / "run.safetensors")
    assert again.best is None
    assert again.train(1) == t.train(1)


def test_a_foreign_checkpoint_is_refused(tmp_path: Path) -> None:
    t = trainer()
    t.save(tmp_path / "run.safetensors")
    with pytest.raises(ValueError, match="settings of the state"):
        trainer(rank=2).load(tmp_path / "run.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="has format None"):
        t.load(tmp_path / "other.safetensors")


def test_a_checkpoint_holds_the_state_of_torchs_optimisers(tmp_path: Path) -> None:
    def adam() -> EggrollTrainer:
        return EggrollTrainer(model(), fitness, Settings(pairs=8, seed=1), optimiser=torch.optim.Adam)

    t, again = adam(), adam()
    t.train(2)
    t.save(tmp_path / "run.safetensors")
    again.load(tmp_path / "run.safetensors")
    assert again.train(2) == t.train(2)
    assert again.evolution.digest() == t.evolution.digest()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_checkpoint_that_was_cut_short_is_refused(tmp_path: Path, share: float) -> None:
    t, path = trainer(), tmp_path / "run.safetensors"
    t.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=r"run\.safetensors is no checkpoint, or cut short"):
        t.load(path)


def test_a_checkpoint_with_one_wrong_bit_anywhere_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    t, path = trainer(), tmp_path / "run.safetensors"
    t.train(1)
    t.save(path)
    whole = path.read_bytes()
    again = trainer()
    before = again.evolution.digest()
    for place in range(0, len(whole), 97):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"run\.safetensors"):
            again.load(path)
    assert (again.evolution.digest(), again.epoch, again.history) == (before, 0, [])


def test_training_goes_on_after_an_interrupt_as_if_there_had_been_none() -> None:
    calls = iter(range(10_000))

    def interrupted(model: nn.Module) -> float:
        if next(calls) == 40:
            raise KeyboardInterrupt
        return fitness(model)

    t = EggrollTrainer(model(), interrupted, Settings(pairs=8, seed=1))
    undisturbed = EggrollTrainer(model(), fitness, Settings(pairs=8, seed=1))
    with pytest.raises(KeyboardInterrupt):
        t.train(4)
    assert t.epoch == len(t.history) == 2
    t.train(2)
    undisturbed.train(4)
    assert t.evolution.digest() == undisturbed.evolution.digest()
    assert t.history == undisturbed.history


def test_a_callback_that_raises_leaves_a_complete_epoch_behind() -> None:
    def fail(_trainer: Trainer, _report: EpochReport) -> None:
        raise ZeroDivisionError

    t, undisturbed = trainer(), trainer()
    t.callbacks.append(fail)
    with pytest.raises(ZeroDivisionError):
        t.train(3)
    undisturbed.train(1)
    assert t.history == undisturbed.history
    assert t.evolution.digest() == undisturbed.evolution.digest()


@pytest.mark.parametrize("answer", [None, "good", torch.zeros(2)])
def test_fitness_that_is_no_number_is_refused_by_member(answer: Any) -> None:
    t = EggrollTrainer(model(), lambda _m: answer, Settings(pairs=8, seed=1))
    with pytest.raises(TypeError, match=r"for member 0\.0\+; allowed: one number"):
        t.step()


def test_a_negative_number_of_epochs_is_refused() -> None:
    with pytest.raises(ValueError, match="epochs is -1"):
        trainer().train(-1)


def test_a_model_in_half_precision_trains_and_is_put_back_bit_for_bit() -> None:
    half = model().bfloat16()

    def fitness_of_half(m: nn.Module) -> float:
        return -functional.mse_loss(m(X.bfloat16()), Y.bfloat16()).item()

    t = EggrollTrainer(half, fitness_of_half, Settings(pairs=16, seed=1, sigma=0.1, learning_rate=0.5))
    before, start = [p.clone() for p in half.parameters()], fitness_of_half(half)
    t.evaluate(t.members())
    assert all(torch.equal(p, b) for p, b in zip(half.parameters(), before, strict=True))
    t.train(40)
    assert fitness_of_half(half) > 0.1 * start


def test_nan_fitness_is_left_out_of_report_and_update() -> None:
    calls = iter(range(1_000))
    t = EggrollTrainer(
        model(), lambda m: math.nan if next(calls) % 5 == 0 else fitness(m), Settings(pairs=8, seed=1)
    )
    report = t.step()
    assert math.isfinite(report.mean_fitness)
    assert torch.isfinite(t.evolution.centre).all()


def test_the_plain_gaussian_strategy_trains_resets_and_keeps_its_books() -> None:
    t = GaussianTrainer(model(), fitness, 40, sigma=0.1, learning_rate=0.1, seed=2)
    before = fitness(t.model)
    t.train(40)
    assert fitness(t.model) > 0.5 * before
    assert t.centre.device.type == "cpu"
    assert t.epoch == 40
    assert t.best is not None
    assert fitness(t.best_model()) == pytest.approx(t.best.fitness)
    t.reset()
    assert t.epoch == 0
    assert t.history == []
    assert fitness(t.model) == before


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"sigma": 0.0}, "sigma is 0"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"seed": -1}, "seed"),
    ],
)
def test_a_gaussian_strategy_that_cannot_be_is_refused(wrong: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        GaussianTrainer(model(), fitness, 4, **wrong)


@pytest.mark.parametrize("hole", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_counts_as_the_mean_and_the_others_move_the_centre(hole: float) -> None:
    t = GaussianTrainer(model(), fitness, 4)
    offsets = t.sample(4)
    with_hole = t.update(offsets, torch.tensor([1.0, hole, 3.0, 5.0], dtype=torch.float64))
    with_mean = t.update(offsets, torch.tensor([1.0, 3.0, 3.0, 5.0], dtype=torch.float64))
    assert torch.equal(with_hole, with_mean)
    assert with_hole.any()


def test_a_member_that_was_not_sampled_is_refused() -> None:
    t = GaussianTrainer(model(), fitness, 3)
    t.members()
    with pytest.raises(ValueError, match=r"member 0\.1- is none of the 3"):
        t.weights(Member(0, 1, -1))


def test_flat_vectors_round_trip() -> None:
    network = nn.Sequential(nn.Linear(5, 4), nn.Conv1d(2, 3, 2), nn.LayerNorm(4))
    t = GaussianTrainer(network, lambda _m: 0.0, 4)
    flat = torch.arange(t.space.size, dtype=torch.float32)
    t.space.write(flat, network)
    assert torch.equal(t.space.read(network), flat)


class Sphere(VectorTrainer):
    """A strategy of one's own: the best row of a fixed cross."""

    def sample(self, population: int) -> Tensor:
        return torch.eye(self.space.size)[:population] * 0.1

    def update(self, offsets: Tensor, fitness: Tensor) -> Tensor:
        return offsets[fitness.argmax()]


def test_a_strategy_of_ones_own_needs_two_methods() -> None:
    t = Sphere(model(), fitness, 6)
    before = fitness(t.model)
    t.train(4)
    assert t.epoch == 4
    assert fitness(t.model) > before


def test_a_sample_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="expected"):
        Sphere(model(), fitness, 7).step()


def test_a_small_convolutional_network_learns_pictures() -> None:
    generator = torch.Generator().manual_seed(4)
    labels = torch.arange(60) % 3
    patterns = torch.randn(3, 1, 8, 8, generator=generator)
    pictures = patterns[labels] + 0.3 * torch.randn(60, 1, 8, 8, generator=generator)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3))
    t = EggrollTrainer(
        network,
        lambda m: -functional.cross_entropy(m(pictures), labels).item(),
        Settings(pairs=32, seed=1, sigma=0.05, learning_rate=0.05),
        optimiser="adam",
    )
    t.train(25)
    assert (network(pictures).argmax(1) == labels).float().mean() > 0.9
