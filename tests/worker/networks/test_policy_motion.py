"""The policy "motion" sees what moves, and nothing else."""

import pytest
import torch

from germline.weights import Layout, initialise
from worker.networks.policies.motion import Motion
from worker.tasks.base import SetupError


def fresh(seed: int) -> Motion:
    policy = Motion(observation_shape=(4, 84, 84), outputs=6)
    layout = Layout.of(policy)
    flat = torch.zeros(layout.size)
    initialise(seed, layout, flat)
    with torch.no_grad():
        for name, view in layout.named_views(flat).items():
            policy.get_parameter(name).copy_(view)
    return policy


def test_a_still_picture_is_nothing() -> None:
    still = torch.randint(0, 256, (1, 1, 84, 84), dtype=torch.uint8).expand(2, 4, 84, 84)
    assert torch.equal(fresh(1)(still), torch.zeros(2, 6))


def test_the_background_does_not_matter_to_what_moves() -> None:
    scene = torch.zeros(1, 4, 84, 84, dtype=torch.uint8)
    scene[0, :, 40:44, 20:24] = torch.tensor([0, 80, 160, 240], dtype=torch.uint8)[:, None, None]
    policy = fresh(2)
    assert policy(scene).abs().max() > 0
    torch.testing.assert_close(policy(scene + 10), policy(scene), atol=1e-4, rtol=1e-4)


def test_fresh_networks_tell_places_apart() -> None:
    """Most answer a ball high up otherwise than a ball far down: there is something to select."""
    scenes = torch.zeros(2, 4, 84, 84, dtype=torch.uint8)
    scenes[0, 3, 20:22, 40:42] = scenes[1, 3, 60:62, 40:42] = 236
    choices = [fresh(seed)(scenes).argmax(dim=1).tolist() for seed in range(20)]
    assert sum(high != low for high, low in choices) >= 8


@pytest.mark.parametrize("shape", [(4,), (1, 84, 84), (4, 20, 84)])
def test_what_is_no_stack_of_pictures_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(SetupError, match="at least"):
        Motion(observation_shape=shape, outputs=2)
