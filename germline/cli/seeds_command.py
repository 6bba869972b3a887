"""`germline import-seeds`: a policy of cshenton/neuroevolution from its seeds."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from germline.cli.cards import Playable
from germline.cli.errors import CommandError, Exit, as_usage, needs_extra
from germline.cli.files import ForceOption, check_free
from germline.cli.output import emit
from germline.cli.playing import film, fresh_seeds, play_all
from germline.cli.policies import DeviceOption, SeedOption, write_centre
from germline.cli.target import JsonOption
from germline.cli.video import Video
from germline.cli.words import counted, number
from germline.compat.neuroevolution import inputs_first, read_seeds, weights_of
from germline.spec import load
from germline.statistics import mean_interval
from germline.v1 import spec_pb2

if TYPE_CHECKING:
    from torch import nn

    from germline.compat.neuroevolution import Weights


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import-seeds")(import_seeds)


def import_seeds(
    spec: Annotated[
        Path,
        typer.Argument(
            help="A spec with the task and the network that the seeds are for; its algorithm is not used.",
            exists=True,
            dir_okay=False,
            show_default=False,
        ),
    ],
    seeds: Annotated[
        str,
        typer.Option(help="Whole numbers from 0 to 4294967295, as pasted: spaces or commas between."),
    ],
    strength: Annotated[float, typer.Option(min=0.0, help="The workers' MUTATION_STRENGTH.")] = 0.005,
    init: Annotated[
        Path | None,
        typer.Option(
            help="The network's first weights, as numpy.savez(FILE, *policy.inits) writes them. Without it "
            "they are those of the spec's own network for the seed 0.",
            exists=True,
            dir_okay=False,
            show_default=False,
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The weights, a .safetensors file.")] = Path(
        "imported.safetensors"
    ),
    video: Annotated[
        Path | None, typer.Option("--video", help="Film one episode, an .mp4 file.", show_default=False)
    ] = None,
    episodes: Annotated[int, typer.Option(min=1, help="How many fresh episodes to play.")] = 30,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make the policy that seeds of cshenton/neuroevolution stand for, by that project's own arithmetic.

    It is played, filmed if you say so, and written; `evaluate`, `record` and `export` take the file as well.

    Example: germline import-seeds balance.toml --seeds "3735928559, 123456789" --strength 0.05
    """
    check_free(output, (".safetensors",), force=force)
    if video is not None:
        check_free(video, (".mp4",), force=force)
    loaded = load(spec)
    try:
        wanted = read_seeds(seeds)
    except ValueError as error:
        raise CommandError(str(error), Exit.USAGE) from None
    centre = _centre(loaded, wanted, strength, init)
    about = f"the policy of {counted(len(wanted), 'seed')}"
    policy = Playable(loaded, centre, output.stem, about)
    returns = play_all(policy, fresh_seeds(seed, episodes), device, quiet=as_json)
    if not all(map(math.isfinite, returns)):
        raise CommandError(f"{about} has episodes without a finite return: {returns}")
    if video is not None:
        with Video(video) as filmed:
            film(loaded, centre, fresh_seeds(seed, 1)[0], device, filmed, 1.0)
    digest = write_centre(loaded, centre, output)
    mean, low, high = mean_interval(returns)
    if as_json:
        interval = [low, high] if episodes > 1 else None
        figures = {"mean": mean, "interval": interval, "returns": returns}
        emit({"weights": str(output), "video": str(video) if video else None, "digest": digest, **figures})
        return
    interval_text = f", 95 % interval {number(low)} to {number(high)}" if episodes > 1 else ""
    typer.echo(f"{about}: mean {number(mean)} over {counted(episodes, 'fresh episode')}{interval_text}")
    also = f" and {video}" if video is not None else ""
    typer.echo(f"wrote {output}{also}; the weights have digest {digest}")


def _centre(spec: spec_pb2.ExperimentSpec, seeds: list[int], strength: float, init: Path | None) -> bytes:
    """The network of the seeds, as the file of a centre that has not moved."""
    with needs_extra("worker"):
        import torch

        from germline import weights
        from germline.eggroll import Evolution, Settings, centre_file
        from worker.playing.engine_builder import engine_settings
        from worker.playing.playable import playable
    with as_usage():
        network = playable(engine_settings(spec)).policy
        layout = weights.Layout.of(network)
        flat = torch.zeros(layout.size)
        weights.initialise(0, layout, flat)
        layout.write(flat, network)
        shapes = [parameter.shape for parameter in layout.parameters]
        first = _first(network, [p.name for p in layout.parameters]) if init is None else _read(init, shapes)
        made = _made(first, seeds, strength)
    with torch.no_grad():
        for parameter, layer in zip(layout.parameters, made, strict=True):
            axes = inputs_first(parameter.shape)
            back = torch.from_numpy(layer).permute([axes.index(i) for i in range(len(axes))])
            network.get_parameter(parameter.name).copy_(back)
    return centre_file.write(Evolution(network, Settings(pairs=1, seed=0)))


def _made(first: list[Weights], seeds: list[int], strength: float) -> list[Weights]:
    try:
        return weights_of(first, seeds, strength)
    except ValueError as error:
        raise CommandError(str(error), Exit.USAGE) from None


def _first(network: nn.Module, names: list[str]) -> list[Weights]:
    """The network's own first weights, inputs before outputs."""
    tensors = [network.get_parameter(name).detach() for name in names]
    return [tensor.permute(inputs_first(tensor.shape)).numpy() for tensor in tensors]


def _read(path: Path, shapes: list[tuple[int, ...]]) -> list[Weights]:
    """First weights from a file, layer by layer. Raises CommandError if they are not this network's."""
    import numpy as np

    refused = (
        f"{path} is no file that numpy.savez(FILE, *policy.inits) writes, of one array of numbers a layer"
    )
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = [np.asarray(file[name], dtype=np.float32) for name in file.files]
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error}", Exit.USAGE) from None
    except Exception:  # whatever zip and NumPy say of a file that is another one
        raise CommandError(refused, Exit.USAGE) from None
    wanted = [tuple(shape[axis] for axis in inputs_first(shape)) for shape in shapes]
    found = [array.shape for array in arrays]
    if found != wanted:
        raise CommandError(f"{path} has layers of shapes {found}; the network's are {wanted}", Exit.USAGE)
    for place, array in enumerate(arrays):
        if not np.isfinite(array).all():
            raise CommandError(f"{path} has numbers in layer {place} that are not finite", Exit.USAGE)
    return arrays
