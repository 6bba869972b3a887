"""An option that is given twice is a list, or refused: the last one never wins in silence."""

from __future__ import annotations

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from germline.cli.errors import CommandError, Exit


class OnceCommand(TyperCommand):
    """A command that takes each option once."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Read the arguments, after a look at what is there twice."""
        _refuse_repeated(self, ctx, args)
        return super().parse_args(ctx, args)


class OnceGroup(TyperGroup):
    """A group of commands that takes each of its own options once."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Read the arguments, after a look at what is there twice."""
        _refuse_repeated(self, ctx, args)
        return super().parse_args(ctx, args)


def _refuse_repeated(
    command: TyperCommand | TyperGroup, context: typer.Context, arguments: list[str]
) -> None:
    _, _, found = command.make_parser(context).parse_args(args=list(arguments))
    seen = set()
    for parameter in found:
        if not isinstance(parameter, TyperOption) or parameter.multiple:
            continue
        if parameter.name in seen:
            raise CommandError(f"{parameter.opts[0]} is given twice; allowed: once", Exit.USAGE)
        seen.add(parameter.name)
