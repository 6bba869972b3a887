"""Commands that play or pack one policy: evaluate, record, export."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from germline.card import PolicyCard, write_card
from germline.cli import cards
from germline.cli.cards import Playable
from germline.cli.errors import CommandError, Exit, as_usage, needs_extra
from germline.cli.files import ForceOption, check_free, write_whole
from germline.cli.output import emit, notes
from germline.cli.playing import film, fresh_seeds, kernels_here, play_all
from germline.cli.target import JsonOption, Target, with_target
from germline.cli.video import Video
from germline.cli.words import counted, kernels_text, number
from germline.genome import Genome, format_id, parse_id
from germline.spec import SPEC_FORMAT, to_toml
from germline.statistics import mean_interval
from germline.v1 import spec_pb2

if TYPE_CHECKING:
    from worker.playing.playable import Playable as BuiltPlayable

CardArgument = Annotated[
    Path | None,
    typer.Argument(
        help="A policy card, or an exported file. Without one: the champion of --run FOLDER, or of "
        "--experiment NAME on a master.",
        show_default=False,
    ),
]
ExperimentOption = Annotated[
    str | None,
    typer.Option("--experiment", help="Its name, where the master has more than one.", show_default=False),
]
IdOption = Annotated[
    str | None, typer.Option("--id", help="The individual; the champion by default.", show_default=False)
]
DeviceOption = Annotated[str, typer.Option(help="Where the network runs: auto, cpu, cuda or mps.")]
SeedOption = Annotated[
    int, typer.Option(min=0, help="Names the fresh episodes: the same seed, the same episodes.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (evaluate, record, export):
        app.command()(with_target(command))


def evaluate(
    target: Target,
    card: CardArgument = None,
    episodes: Annotated[int, typer.Option(min=1, help="How many fresh episodes.")] = 30,
    seed: SeedOption = 0,
    experiment: ExperimentOption = None,
    individual: IdOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Play fresh episodes with one policy: the mean return and its 95 % confidence interval.

    Example: germline evaluate runs/pong/champion.toml --episodes 30
    Example: germline evaluate --run runs/pong --id 6835dc4bb986a7f6 --json
    """
    policy = _policy(target, card, experiment, individual)
    returns = play_all(policy, fresh_seeds(seed, episodes), device, quiet=as_json)
    _refuse_unscored(policy, returns)
    kernels = kernels_here(policy.spec, device)
    mean, low, high = mean_interval(returns)
    if as_json:
        emit(
            {
                "id": policy.name,
                "mean": mean,
                "interval": [low, high] if episodes > 1 else None,
                "confidence": 0.95,
                "episodes": episodes,
                "seed": seed,
                "returns": returns,
                "kernels": kernels,
                "score_kernels": policy.kernels,
            }
        )
        return
    interval = f", 95 % interval {number(low)} to {number(high)}" if episodes > 1 else ""
    typer.echo(f"{policy.about}: mean {number(mean)} over {counted(episodes, 'fresh episode')}{interval}")
    if remark := kernels_text(policy.kernels, kernels):
        notes.print(f"germline: {remark}")


def _refuse_unscored(policy: Playable, returns: Sequence[float]) -> None:
    unscored = [number for number, returned in enumerate(returns, start=1) if not math.isfinite(returned)]
    if unscored:
        raise CommandError(
            f"{policy.about}: {len(unscored)} of {len(returns)} episodes have no finite return, "
            f"episode {unscored[0]} for one: {returns[unscored[0] - 1]}; there is no mean"
        )


def record(
    target: Target,
    card: CardArgument = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="An .mp4 file; default ID.mp4, of --run in its folder."),
    ] = None,
    force: ForceOption = False,
    seed: SeedOption = 0,
    experiment: ExperimentOption = None,
    individual: IdOption = None,
    device: DeviceOption = "auto",
    speed: Annotated[float, typer.Option(min=0.1, max=20, help="1 is the game's own pace.")] = 1.0,
    as_json: JsonOption = False,
) -> None:
    """Film one episode as an .mp4: what a person would see, in colour. Needs no display.

    Example: germline record runs/pong/champion.toml --output pong.mp4
    """
    policy = _policy(target, card, experiment, individual)
    file = output or _file(target, policy, ".mp4")
    check_free(file, (".mp4",), force=force)
    with Video(file) as video:
        returned = film(policy.spec, policy.policy, fresh_seeds(seed, 1)[0], device, video, speed)
    if as_json:
        emit({"file": str(file), "return": returned, "pictures": video.pictures, "seed": seed})
    else:
        what = f"{counted(video.pictures, 'picture')}, a return of {number(returned)}"
        typer.echo(f"wrote {file}: {what}, of {policy.about}")


def export(
    target: Target,
    card: CardArgument = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="A .safetensors file; default ID.safetensors, of --run in its folder."
        ),
    ] = None,
    force: ForceOption = False,
    experiment: ExperimentOption = None,
    individual: IdOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a policy's weights, float32, as safetensors, and its policy card beside them.

    The file says in its metadata how to build the network again, and `germline.load` reads it.

    Example: germline export --run runs/pong --output pong.safetensors
    """
    policy = _policy(target, card, experiment, individual)
    file = output or _file(target, policy, ".safetensors")
    check_free(file, (".safetensors",), force=force)
    beside = file.with_suffix(".toml") if policy.card else None
    if beside:
        check_free(beside, (".toml",), force=force)
    digest = write_policy(policy, file)
    if policy.card and beside:
        cards.save(beside, policy.card)
    if as_json:
        emit({"weights": str(file), "card": str(beside) if beside else None, "digest": digest})
    else:
        also = f" and {beside}" if beside else ""
        typer.echo(f"wrote {file}{also}; the weights have digest {digest}")


def write_policy(policy: Playable, file: Path) -> str:
    """Write a policy's weights, with all that it takes to build its network again; returns their digest."""
    if isinstance(policy.policy, Genome):
        return write_weights(policy.spec, policy.policy, file, policy.card)
    return write_centre(policy.spec, policy.policy, file)


def write_centre(spec: spec_pb2.ExperimentSpec, centre: bytes, file: Path) -> str:
    """Write the file of a centre, with its spec and what its optimiser remembers; returns its digest."""
    with needs_extra("worker"):
        from germline.eggroll import centre_file
        from worker.playing.engine_builder import engine_settings
        from worker.playing.playable import playable
    with as_usage():
        built = playable(engine_settings(spec))
    write_whole(file, centre_file.annotate(centre, **_notes(spec, built)))
    return centre_file.read(centre).digest


def digest_of(centre: bytes) -> str:
    """Digest of a centre's weights, 16 hexadecimal digits."""
    with needs_extra("worker"):
        from germline.eggroll import centre_file
    return centre_file.read(centre).digest


def write_weights(
    spec: spec_pb2.ExperimentSpec, genome: Genome, file: Path, card: PolicyCard | None = None
) -> str:
    """Rebuild the network and write all that its `load_state_dict` wants; returns its weights' digest."""
    with needs_extra("worker"):
        import torch
        from safetensors.torch import save

        from germline import weights
        from worker.playing.engine_builder import engine_settings
        from worker.playing.playable import playable
    with as_usage():
        built = playable(engine_settings(spec))
    network, layout = built.policy, weights.Layout.of(built.policy)
    flat = torch.zeros(layout.size)
    weights.rebuild(genome, layout, flat)
    digest = weights.digest(flat)
    about = {"id": format_id(genome.id), "digest": digest, "policy": spec.policy.name}
    about |= _notes(spec, built) | ({"card": write_card(card)} if card else {})
    layout.write(flat, network)
    state = {
        name: tensor.clone(memory_format=torch.contiguous_format)
        for name, tensor in network.state_dict().items()
    }
    write_whole(file, save(state, metadata=about))
    return digest


def _notes(spec: spec_pb2.ExperimentSpec, built: BuiltPlayable) -> dict[str, str]:
    """What a file says of itself: its spec, and its network in words that need no germline."""
    from worker.networks.policies.description import describe
    from worker.playing.engine_builder import engine_settings

    settings = engine_settings(spec)
    network = describe(
        built.policy,
        built.task,
        settings.policy,
        version=settings.policy_version,
        hidden=settings.hidden,
        arguments=settings.policy_arguments,
        numbers=settings.normalisation.numbers,
    )
    return {"spec": to_toml(spec), "spec_format": str(SPEC_FORMAT), "network": json.dumps(network)}


def _file(target: Target, policy: Playable, suffix: str) -> Path:
    """Where it goes if nobody says: a run's into its folder, under names that sort by when they were made."""
    if target.run is None:
        return Path(policy.name + suffix)
    return target.run / f"{policy.evaluations:09d}-{policy.name}{suffix}"


def _policy(target: Target, card: Path | None, experiment: str | None, individual: str | None) -> Playable:
    """The policy that the options name: a card's, or an experiment's."""
    if card is not None:
        if target.run is not None or individual is not None or experiment is not None:
            raise CommandError("a card needs no --run, --id or --experiment: it is all there", Exit.USAGE)
        return cards.of_file(card)
    try:
        wanted = None if individual is None else parse_id(individual)
    except ValueError as error:
        raise CommandError(str(error), Exit.USAGE) from None
    with target.source(experiment) as source:
        found = source.experiment()
        if found.spec.algorithm.HasField("eggroll"):
            return cards.of_centre(found, source.centre())
        return cards.of_experiment(found, source.individual(wanted))
