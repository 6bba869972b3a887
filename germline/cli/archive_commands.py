"""Commands that read the archive: individual, export-archive."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from germline.archive.part import read_records
from germline.archive.phylogeny import newick, phylogeny_of, table
from germline.archive.record import FOUNDER, MEASUREMENT, MEMBER, REPLAY
from germline.cli.cards import Playable
from germline.cli.errors import CommandError, Exit, needs_extra
from germline.cli.files import ForceOption, check_free
from germline.cli.output import Json, console, emit, genome_text
from germline.cli.playing import play_all
from germline.cli.target import JsonOption, Target, with_target
from germline.cli.words import counted, number
from germline.client import Evaluations, Experiment, Life
from germline.genome import format_id, parse_id

Form = Literal["parquet", "jsonl", "newick", "csv"]
_SUFFIXES = {"parquet": ".parquet", "jsonl": ".jsonl", "newick": ".nwk", "csv": ".csv"}
_FLAGS = {FOUNDER: "founder", REPLAY: "replay", MEASUREMENT: "measurement", MEMBER: "member"}
_SHOWN = 10


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(with_target(individual))
    app.command("export-archive")(with_target(export_archive))


def individual(
    target: Target,
    id: Annotated[str, typer.Argument(help="Its id, 16 hexadecimal digits.")],
    name: Annotated[
        str | None,
        typer.Option(
            "--experiment", help="The experiment, where there is more than one.", show_default=False
        ),
    ] = None,
    replay: Annotated[
        bool, typer.Option("--replay", help="Play its first evaluation again, and compare.")
    ] = False,
    device: Annotated[str, typer.Option(help="Where to replay: cpu, cuda, cuda:1.")] = "cpu",
    as_json: JsonOption = False,
) -> None:
    """An individual of any time: its line, its scores and its children, from the archive.

    Example: germline individual 6835dc4bb986a7f6 --run runs/pong --replay
    """
    try:
        wanted = parse_id(id)
    except ValueError as error:
        raise CommandError(str(error), Exit.USAGE) from None
    with target.source(name) as source:
        experiment, life = source.experiment(), source.life(wanted)
    played = _replayed(experiment, life, device) if replay else None
    if as_json:
        emit(_life_json(wanted, life, played))
    else:
        _show(wanted, life, played)
    if played is not None and played != life.evaluations.fitness[0]:
        raise CommandError("played again, its first evaluation comes to another return here")


def export_archive(
    target: Target,
    which: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN", help="A run's folder, or the experiment of a master.", show_default=False
        ),
    ] = None,
    form: Annotated[
        Form,
        typer.Option(
            "--format",
            help="Parquet, or a JSON object in each line; who descends from whom as Newick, or as csv: a "
            "phylogeny table of artificial life.",
        ),
    ] = "jsonl",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file; standard output by default.", show_default=False),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Every evaluation of an experiment, oldest first.

    Example: germline export-archive runs/pong --format parquet --output pong.parquet
    Example: germline export-archive runs/pong --format newick --output pong.nwk
    """
    if output is not None:
        check_free(output, (_SUFFIXES[form],), force=force)
    elif form == "parquet":
        raise CommandError("--format parquet needs an --output, a .parquet file", Exit.USAGE)
    if which is not None and Path(which).is_dir():
        target, which = replace(target, run=Path(which)), None
    with target.source(which) as source:
        parts = source.archive_parts()
        if output is None:
            sys.stdout.writelines(_text(form, parts))
            return
        draft = output.with_name(f".{output.name}.{os.getpid()}.new")
        try:
            count = (
                _write_parquet(draft, parts) if form == "parquet" else _write_lines(draft, _text(form, parts))
            )
            draft.replace(output)
        finally:
            draft.unlink(missing_ok=True)
    thing = {"newick": "tree", "csv": "individual"}.get(form, "evaluation")
    console.print(f"{counted(count, thing)} in {output}")


def _replayed(experiment: Experiment, life: Life, device: str) -> float:
    """The return of an individual's first evaluation, played here."""
    told = life.evaluations
    if life.genome is None:
        raise CommandError(f"it cannot be replayed: {life.no_genome}", Exit.REFUSED)
    if told.episodes[0] != 1 or told.cap_frames[0]:
        cut = f", cut after {told.cap_frames[0]:,} frames" if told.cap_frames[0] else ""
        raise CommandError(
            f"its first evaluation was {counted(told.episodes[0], 'episode')}{cut}; only a single whole one "
            "can be compared",
            Exit.REFUSED,
        )
    name = format_id(life.genome.id)
    policy = Playable(experiment.spec_for(life.genome), life.genome, name, name, kernels=experiment.kernels)
    return play_all(policy, (told.seed[0],), device, quiet=True)[0]


def _show(wanted: int, life: Life, played: float | None) -> None:
    told = life.evaluations
    parent = format_id(told.parent[0]) if told.parent[0] else "none, it is a founder"
    line = counted(len(life.genome), "mutation") if life.genome is not None else life.no_genome
    console.print(f"{format_id(wanted)}: {line}; its parent: {parent}")
    console.print(
        f"{counted(life.evaluations_in_all, 'evaluation')}, "
        f"{counted(life.children_in_all, 'child').replace('childs', 'children')}"
        + (f", the best of them {number(life.best_child)}" if life.best_child is not None else "")
    )
    for caption, listed in (("evaluations", told), ("children", life.children)):
        if len(listed):
            console.print(_table(caption, listed))
    if played is not None:
        console.print(f"played again here: {number(played)}, told: {number(told.fitness[0])}")


def _table(caption: str, listed: Evaluations) -> Table:
    table = Table("number", "who", "fitness", "frames", "at", "worker", box=None, title=caption)
    for place, name in list(enumerate(listed.names()))[:_SHOWN]:
        table.add_row(
            f"{listed.number[place]:,}", name, number(listed.fitness[place]), f"{listed.frames[place]:,}",
            f"{listed.running_s[place]:,.0f} s", str(listed.worker[place]),
        )  # fmt: skip
    return table


def _life_json(wanted: int, life: Life, played: float | None) -> dict[str, Json]:
    told = life.evaluations
    return {
        "id": format_id(wanted),
        "genome": genome_text(life.genome) if life.genome is not None else None,
        "no_genome": life.no_genome,
        "mutations": len(life.genome) if life.genome is not None else None,
        "parent": format_id(told.parent[0]) if told.parent[0] else None,
        "evaluations": [_row(told, place) for place in range(len(told))],
        "evaluations_in_all": life.evaluations_in_all,
        "children": [_row(life.children, place) for place in range(len(life.children))],
        "children_in_all": life.children_in_all,
        "best_child": life.best_child,
        "played": played,
    }


def _row(told: Evaluations, place: int, name: str | None = None) -> dict[str, Json]:
    """One evaluation for programs: ids as people write them."""
    parent = told.parent[place]
    return {
        "number": told.number[place],
        "individual": name if name is not None else list(told.names())[place],
        "parent": format_id(parent) if parent else None,
        "mutation": told.mutation[place],
        "power": told.power[place],
        "rank": told.rank[place],
        "seed": told.seed[place],
        "fitness": told.fitness[place],
        "episodes": told.episodes[place],
        "frames": told.frames[place],
        "cap_frames": told.cap_frames[place],
        "running_s": told.running_s[place],
        "worker": told.worker[place],
        "flags": [word for flag, word in _FLAGS.items() if told.flags[place] & flag],
        "behaviour": list(told.behaviour_of(place)),
    }


def _rows(parts: Iterator[bytes]) -> Iterator[list[dict[str, Json]]]:
    for part in parts:
        told = Evaluations.of_records(*read_records(part))
        yield [_row(told, place, name) for place, name in enumerate(told.names())]


def _lines(parts: Iterator[bytes]) -> Iterator[str]:
    for rows in _rows(parts):
        yield from (json.dumps(row) + "\n" for row in rows)


def _text(form: Form, parts: Iterator[bytes]) -> Iterator[str]:
    """An archive in a form that is text, line by line."""
    if form == "jsonl":
        return _lines(parts)
    try:
        phylogeny = phylogeny_of(map(read_records, parts))
    except ValueError as error:
        raise CommandError(str(error), Exit.REFUSED) from None
    if not len(phylogeny.id):
        raise CommandError("nobody in this archive has a line: it holds members of epochs", Exit.REFUSED)
    return newick(phylogeny) if form == "newick" else table(phylogeny)


def _write_lines(file: Path, lines: Iterator[str]) -> int:
    """How many there are, without a table's head."""
    count = 0
    with file.open("w", encoding="utf-8") as opened:
        for line in lines:
            opened.write(line)
            count += not line.startswith("id,")
    return count


def _write_parquet(file: Path, parts: Iterator[bytes]) -> int:
    with needs_extra("models"):
        import pyarrow as pa
        import pyarrow.parquet as pq
    text, words, whole = pa.string(), pa.list_(pa.string()), pa.uint64()
    kinds = {
        "number": whole, "individual": text, "parent": text, "mutation": whole, "power": pa.float32(),
        "rank": pa.uint16(), "seed": whole, "fitness": pa.float64(), "episodes": pa.uint16(),
        "frames": pa.uint32(), "cap_frames": pa.uint32(), "running_s": pa.float64(), "worker": pa.uint16(),
        "flags": words, "behaviour": pa.list_(pa.uint16()),
    }  # fmt: skip
    schema, count = pa.schema(list(kinds.items())), 0
    with pq.ParquetWriter(file, schema) as writer:
        for rows in _rows(parts):
            writer.write_table(pa.Table.from_pylist(rows, schema))
            count += len(rows)
    return count
