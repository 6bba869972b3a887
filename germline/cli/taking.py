"""Options that several commands have in common, each declared once and read into one value."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable

Command = Callable[..., None]


def taking(*builders: Callable[..., object]) -> Callable[[Command], Command]:
    """A command whose first arguments are what these make of their own options.

    Args:
        builders: one for each of these arguments. The parameters of each are options or arguments of the
            command, behind its own.
    """

    def complete(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        own = [*signature.parameters.values()][len(builders) :]
        groups = [_options(builder) for builder in builders]

        @functools.wraps(command)
        def called(**arguments: object) -> None:
            made = [
                builder(**{name: arguments.pop(name) for name in group})
                for builder, group in zip(builders, groups, strict=True)
            ]
            command(*made, **arguments)

        shared = [parameter for group in groups for parameter in group.values()]
        called.__signature__ = signature.replace(parameters=[*own, *shared])  # type: ignore[attr-defined]
        return called

    return complete


def _options(builder: Callable[..., object]) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(builder, eval_str=True).parameters
    return {name: each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for name, each in parameters.items()}
