"""How a run begins or goes on: which experiment its folder holds, and until when it runs."""

from __future__ import annotations

from dataclasses import dataclass

import typer

from germline.cli.errors import CommandError, Exit
from germline.cli.folder import RunFolder
from germline.cli.streams import unheard
from germline.cli.words import until_text
from germline.client import Client, Experiment, RefusedError
from germline.spec import complete, to_toml
from germline.v1 import spec_pb2


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person asks of a run.

    Attributes:
        spec: complete, with the stop conditions that this command asks for.
        written_stop: those of the spec's file, as TOML.
        asks_for_stop: whether the command line has some of its own.
    """

    spec: spec_pb2.ExperimentSpec
    written_stop: str
    asks_for_stop: bool

    @classmethod
    def of(cls, written: spec_pb2.ExperimentSpec, evaluations: int | None, source: str) -> Wanted:
        """From a spec's file, and from how many evaluations the command line asks for."""
        spec = spec_pb2.ExperimentSpec()
        spec.CopyFrom(written)
        if evaluations is not None:
            spec.stop.evaluations = evaluations
        stop = to_toml(spec_pb2.ExperimentSpec(stop=written.stop))
        return cls(complete(spec, source), stop, evaluations is not None)


def begin(client: Client, folder: RunFolder, wanted: Wanted) -> Experiment:
    """Create the experiment, or go on with the one that the folder holds.

    Raises CommandError if that is another search, or is where the person wants it to end already.
    """
    experiment = _until(client, _find(client, folder, wanted.spec), folder, wanted)
    folder.remember(client.address, experiment.name, wanted.written_stop)
    folder.spec.write_text(to_toml(experiment.spec), encoding="utf-8")
    return client.resume(experiment.name) if experiment.state == "paused" else experiment


def _find(client: Client, folder: RunFolder, spec: spec_pb2.ExperimentSpec) -> Experiment:
    """The experiment of this search; its stop conditions may be others."""
    try:
        return client.create(spec)
    except RefusedError as error:
        if error.code == "FAILED_PRECONDITION":  # it is damaged, and its master lives no longer than this run
            sentence = f"{error}; move {folder.path} away, or use --folder for a run of its own"
            raise CommandError(sentence, Exit.REFUSED) from None
        if error.code != "ALREADY_EXISTS":
            raise
    there = client.experiment(spec.name)
    if not _same_search(there.spec, spec):
        raise CommandError(_conflict(folder, there.spec, spec), Exit.USAGE)
    return there


def _until(client: Client, there: Experiment, folder: RunFolder, wanted: Wanted) -> Experiment:
    """Give it the stop conditions that the person changed since last time, or named on the command line.

    Those that did not change say nothing: the run may have been extended meanwhile.
    """
    stop = wanted.spec.stop
    if there.spec.stop == stop:
        return there
    if not wanted.asks_for_stop and folder.last_stop == wanted.written_stop:
        with unheard():
            typer.echo(f"germline: going on {until_text(there.spec)}, as this run was told before", err=True)
        return there
    try:
        return client.extend(there.name, stop, only=True)
    except RefusedError as error:
        raise CommandError(str(error), Exit.USAGE) from None


def _same_search(one: spec_pb2.ExperimentSpec, other: spec_pb2.ExperimentSpec) -> bool:
    """Whether two specs differ in nothing but their stop conditions."""
    specs = []
    for spec in (one, other):
        without = spec_pb2.ExperimentSpec()
        without.CopyFrom(spec)
        without.ClearField("stop")
        specs.append(without)
    return specs[0] == specs[1]


def _conflict(folder: RunFolder, there: spec_pb2.ExperimentSpec, here: spec_pb2.ExperimentSpec) -> str:
    """Why a spec cannot go on in a folder that holds another one, line by line."""
    old, new = to_toml(there).splitlines(), to_toml(here).splitlines()
    lines = [f"  there: {line}" for line in old if line not in new]
    lines += [f"  here:  {line}" for line in new if line not in old]
    sentence = f"{folder.path} holds {here.name!r} with another spec; use --folder for a run of its own"
    return "\n".join([sentence, *lines])
