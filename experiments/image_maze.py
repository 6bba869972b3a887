"""A maze seen from above that misleads: the way to the goal leads away from it.

After the "image hard maze" of Such et al. 2018 (arXiv 1712.06567), in a drawing of our own. A policy sees a
picture, 12 x 12, of the walls and of itself, and takes steps of one pixel. The return is by how much nearer
to the goal, as the crow flies, it ended: so whoever climbs gathers under the wall below the goal.
"""

import math

import gymnasium
import numpy as np
from gymnasium import spaces

DRAWING = (
    "############",
    "#..........#",
    "#.G........#",
    "########...#",
    "#..........#",
    "#..........#",
    "#..........#",
    "#..........#",
    "#..........#",
    "#.S........#",
    "#..........#",
    "############",
)
STEPS = 40
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))  # up, down, left, right
WALL, SELF = 96, 255
REACH = 1  # of the spot that a policy sees itself as: near places look alike


def _find(mark):
    return next((row, line.index(mark)) for row, line in enumerate(DRAWING) if mark in line)


START, GOAL = _find("S"), _find("G")
FREE = np.array([[mark != "#" for mark in line] for line in DRAWING])
WALLS = np.where(FREE, 0, WALL).astype(np.uint8)
PLACES = [(int(row), int(column)) for row, column in np.argwhere(FREE)]
# In whole 1024ths, so that the same end is the same return, to the bit, whatever the way there.
FAR = {place: round(1024 * math.dist(place, GOAL)) / 1024 for place in PLACES}
BEST = FAR[START]


def _seen_from(place):
    """The picture that a policy sees where it stands."""
    picture, (row, column) = WALLS.copy(), place
    rows = slice(max(0, row - REACH), row + REACH + 1)
    columns = slice(max(0, column - REACH), column + REACH + 1)
    picture[rows, columns] = SELF
    return picture


PICTURES = {place: _seen_from(place) for place in PLACES}


class ImageMaze(gymnasium.Env):
    """A picture in, a step out; `info["behaviour"]` is where it stands, (row, column)."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012 - as Gymnasium wants it

    def __init__(self, render_mode=None):
        self.render_mode = render_mode
        self.observation_space = spaces.Box(0, 255, WALLS.shape, np.uint8)
        self.action_space = spaces.Discrete(len(MOVES))

    def reset(self, *, seed=None, options=None):
        """Stand at the start; there is no luck in this maze."""
        super().reset(seed=seed)
        self.place = START
        return self._seen(), {"behaviour": self.place}

    def step(self, action):
        """Move, unless a wall is there; the reward is by how much nearer to the goal that is."""
        before = FAR[self.place]
        row, column = (here + move for here, move in zip(self.place, MOVES[action], strict=True))
        if FREE[row, column]:
            self.place = (row, column)
        nearer = before - FAR[self.place]
        return self._seen(), nearer, self.place == GOAL, False, {"behaviour": self.place}

    def render(self):
        """The picture in grey, enlarged, and the goal."""
        shown = np.stack([self._seen()] * 3, axis=2)
        shown[GOAL] = (0, 200, 0)
        return shown.repeat(12, 0).repeat(12, 1)

    def _seen(self):
        return PICTURES[self.place].copy()


gymnasium.register("ImageMaze-v0", ImageMaze, max_episode_steps=STEPS)
