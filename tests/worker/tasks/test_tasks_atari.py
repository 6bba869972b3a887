"""Atari tasks on the real emulator: protocols, seeds, and pictures that agree with the library's own."""

import hashlib
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from ale_py.vector_env import AtariVectorEnv

from worker.tasks.atari import AtariLanes, AtariTask, rom_of
from worker.tasks.base import DiscreteActions, SetupError
from worker.tasks.emulator import load
from worker.tasks.protocols import PROTOCOLS, AtariProtocol
from worker.tasks.screen import Shrink

GAMES = ("pong", "frostbite", "seaquest")
LUCKY_GAMES = ("qbert", "tetris")  # draw luck by what a console remembers of its reset beside its state
LANE = np.array([0])
WITHOUT_NOOPS = replace(PROTOCOLS["uber2018"], noop_min=0, noop_max=0)


def play(lanes: AtariLanes, lane: int, seed: int, steps: int = 60) -> str:
    """A digest of everything that an episode shows and pays under a fixed line of actions."""
    where, seen = np.array([lane]), hashlib.sha256()
    lanes.begin(where, [seed])
    for step in range(steps):
        seen.update(lanes.observations[lane].tobytes())
        lanes.send(where, np.array([step * 7 % 5]))
        stepped = lanes.receive()
        seen.update(np.array([stepped.rewards[0], stepped.ended[0], stepped.frames[0]]).tobytes())
    seen.update(lanes.memory(lane).tobytes())
    return seen.hexdigest()


def play_alone(game: str, protocol: AtariProtocol, actions: list[int]) -> AtariLanes:
    lanes = AtariLanes(rom_of(game), protocol, 1)
    lanes.begin(LANE, [0])
    for action in actions:
        lanes.send(LANE, np.array([action]))
        lanes.receive()
    return lanes


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("protocol", ["uber2018", "machado2018"])
def test_an_episode_is_determined_by_its_seed_whatever_the_lane_played_before(
    game: str, protocol: str
) -> None:
    lanes = AtariTask(game=game, protocol=protocol).make_lanes(2)

    first = play(lanes, 0, seed=3)
    others = {play(lanes, 0, seed) for seed in range(4, 9)}

    assert play(lanes, 0, seed=3) == first
    assert play(lanes, 1, seed=3) == first
    assert len(others | {first}) >= 4  # of 6 seeds; two may draw the same one of 30 starts


@pytest.mark.parametrize("game", LUCKY_GAMES)
@pytest.mark.parametrize("protocol", ["uber2018", "ale-v5"])
def test_the_first_episode_of_a_lane_is_the_game_of_the_later_ones(game: str, protocol: str) -> None:
    lanes = AtariTask(game=game, protocol=protocol).make_lanes(1)

    assert play(lanes, 0, seed=3) == play(lanes, 0, seed=3) == play(lanes, 0, seed=3)


@pytest.mark.parametrize("game", LUCKY_GAMES)
def test_behind_no_ops_every_episode_is_the_library_s_own_game(game: str) -> None:
    lanes = AtariLanes(rom_of(game), replace(PROTOCOLS["uber2018"], noop_max=1), 1)
    console = load(rom_of(game))
    console.reset_game()
    for frame in range(1 + 30 * 4):
        console.act(0 if frame == 0 else 1)
    for _ in range(2):
        lanes.begin(LANE, [0])
        for _ in range(30):
            lanes.send(LANE, np.array([1]))
            lanes.receive()
        assert np.array_equal(lanes.memory(0), console.getRAM())


def test_lanes_side_by_side_do_not_disturb_each_other() -> None:
    task = AtariTask(game="pong", protocol="machado2018")
    alone, lanes, everyone = play(task.make_lanes(1), 0, seed=11), task.make_lanes(3), np.arange(3)
    seen = hashlib.sha256()
    lanes.begin(everyone, [11, 12, 13])
    for step in range(60):
        seen.update(lanes.observations[0].tobytes())
        lanes.send(everyone, np.array([step * 7 % 5, step % 3, 4]))
        stepped = lanes.receive()
        seen.update(np.array([stepped.rewards[0], stepped.ended[0], stepped.frames[0]]).tobytes())

    seen.update(lanes.memory(0).tobytes())

    assert seen.hexdigest() == alone


def test_lanes_that_are_not_stepped_stand_still() -> None:
    lanes = AtariTask(game="pong").make_lanes(2)
    lanes.begin(np.arange(2), [1, 1])
    before = lanes.observations[1].copy()
    lanes.send(LANE, np.array([2]))
    lanes.receive()

    assert np.array_equal(lanes.observations[1], before)
    assert not np.array_equal(lanes.observations[0], before)


@pytest.mark.parametrize("game", [*GAMES, "breakout", "montezuma_revenge"])
def test_play_agrees_with_the_vector_environment_of_the_library(game: str) -> None:
    theirs = AtariVectorEnv(
        game,
        1,
        noop_max=0,
        use_fire_reset=False,
        reward_clipping=False,
        repeat_action_probability=0.0,
        num_threads=1,
    )
    lanes = AtariLanes(rom_of(game), WITHOUT_NOOPS, 1)
    lanes.begin(LANE, [0])
    count = AtariTask(game=game).spaces.actions.outputs
    shown, _ = theirs.reset(seed=0)
    actions = np.random.default_rng(0).integers(0, count, 200).tolist()
    wrong, pixels = 0, 0
    for action in actions:
        apart = np.abs(lanes.observations[0].astype(int) - shown[0])
        assert apart.max() <= 1
        wrong, pixels = wrong + int(np.count_nonzero(apart)), pixels + apart.size
        lanes.send(LANE, np.array([action]))
        ours = lanes.receive()
        shown, rewards, terminated, _, _ = theirs.step(np.array([action]))
        assert (ours.rewards[0], ours.ended[0]) == (rewards[0], terminated[0])
        if terminated[0]:
            break

    assert wrong / pixels < 1e-4


def test_no_op_starts_are_uniform_from_1_to_30_frames() -> None:
    protocol = replace(PROTOCOLS["uber2018"], max_frames=8)
    lanes = AtariLanes(rom_of("pong"), protocol, 1)
    emulator = lanes._emulators[0]
    counts: Counter[int] = Counter()
    for seed in range(600):
        emulator._random.seed(seed)
        counts[emulator._noops()] += 1

    assert sorted(counts) == list(range(1, 31))
    assert max(counts.values()) < 45  # 20 are expected; 45 is five standard deviations above


def test_sticky_actions_hold_a_quarter_of_the_frames() -> None:
    emulator = AtariLanes(rom_of("pong"), PROTOCOLS["machado2018"], 1)._emulators[0]
    emulator.begin(5)
    held = sum(emulator._stuck(frame) != frame for frame in range(1, 4001))

    assert 0.22 < held / 4000 < 0.28


def test_the_frame_cap_counts_emulator_frames_and_ends_the_episode() -> None:
    lanes = AtariLanes(rom_of("pong"), replace(WITHOUT_NOOPS, max_frames=10), 1)
    lanes.begin(LANE, [0])
    ends, frames = [], []
    for _ in range(3):
        lanes.send(LANE, np.array([0]))
        stepped = lanes.receive()
        ends.append(bool(stepped.ended[0]))
        frames.append(int(stepped.frames[0]))

    assert ends == [False, False, True]
    assert frames == [4, 4, 2]


def test_an_observation_shows_the_last_four_steps_oldest_first_on_black() -> None:
    pictures = [play_alone("breakout", WITHOUT_NOOPS, [0] * steps).observations[0, -1] for steps in range(3)]
    shown = play_alone("breakout", WITHOUT_NOOPS, [0, 0]).observations[0]

    assert not shown[0].any()
    assert all(np.array_equal(shown[1 + step], pictures[step]) for step in range(3))


def test_rewards_are_raw() -> None:
    lanes = AtariTask(game="frostbite").make_lanes(1)
    lanes.begin(LANE, [1])
    rewards = set()
    for action in np.random.default_rng(3).integers(0, 18, 400).tolist():
        lanes.send(LANE, np.array([action]))
        stepped = lanes.receive()
        rewards.add(float(stepped.rewards[0]))
        if stepped.ended[0]:
            lanes.begin(LANE, [2])

    assert rewards - {0.0, 1.0, -1.0}


def test_machado2018_knows_all_18_actions_and_uber2018_the_game_s_own() -> None:
    assert AtariTask(game="pong", protocol="machado2018").spaces.actions == DiscreteActions(18)
    assert AtariTask(game="pong", protocol="uber2018").spaces.actions == DiscreteActions(6)


def test_an_unknown_game_is_refused_with_its_neighbours() -> None:
    with pytest.raises(SetupError, match=r"task.atari.game is 'pongg'; allowed: .* did you mean pong"):
        AtariTask(game="pongg")


@pytest.mark.parametrize("game", ["combat", "joust", "maze_craze", "warlords"])
def test_a_game_without_a_mode_for_one_player_is_refused_by_name(game: str) -> None:
    with pytest.raises(SetupError, match=rf"task.atari.game is '{game}', which ale-py has but cannot run"):
        AtariTask(game=game)


def test_an_unknown_protocol_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        SetupError, match=r"task.atari.protocol is 'v5'; allowed: ale-v5, machado2018, uber2018"
    ):
        AtariTask(game="pong", protocol="v5")


def test_a_cap_below_one_step_is_refused() -> None:
    with pytest.raises(SetupError, match=r"task.atari.max_frames is 3; allowed: at least 4"):
        AtariTask(game="pong", max_frames=3)


@pytest.mark.parametrize("height", [210, 250])
def test_shrinking_gives_the_mean_of_each_area(height: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (height, 160)).astype(np.uint8)
    fine = np.kron(picture, np.ones((84 // np.gcd(84, height), 21)))  # cut into cells that both grids share
    means = fine.reshape(84, -1, 84, fine.shape[1] // 84).mean(axis=(1, 3))
    out = np.empty((84, 84), np.uint8)
    Shrink((height, 160), (84, 84))(picture, out)

    assert np.abs(out - means).max() <= 0.5 + 1e-9


def test_shrinking_has_not_changed() -> None:
    picture = np.random.default_rng(7).integers(0, 256, (210, 160)).astype(np.uint8)
    assert hashlib.sha256(picture.tobytes()).hexdigest()[:16] == "af350b6b5d253991"
    out = np.empty((84, 84), np.uint8)
    Shrink((210, 160), (84, 84))(picture, out)
    assert hashlib.sha256(out.tobytes()).hexdigest()[:16] == "1cd4210a5962fa5a"
