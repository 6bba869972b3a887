"""The named Atari protocols: every knob that shapes a score, stated in one place (Machado et al. 2018).

A score means something only together with its protocol. Rewards are raw and an episode lasts until the game
is over: clipping and life-loss endings help learners of value functions, and would falsify a fitness.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from germline.protocol_starts import FRAME_CAPS
from worker.tasks.base import SetupError


@dataclass(frozen=True, slots=True)
class AtariProtocol:
    """The rules of play.

    Attributes:
        repeat_action_probability: chance, in each frame, that the action of the frame before is repeated.
        noop_min: fewest no-op frames at the start of an episode.
        noop_max: most no-op frames at the start; each count is equally likely.
        full_action_set: all 18 actions of the console, or only those that the game knows.
        frame_skip: frames that one step takes, with one action.
        max_pool: pixels are the brighter ones of a step's last two frames (games flicker), or the last's.
        stack: steps that an observation shows, oldest first; black before the episode's first.
        height: rows of an observation.
        width: columns of an observation.
        max_frames: frames after which an episode is cut, no-ops not counted.
    """

    repeat_action_probability: float
    noop_min: int
    noop_max: int
    full_action_set: bool
    frame_skip: int
    max_pool: bool
    stack: int
    height: int
    width: int
    max_frames: int


PROTOCOLS = {
    # Such et al. 2018 (arXiv 1712.06567): 5,000 steps of 4 frames in training and validation.
    "uber2018": AtariProtocol(
        repeat_action_probability=0.0,
        noop_min=1,
        noop_max=30,
        full_action_set=False,
        frame_skip=4,
        max_pool=True,
        stack=4,
        height=84,
        width=84,
        max_frames=FRAME_CAPS["uber2018"],
    ),
    # Machado et al. 2018 (arXiv 1709.06009): sticky actions instead of no-ops, all actions, whole games.
    "machado2018": AtariProtocol(
        repeat_action_probability=0.25,
        noop_min=0,
        noop_max=0,
        full_action_set=True,
        frame_skip=4,
        max_pool=True,
        stack=4,
        height=84,
        width=84,
        max_frames=FRAME_CAPS["machado2018"],
    ),
    # What gymnasium.make("ALE/Pong-v5") does, which pools no frames, seen as 84x84 grey in stacks of 4.
    "ale-v5": AtariProtocol(
        repeat_action_probability=0.25,
        noop_min=0,
        noop_max=0,
        full_action_set=False,
        frame_skip=4,
        max_pool=False,
        stack=4,
        height=84,
        width=84,
        max_frames=FRAME_CAPS["ale-v5"],
    ),
}


def protocol_named(name: str, max_frames: int | None = None) -> AtariProtocol:
    """Look a protocol up, with a frame cap of its own if one is given.

    Raises:
        SetupError: if there is no such protocol, or the cap is below one step.
    """
    if name not in PROTOCOLS:
        raise SetupError(f"task.atari.protocol is {name!r}; allowed: {', '.join(sorted(PROTOCOLS))}")
    protocol = PROTOCOLS[name]
    if max_frames is None:
        return protocol
    if max_frames < protocol.frame_skip:
        raise SetupError(
            f"task.atari.max_frames is {max_frames}; allowed: at least {protocol.frame_skip}, one step"
        )
    return replace(protocol, max_frames=max_frames)
