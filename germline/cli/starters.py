"""Specs to start from: settings that make sense for an environment, each with a comment that says why."""

from __future__ import annotations

from string import Template
from typing import Literal, NamedTuple, TypeAlias

Algorithm: TypeAlias = Literal["ga", "eggroll"]

_HEAD = Template("""\
# Written by `germline init $environment`. Every other setting has its default: germline spec --explain

name = "$name"

""")

_ATARI = Template("""\
[task.atari]
game = "$environment"
# No sticky actions, 1 to 30 no-ops, 20,000 frames at most (Such et al. 2018): thirty starts, so that a
# champion's score over all of them is exact. Others: "machado2018" (sticky actions, 108,000 frames) and
# "ale-v5".
protocol = "uber2018"

[policy]
# A small network that sees what moves. "uber2018" is the large one of the paper, and takes ten times as
# long.
name = "motion"

[evaluation]
# Whole numbers from the screen to the action: everybody who plays the card gets the same score, to the
# last point.
precision = "int8"
# New individuals play one short game to choose parents by; candidates and the champion play whole ones.
episodes = 1
cap_frames = 4_000

[algorithm.ga]
# A small population turns over often: good for a few thousand games.
window = 100
parents = 10
# The standard deviation of a mutation, against weights of about 0.05 at the start. Larger ones destroy
# what was learnt, smaller ones change nothing: this is the first setting to vary (`germline sweep`).
power = 0.005
# These are played again, on all starts, and the best of them is the champion.
candidates = 5
validation_share = 0.2

[stop]
evaluations = $evaluations
""")

_GYM = Template("""\
[task.gym]
id = "$environment"$task

[policy]
$policy

[evaluation]
$algorithm

[stop]
evaluations = $evaluations
# `fitness = 475.0` would end the run as soon as the champion's mean is that good.
""")

_GYM_GA = Template("""\
# One episode of each individual, so that more of them are tried; candidates play many, so luck does not win.
episodes = 1

[algorithm.ga]
# A small population turns over often; a larger one searches more widely, and more slowly.
window = 100
parents = 10
# The standard deviation of a mutation, against weights of $weights at the start. Much larger ones destroy
# what was learnt, smaller ones change nothing: this is the first setting to vary (`germline sweep`).
power = $power
# These are played again on fresh episodes, so that a lucky score does not make a champion.
candidates = 5
validation_episodes = 30
validation_share = 0.2""")

_GYM_EGGROLL = Template("""\
# Both members of a pair play the same start, and an epoch averages over many: one is enough.
episodes = 1

[algorithm.eggroll]
# Few pairs, and many epochs: each epoch moves the centre once. More pairs are for a longer run, or for more
# workers at a time.
pairs = 8
slice_pairs = 1
# How far members are from the centre: further than weights are from zero at the start, $weights, so that
# members do different things. If all score alike, take more.
sigma = $sigma
optimiser = "adam"
# Half of sigma: how far a weight may move in an epoch.
learning_rate = $rate
# The centre is measured now and then on fresh episodes; the best measured one is the champion.
validation_epochs = 10""")

_FUNCTION = Template("""\
[task.function]
# Called as f(weights, seed), with a float32 numpy vector; what it returns is maximised.
path = "$environment"
# How many weights it takes.
dimension = 100

[policy]
# The weights themselves; there is no network to run.
name = "vector"

[algorithm.ga]
window = 200
parents = 10
# The standard deviation of a mutation, against weights of 1 at the start: large steps first, then smaller
# ones, which still help when there is little left to gain.
power = 0.2
power_schedule = "exponential"
final_power = 0.02
power_evaluations = $evaluations
# Where the function depends on its seed, a single score is partly luck: these are measured again.
candidates = 10
validation_episodes = 30
validation_share = 0.2

[stop]
evaluations = $evaluations
""")


_ROW_SIZES = {"weights": "0.1 to 0.3", "power": "0.2", "sigma": "0.4", "rate": "0.2"}
_IMAGE_SIZES = {"weights": "about 0.1", "power": "0.01", "sigma": "0.1", "rate": "0.05"}


class Shown(NamedTuple):
    """What an environment shows, and whether its actions are numbers."""

    is_image: bool
    has_parts: bool
    is_continuous: bool


_IMAGE = """\
# Convolutions that halve the image until little is left. Of a stack of pictures, "motion" sees what moves.
name = "convolution\""""
_ROW = """\
# Linear layers with tanh between them. For tasks that do not show everything at once: "gru" or "lstm",
# without `hidden`.
name = "mlp"
hidden = [32, 32]"""
_FLATTEN = """
# The observation has parts, which become one row of numbers.
flatten = true"""
_BOUNDS = """
# Outputs go through tanh and are stretched to the bounds of the action; "clip" takes them as they are and
# cuts them there.
bounds = "squash\""""


def atari_starter(game: str, name: str, evaluations: int) -> str:
    """A spec for an Atari game, as TOML with comments."""
    return _filled(_ATARI, game, name, evaluations)


def function_starter(path: str, name: str, evaluations: int) -> str:
    """A spec for a Python function of the weights."""
    return _filled(_FUNCTION, path, name, evaluations)


def gym_starter(id: str, name: str, evaluations: int, shown: Shown, algorithm: Algorithm = "ga") -> str:
    """A spec for a Gymnasium environment."""
    task = (_FLATTEN if shown.has_parts else "") + (_BOUNDS if shown.is_continuous else "")
    sizes = _IMAGE_SIZES if shown.is_image else _ROW_SIZES
    chosen = (_GYM_GA if algorithm == "ga" else _GYM_EGGROLL).substitute(sizes)
    policy = _IMAGE if shown.is_image else _ROW
    return _filled(_GYM, id, name, evaluations, task=task, policy=policy, algorithm=chosen)


def _filled(body: Template, environment: str, name: str, evaluations: int, **words: str) -> str:
    shown = {"environment": environment, "name": name, "evaluations": f"{evaluations:_}", **words}
    return _HEAD.substitute(shown) + body.substitute(shown)
