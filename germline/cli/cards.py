"""Policy cards of individuals: from an experiment to a card, and from a card to what can be played again."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from germline import stored_start
from germline.card import PolicyCard, Score, parse_card, write_card
from germline.cli.errors import CommandError, Exit, needs_extra
from germline.cli.files import write_whole
from germline.cli.words import counted, line_text
from germline.client import Experiment, Individual
from germline.genome import Genome, format_id
from germline.spec import loads, low_rank, spec_of_card, to_toml
from germline.v1 import spec_pb2


@dataclass(frozen=True, slots=True)
class Playable:
    """A policy with all that it takes to play it.

    Attributes:
        spec: a spec with its task, policy and precision.
        policy: its genome; or the file of an evolution strategy's centre, which has none.
        name: the genome's id, or what the centre's experiment is called.
        about: where it comes from, in words.
        card: its policy card; None for a centre.
        kernels: families of the kernels that played its score.
        evaluations: of its experiment when it was read; 0 for a file, which does not say.
    """

    spec: spec_pb2.ExperimentSpec
    policy: Genome | bytes
    name: str
    about: str
    card: PolicyCard | None = None
    kernels: tuple[str, ...] = ()
    evaluations: int = 0


def of_experiment(experiment: Experiment, individual: Individual) -> Playable:
    """An individual of an experiment. Raises CommandError if its genome is not at hand."""
    card = card_of(experiment, individual)
    name = format_id(individual.id)
    about = f"{name} of {experiment.name}, {line_text(experiment, individual)}"
    kernels, evaluations = experiment.kernels, experiment.evaluations
    spec = experiment.spec_for(card.genome)
    return Playable(spec, card.genome, name, about, card, kernels, evaluations)


def of_centre(experiment: Experiment, centre: bytes) -> Playable:
    """The stored centre of an evolution strategy."""
    with needs_extra("worker"):
        from germline.eggroll import centre_file
    about = f"the centre of {experiment.name}"
    return Playable(
        experiment.spec_at(centre_file.read(centre).epoch),
        centre,
        experiment.name,
        about,
        kernels=experiment.kernels,
        evaluations=experiment.evaluations,
    )


def of_file(path: Path) -> Playable:
    """What a card file spells, or an exported centre holds.

    Raises CommandError, naming the field, if something is wrong with it.
    """
    if not path.is_file():
        raise CommandError(_no_file(path), Exit.USAGE)
    if path.suffix == ".safetensors":
        return _of_exported(path)
    try:
        return _of_card(path.read_text(encoding="utf-8"), path)
    except ValueError as error:
        sentence = str(error) if str(path) in str(error) else f"{path}: {error}"
        raise CommandError(sentence, Exit.USAGE) from None


def _no_file(path: Path) -> str:
    allowed = "allowed: a policy card, or what `germline export` wrote"
    if path.is_dir():
        return f"{path} is a folder; {allowed}. The champion of a run: --run {path}"
    others = "The champion of a run: --run FOLDER; of a master's experiment: --experiment NAME"
    return f"there is no file {path}; {allowed}. {others}"


def _of_card(text: str, where: Path) -> Playable:
    """Raises ValueError."""
    card = parse_card(text)
    spec = spec_of_card(card, str(where))
    stored_start.look_in(where.parent, spec.policy.start)
    name = format_id(card.genome.id)
    about = f"{name} of {where}, {counted(len(card.genome), 'mutation')}"
    return Playable(spec, card.genome, name, about, card, card.score.kernels if card.score else ())


def _of_exported(path: Path) -> Playable:
    """What `germline export` wrote: a genome's weights with its card, or a centre."""
    with needs_extra("worker"):
        from germline.eggroll import centre_file
    data = path.read_bytes()
    try:
        card = centre_file.note(data, "card")
        if card is not None:
            return _of_card(card, path)
        text = centre_file.note(data, "spec")
        if text is None or centre_file.note(data, "format") is None:
            raise ValueError(
                "it does not say which spec it plays, or has no card; allowed: what `germline export` wrote"
            )
        spec = loads(text, spec_format=int(centre_file.note(data, "spec_format") or 1))
    except ValueError as error:
        raise CommandError(f"{path}: {error}", Exit.USAGE) from None
    return Playable(spec, data, path.stem, f"the centre of {spec.name} in {path}")


def card_of(
    experiment: Experiment, individual: Individual, kernels: tuple[str, ...] | None = None
) -> PolicyCard:
    """The card of an individual.

    Args:
        experiment: that it is of.
        individual: with its score.
        kernels: families of those that played the score, if not those of the experiment.

    Raises:
        CommandError: if its genome is not at hand.
    """
    if individual.genome is None:
        raise CommandError(
            f"the genome of {format_id(individual.id)} is not at hand; the centre of an evolution strategy "
            "has none: `germline export` writes it into a file",
            Exit.REFUSED,
        )
    spec = experiment.spec_for(individual.genome)
    table = tomllib.loads(to_toml(spec))
    return PolicyCard(
        task=table["task"],
        policy=table["policy"],
        precision=table["evaluation"]["precision"],
        genome=individual.genome,
        score=_score(individual, experiment.kernels if kernels is None else kernels),
        experiment=spec.name,
        episodes=spec.evaluation.episodes,
        rank=low_rank(spec),
    )


def _score(individual: Individual, kernels: tuple[str, ...]) -> Score | None:
    mean, half_width = individual.validated_mean, individual.validated_half_width
    if mean is None:
        return None
    interval = None if half_width is None else (mean - half_width, mean + half_width)
    returns = individual.start_returns
    return Score(mean, individual.validation_episodes, interval, returns=returns, kernels=kernels)


def save(path: Path, card: PolicyCard) -> None:
    """Write a card, whole or not at all, and beside it the weights that its line starts from, if any."""
    digest = str(card.policy.get("start", ""))
    start = stored_start.find(digest)
    if start is not None:
        write_whole(path.parent / stored_start.file_name(digest), start)
    write_whole(path, write_card(card).encode())
