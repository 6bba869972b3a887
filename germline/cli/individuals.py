"""Commands about individuals: champion, lineage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.text import Text
from rich.tree import Tree

from germline import lineage as family
from germline.card import write_card
from germline.cli import cards
from germline.cli.errors import CommandError, Exit
from germline.cli.files import ForceOption, check_free
from germline.cli.output import console, emit, individual_json
from germline.cli.source import Source
from germline.cli.target import JsonOption, NameArgument, Target, with_target
from germline.cli.words import counted, line_text, mean_text
from germline.genome import Genome, format_id, parse_id

Form = Literal["text", "newick", "json"]
_LEAVES = 20


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(with_target(champion))
    app.command()(with_target(lineage))


def champion(
    target: Target,
    name: NameArgument = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the policy card here, a .toml file.", show_default=False),
    ] = None,
    card: Annotated[bool, typer.Option("--card", help="Print the policy card.")] = False,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """The best validated individual; the best of the population while there is none.

    Example: germline champion --run runs/pong --output pong-champion.toml
    """
    if output is not None:
        check_free(output, (".toml",), force=force)
    with target.source(name) as source:
        experiment, best = source.experiment(), source.individual()
    if output is not None:
        cards.save(output, cards.card_of(experiment, best))
    if as_json:
        emit(individual_json(best))
    elif card:
        typer.echo(write_card(cards.card_of(experiment, best)), nl=False)
    else:
        console.print(f"{format_id(best.id)}: {mean_text(best)}, {line_text(experiment, best)}")


def lineage(
    target: Target,
    individual: Annotated[
        str | None,
        typer.Argument(help="Its id, 16 hexadecimal digits; the champion by default.", show_default=False),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--experiment", help="The experiment, where there is more than one.", show_default=False
        ),
    ] = None,
    form: Annotated[Form, typer.Option(help="A tree of text, Newick, or JSON.")] = "text",
    leaves: Annotated[
        int, typer.Option(min=0, help="How many leading relatives to draw beside it.")
    ] = _LEAVES,
    as_json: JsonOption = False,
) -> None:
    """Where an individual comes from: its line, and how the leading others branch off it.

    Example: germline lineage 6835dc4bb986a7f6 --run runs/pong
    Example: germline lineage --run runs/pong --form newick > pong.nwk
    """
    with target.source(name) as source:
        asked, others = _family(source, individual, leaves)
    genomes = [asked, *others]
    if as_json or form == "json":
        emit({"asked": format_id(asked.id), "line": _line(asked), "nodes": _nodes(genomes)})
    elif form == "newick":
        typer.echo(family.newick(genomes))
    else:
        for tree in _trees(genomes, asked):
            console.print(tree)


def _family(source: Source, individual: str | None, leaves: int) -> tuple[Genome, list[Genome]]:
    """The genome that was asked about, and those of the leading members of the population."""
    try:
        wanted = None if individual is None else parse_id(individual)
    except ValueError as error:
        raise CommandError(str(error), Exit.USAGE) from None
    genome = source.individual(wanted).genome
    if genome is None:
        raise CommandError(
            "there is no line to show: an evolution strategy moves one centre, which has no ancestors. "
            "`germline plot` draws how it rose",
            Exit.REFUSED,
        )
    leading = source.individuals(leaves) if leaves else []
    return genome, [each.genome for each in leading if each.genome is not None]


def _line(genome: Genome) -> list[str]:
    return [format_id(ancestor) for ancestor in genome.ancestor_ids()]


def _nodes(genomes: Sequence[Genome]) -> list[dict[str, str | int | None]]:
    return [
        {key: value for key, value in row.items() if isinstance(value, str | int) or value is None}
        for row in family.to_json(genomes)
    ]


def _trees(genomes: Sequence[Genome], asked: Genome) -> list[Tree]:
    """Trees as rich draws them; a branch says how many mutations long it is."""
    drawn = []
    stack: list[tuple[family.Node, int, Tree | None]] = [
        (root, 0, None) for root in reversed(family.trees(genomes))
    ]
    while stack:
        node, start, above = stack.pop()
        label = _label(node, start, asked)
        branch = Tree(label) if above is None else above.add(label)
        if above is None:
            drawn.append(branch)
        stack.extend((child, node.depth, branch) for child in reversed(node.children))
    return drawn


def _label(node: family.Node, start: int, asked: Genome) -> Text:
    steps = node.depth - start
    length = f"+{counted(steps, 'mutation')}" if node.depth else "founder"
    style = "bold green" if node.id == asked.id else "cyan" if node.asked else "dim"
    return Text.assemble((format_id(node.id), style), f" {length}, {node.depth} in all")
