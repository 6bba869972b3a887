"""`germline init`: a spec for an environment, with settings that make sense and a comment for each."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Annotated

import typer

from germline.cli.errors import CommandError, Exit, as_usage, needs_extra
from germline.cli.files import ForceOption, check_free, write_whole
from germline.cli.preflight import check_playable
from germline.cli.starters import Algorithm, Shown, atari_starter, function_starter, gym_starter
from germline.spec import loads

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_GAME = re.compile(r"(ALE/)?(?P<game>[A-Za-z0-9_]+?)(-v5|NoFrameskip-v4)?")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(init)


def init(
    environment: Annotated[
        str,
        typer.Argument(
            help="A Gymnasium id (CartPole-v1, package.module:Env-v0), a class of yours "
            "(package.module:Env), an Atari game (pong), or a function of the weights "
            "(package.module:function).",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A .toml file; default NAME.toml.", show_default=False),
    ] = None,
    evaluations: Annotated[int, typer.Option(min=1, help="Complete after so many.")] = 20_000,
    algorithm: Annotated[
        Algorithm, typer.Option(help="The genetic algorithm, or the evolution strategy; of a Gymnasium id.")
    ] = "ga",
    force: ForceOption = False,
) -> None:
    """Write a spec for an environment: sensible settings, and a comment that says why for each.

    The environment is made once, to see what it shows and takes. Change what you like, and run it.

    Example: germline init CartPole-v1
    Example: germline init LunarLander-v3 --algorithm eggroll
    Example: germline init pong --output my-pong.toml
    """
    name = _name(environment)
    file = output or Path(f"{name}.toml")
    check_free(file, (".toml",), force=force)
    with needs_extra("worker"), as_usage():
        text = _text(environment, name, evaluations, algorithm)
    check_playable(loads(text, environment), environment)
    write_whole(file, text.encode())
    typer.echo(f"wrote {file}; try: germline run {file}")


def _name(environment: str) -> str:
    """What the experiment is called: the last word of the id."""
    last = re.split(r"[:/]", environment)[-1]
    words = re.sub(r"[^a-z0-9]+", "-", last.lower()).strip("-")
    if not words:
        raise CommandError(f"{environment!r} names no environment", Exit.USAGE)
    return words[:63]


def _text(environment: str, name: str, evaluations: int, algorithm: Algorithm) -> str:
    from ale_py import roms

    games = roms.get_all_rom_ids()
    if algorithm != "ga" and (_game(environment, games) or _FUNCTION.fullmatch(environment)):
        raise CommandError(
            f"--algorithm is {algorithm}; allowed for {environment!r}: ga, until others were tried",
            Exit.USAGE,
        )
    if (game := _game(environment, games)) is not None:
        return atari_starter(game, game.replace("_", "-"), evaluations)
    if _FUNCTION.fullmatch(environment) and not _is_class(environment):
        return function_starter(environment, name, evaluations)
    _check_registered(environment, games)
    return gym_starter(environment, name, evaluations, _shown(environment), algorithm)


def _game(environment: str, games: list[str]) -> str | None:
    """The game's name in snake case, however Gymnasium spells its id; None if it is no game."""
    found = _GAME.fullmatch(environment)
    if found is None:
        return None
    snake = re.sub(r"(?<!^)(?=[A-Z])", "_", found["game"]).lower()
    return snake if snake in games else None


def _is_class(path: str) -> bool:
    """Whether a path names a class, as environments are, and no function. Raises SetupError."""
    from worker.plugins import imported

    return isinstance(imported("environment", path), type)


def _check_registered(environment: str, games: list[str]) -> None:
    import gymnasium

    if ":" in environment or environment in gymnasium.registry:
        return
    near = difflib.get_close_matches(environment, [*gymnasium.registry, *games], n=3)
    guess = f"; did you mean {' or '.join(near)}?" if near else ""
    raise CommandError(f"{environment!r} is no environment that is installed here{guess}", Exit.USAGE)


def _shown(environment: str) -> Shown:
    """Make the environment once, to see. Raises SetupError if that cannot be done."""
    from gymnasium import spaces

    from worker.tasks.base import ContinuousActions
    from worker.tasks.gym import GymTask

    task = GymTask(id=environment, flatten=True)
    bare = task.shown
    has_parts = isinstance(bare, spaces.Dict | spaces.Tuple)
    is_image = isinstance(bare, spaces.Box) and len(bare.shape) in (2, 3) and min(bare.shape[:2]) > 1
    return Shown(is_image, has_parts, isinstance(task.spaces.actions, ContinuousActions))
