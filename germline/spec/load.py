"""From a spec, a file or its text, to a complete ExperimentSpec; files that it names are read, too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from germline import stored_start
from germline.card import PolicyCard, parse_card, spell
from germline.genome import Genome
from germline.spec.of_card import spec_of_card
from germline.spec.problems import Problem, SpecError
from germline.spec.read import from_table, parsed
from germline.v1 import spec_pb2

TEXT = "the text of the spec"
_START = "algorithm.eggroll.start"
_STORED = "policy.start"


def load(source: Path | str) -> spec_pb2.ExperimentSpec:
    """Read a spec; the answer is complete, and stands alone.

    Args:
        source: the path of a file, or a spec's TOML text. A text has a line end or an equals sign in it; a
            policy card that it names is seen from the current folder.

    Raises:
        SpecError: if it is no TOML, or with everything that is wrong with the spec. It says whether a file
            or a text was read.
        OSError: if the file cannot be read.
    """
    if isinstance(source, str) and is_text(source):
        return _complete(source, TEXT, Path())
    path = Path(source)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SpecError([Problem("", f"is no UTF-8 text: {error}")], str(path)) from None
    return _complete(text, str(path), path.parent)


def is_text(source: str) -> bool:
    """Whether this is a spec's text, and no path."""
    return "\n" in source or ("=" in source and not Path(source).exists())


def _complete(text: str, source: str, folder: Path) -> spec_pb2.ExperimentSpec:
    """Read a spec's text; what it names is seen from `folder`."""
    return complete_table(parsed(text, source), source, folder)


def complete_table(table: Mapping[str, object], source: str, folder: Path) -> spec_pb2.ExperimentSpec:
    """A spec from what its TOML says, and from the policy card or the weights that it names.

    Weights are at hand from now on, see :mod:`germline.stored_start`.

    Args:
        table: the TOML.
        source: what it is called in problems.
        folder: from which files are seen.

    Raises:
        SpecError: with everything that is wrong with it.
    """
    table = _with_stored(table, source, folder)
    file = _file(table, _START, ".toml", folder)
    if file is None:
        return from_table(table, source)
    card = _card(file, source)
    spec = from_table(_with_start(table, card.genome), source)
    theirs = spec_of_card(card, str(file)).policy
    if theirs != spec.policy:
        text = f"is {str(file)!r}, whose policy is another: {_short(theirs)}, and not {_short(spec.policy)}"
        raise SpecError([Problem(_START, text)], source)
    return spec


def start_text(genome: Genome) -> str:
    """A genome as `algorithm.eggroll.start` has it: as cards spell it, on one line."""
    return " ".join(spell(genome))


def _file(table: Mapping[str, object], setting: str, suffix: str, folder: Path) -> Path | None:
    """The file that a setting names; None if it names none."""
    found = _found(table, setting)
    is_file = isinstance(found, str) and found.endswith(suffix)
    return folder / cast(str, found) if is_file else None


def _found(table: Mapping[str, object], setting: str) -> object:
    found: object = table
    for key in setting.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _with_stored(table: Mapping[str, object], source: str, folder: Path) -> Mapping[str, object]:
    """The table with the digest of its weights in place of their file; they are at hand then."""
    file, named = _file(table, _STORED, ".safetensors", folder), _found(table, _STORED)
    try:
        if isinstance(named, str) and file is None:
            stored_start.look_in(folder, named)
        if file is None:
            return table
        digest = stored_start.keep(stored_start.of_weights(file.read_bytes()))
    except (OSError, stored_start.StartError) as error:
        raise SpecError([Problem(_STORED, f"is {named!r}: {error}")], source) from None
    policy = cast("Mapping[str, object]", table["policy"])
    return {**table, "policy": {**policy, "start": digest}}


def _card(file: Path, source: str) -> PolicyCard:
    try:
        return parse_card(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SpecError(
            [Problem(_START, f"is {str(file)!r}, which is no policy card: {error}")], source
        ) from None


def _with_start(table: Mapping[str, object], genome: Genome) -> dict[str, object]:
    """The table with this genome in place of the file."""
    algorithm = cast("Mapping[str, Mapping[str, object]]", table["algorithm"])
    eggroll = {**algorithm["eggroll"], "start": start_text(genome)}
    return {**table, "algorithm": {**algorithm, "eggroll": eggroll}}


def _short(policy: spec_pb2.Policy) -> str:
    """A policy on one line."""
    return " ".join(str(policy).split())
