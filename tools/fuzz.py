"""Throws bytes at every decoder of what comes from outside: each may say no in its own words, no more.

`python tools/fuzz.py list` names the decoders. `python tools/fuzz.py NAME` changes valid inputs, guided by
coverage (`pip install 'germline[fuzz]'`), or blindly with `--blind`. Any other error, a hang of more than ten
seconds or more than 2 GiB ends it.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import resource
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"
LARGEST = 4_096  # bytes of an input
_MEMORY_BYTES = 2 << 30
_HANG_S = 10.0


class Target(NamedTuple):
    """A decoder.

    Attributes:
        decode: reads an input to its end.
        refuses: how it may say no.
        valid: inputs that it takes, to begin with.
    """

    decode: Callable[[bytes], object]
    refuses: tuple[type[Exception], ...]
    valid: Sequence[bytes]


def targets() -> dict[str, Callable[[], Target]]:
    """Every decoder by name; what a name stands for is loaded when it is asked for."""
    return {
        "worker-message": _worker_message,
        "master-message": _master_message,
        "spec-message": _spec_message,
        "spec-toml": _spec_toml,
        "toml-value": _toml_value,
        "genome": _genome,
        "card": _card,
        "journal-entry": _journal_entry,
        "snapshot": _snapshot,
        "backup": _backup,
        "backup-file": _backup_file,
        "ga-snapshot": _ga_snapshot,
        "centre-file": _centre_file,
        "checkpoint": _checkpoint,
        "tokens": _tokens,
        "own-message": _own_message,
        "own-snapshot": _own_snapshot,
        "evochi-request": _evochi_request,
        "neuro-evaluation": _neuro_evaluation,
        "pasted-seeds": _pasted_seeds,
        "gateway-keys": _gateway_keys,
        "signed-call": _signed_call,
        "value": _value,
        "frame": _frame,
        "archive-part": _archive_part,
        "archive-folder": _archive_folder,
        "archive-question": _archive_question,
    }


def _worker_message() -> Target:
    from google.protobuf.message import DecodeError

    from germline.v1 import worker_pb2
    from master.errors import StreamOrderError
    from master.wire import worker_messages as wire

    def decode(data: bytes) -> None:
        message = worker_pb2.WorkerMessage.FromString(data)
        kind = message.WhichOneof("kind")
        if kind == "results":
            list(wire.read_results(message.results.results))
        elif kind == "goodbye":
            wire.read_reason(message.goodbye.reason)
            wire.read_keys("goodbye.returned", message.goodbye.returned)
        elif kind == "checkpoint":
            wire.read_part(message.checkpoint)
        elif kind == "epoch_report":
            wire.read_report(message.epoch_report)
        elif kind == "heartbeat":
            wire.read_slots(message.heartbeat, 1)
        else:
            wire.read_hello(message)

    message = worker_pb2.WorkerMessage
    key = worker_pb2.LeaseKey(experiment=1, ticket=2, attempt=3, identity=4)
    told = [worker_pb2.Result(lease=key, returns=[1.0, -2.0], frames=4, steps=1, failure="no", cut=1)]
    valid = [
        message(hello=worker_pb2.Hello(worker_id="w", slots=4, libraries={"torch": "2"}, held=[key])),
        message(results=worker_pb2.Results(sequence=1, results=told)),
        message(goodbye=worker_pb2.Goodbye(reason="spot", returned=[key])),
        message(checkpoint=worker_pb2.CheckpointPart(experiment=1, parts=2, data=b"x", digest="d")),
        message(epoch_report=worker_pb2.EpochReport(experiment=1, epoch=2, digest="d")),
        message(heartbeat=worker_pb2.Heartbeat(slots=3)),
    ]
    return Target(decode, (DecodeError, StreamOrderError), [each.SerializeToString() for each in valid])


def _master_message() -> Target:
    from google.protobuf.message import DecodeError

    from germline.genome import Genome, Mutation
    from germline.v1 import genome_pb2, worker_pb2
    from worker.connection import wire

    def decode(data: bytes) -> None:
        message = worker_pb2.MasterMessage.FromString(data)
        wire.KnownGenomes().read(message.leases)
        wire.Assembly().add(message.checkpoint)
        wire.by_reason(message.acknowledgement.refused)

    parent = Genome.founder(7)
    known = genome_pb2.KnownGenome(id=parent.id, encoded=parent.encode())
    step = genome_pb2.Mutation(seed=1, power=0.5, rank=2)
    lease = worker_pb2.Lease(genome=parent.id, mutation=step, episode_seeds=[1])
    line = parent.child(Mutation(1, 0.5, 0))
    more = genome_pb2.KnownGenome(id=line.id, encoded=line.encode())
    leases = worker_pb2.Leases(known=[known, more], leases=[lease], forget=[3])
    part = worker_pb2.CheckpointPart(experiment=1, parts=1, data=b"x")
    valid = [worker_pb2.MasterMessage(leases=leases), worker_pb2.MasterMessage(checkpoint=part)]
    refuses = (DecodeError, wire.ProtocolError)
    return Target(decode, refuses, [each.SerializeToString() for each in valid])


def _spec_message() -> Target:
    from google.protobuf.message import DecodeError

    from germline.spec import SpecError
    from germline.v1 import spec_pb2
    from master.experiments.settings import ExperimentSettings

    def decode(data: bytes) -> None:
        ExperimentSettings.of(spec_pb2.ExperimentSpec.FromString(data))

    return Target(decode, (DecodeError, SpecError), [each.SerializeToString() for each in _specs()])


def _spec_toml() -> Target:
    from germline.spec import SpecError, loads

    folder = GOLDEN.parent.parent / "experiments"
    valid = [path.read_bytes() for path in sorted(folder.glob("*.toml"))]
    return Target(lambda data: loads(_text(data)), (SpecError,), valid)


def _toml_value() -> Target:
    from germline.toml import read_value

    return Target(lambda data: read_value(_text(data)), (), [b"[1, {a = 2.5}]", b"1979-05-27", b'"x"'])


def _genome() -> Target:
    from germline.genome import Genome, Mutation

    line = Genome.founder(1).extended([Mutation(2, 0.5, 0), Mutation(3, 0.5, 0), Mutation(4, 0.25, 1)])
    return Target(
        lambda data: Genome.decode(data).id, (ValueError,), [line.encode(), Genome.founder(1).encode()]
    )


def _card() -> Target:
    from germline.card import parse_card

    valid = [path.read_bytes() for path in sorted(GOLDEN.glob("card-*.toml"))]
    return Target(lambda data: parse_card(_text(data)), (ValueError,), valid)


def _journal_entry() -> Target:
    from master.errors import JournalFormatError
    from master.journal.codec import EntryReader

    def stands_alone(entry: bytes) -> bool:
        """Whether an entry explains all genomes that it names; others rest on those before them."""
        try:
            list(EntryReader().read(entry))
        except JournalFormatError:
            return False
        return True

    entries = [base64.b64decode(entry) for each in _stored() for entry in each["entries"].values()]
    valid = list(filter(stands_alone, entries))
    return Target(lambda data: list(EntryReader().read(data)), (JournalFormatError,), valid)


def _snapshot() -> Target:
    from master.errors import JournalFormatError
    from master.journal.codec import read_snapshot

    valid = [base64.b64decode(each["snapshot"]) for each in _stored() if each.get("snapshot")]
    return Target(read_snapshot, (JournalFormatError,), valid)


def _backup() -> Target:
    from germline.v1 import journal_pb2
    from master.errors import JournalFormatError
    from master.journal.codec import FORMAT_VERSION, read_backup, read_snapshot

    valid = [
        journal_pb2.Backup(format_version=FORMAT_VERSION, snapshot=snapshot).SerializeToString()
        for snapshot in _snapshot().valid
        if not read_snapshot(snapshot).checkpoints
    ]
    return Target(read_backup, (JournalFormatError,), valid)


def _backup_file() -> Target:
    import io

    from germline.backup_file import Backup, BackupError, read, write

    path = _scratch("backup")

    def decode(data: bytes) -> None:
        path.write_bytes(data)
        list(read(path))

    file = io.BytesIO()
    write(file, [Backup("one", b"data"), Backup("two", b"")])
    return Target(decode, (BackupError,), [file.getvalue()])


def _ga_snapshot() -> Target:
    from germline.algorithms.base import Result
    from germline.algorithms.ga import GeneticAlgorithm
    from germline.algorithms.ga_settings import GaSettings

    settings = GaSettings(window=20, parents=5, candidates=3, validation_share=0.3, validation_episodes=4)
    played = GeneticAlgorithm(settings, 1)
    valid = [json.dumps(played.snapshot()).encode()]
    for ask in played.ask(30):
        played.tell(Result(ask.ticket, tuple(float(seed % 7) for seed in ask.episode_seeds), 4, 1))
    played.ask(5)
    valid.append(json.dumps(played.snapshot()).encode())

    def decode(data: bytes) -> None:
        try:
            written = json.loads(data)
        except (ValueError, RecursionError):
            return
        if isinstance(written, dict):
            GeneticAlgorithm(settings, 1).restore(written)

    return Target(decode, (ValueError,), valid)


def _centre_file() -> Target:
    import torch
    from safetensors.torch import save

    from germline.eggroll import centre_file

    def decode(data: bytes) -> None:
        centre_file.note(data, "spec")
        centre_file.read(data)
        centre_file.annotate(data, spec="x")

    metadata = {"format": centre_file.FORMAT, "epoch": "1", "steps": "1", "digest": "d"}
    return Target(decode, (ValueError,), [save({"a": torch.zeros(2), "b": torch.ones(1, 2)}, metadata)])


def _checkpoint() -> Target:
    import torch

    from germline.eggroll import checkpoint

    path = _scratch("checkpoint")

    def decode(data: bytes) -> None:
        path.write_bytes(data)
        checkpoint.load(path)

    checkpoint.save({"a": torch.zeros(2), "b": [1, None, {"c": 2.5}], "d": {1: "x"}}, path)
    return Target(decode, (ValueError,), [path.read_bytes()])


def _tokens() -> Target:
    from master.access import read_tokens

    path = _scratch("tokens")

    def decode(data: bytes) -> None:
        path.write_bytes(data)
        read_tokens(path)

    return Target(decode, (ValueError,), [b"# the fleet\n" + b"t" * 20 + b"\n"])


def _own_message() -> Target:
    """What workers say that bring their own arithmetic."""
    from google.protobuf.message import DecodeError

    from germline.v1 import own_pb2 as pb
    from master.errors import MasterError
    from master.wire import own_messages as own

    def decode(data: bytes) -> None:
        message = pb.OwnWorkerMessage.FromString(data)
        own.StateReader().take(message.state) if message.HasField("state") else None
        _tell_own(own.read_parts(message.told))
        if message.HasField("hello"):
            own.read_hello(message)

    told = pb.OwnTold(task=1, parts=[pb.OwnReturns(start=0, returns=[1.0, -2.0])])
    valid = [
        pb.OwnWorkerMessage(hello=pb.OwnHello(experiment="e", worker_id="w", room=3)),
        pb.OwnWorkerMessage(told=told),
        pb.OwnWorkerMessage(state=pb.OwnStatePart(task=1, parts=2, data=b"x")),
    ]
    return Target(
        decode, (DecodeError, MasterError, ValueError), [each.SerializeToString() for each in valid]
    )


def _own_snapshot() -> Target:
    """What a snapshot keeps of a run that brings its own arithmetic."""
    from germline.algorithms.own import OwnRun

    def decode(data: bytes) -> None:
        try:
            kept = json.loads(data)
        except (ValueError, RecursionError):
            return
        if isinstance(kept, dict):
            OwnRun(5).restore(kept)

    valid = [{"updates": -1, "told": []}, {"updates": 3, "told": [[0, [1.5]], [2, [0.5, 2.5]]]}]
    refuses = (ValueError, LookupError, TypeError, AttributeError)  # which recovery takes for damage
    return Target(decode, refuses, [json.dumps(each).encode() for each in valid])


def _evochi_request() -> Target:
    """What clients of evochi say."""
    from google.protobuf.message import DecodeError

    from germline.peers import evochi_pb2 as pb
    from master.errors import MasterError
    from master.gateways.evochi import messages as evochi

    worker = "12345678-1234-4123-8123-123456789abc"

    def decode(data: bytes) -> None:
        request = pb.FinishEvaluationRequest.FromString(data)
        _tell_own(evochi.read_parts(request.evaluations))
        evochi.task_number(worker, request.task_id)

    part = pb.Evaluation(slice=pb.Slice(start=0, end=2), rewards=[1.0, 2.0])
    valid = pb.FinishEvaluationRequest(task_id=evochi.task_id(worker, 7), evaluations=[part])
    return Target(decode, (DecodeError, MasterError, ValueError), [valid.SerializeToString()])


def _tell_own(parts: Sequence[Any]) -> None:
    """Tell an epoch of five members what somebody says of the first two."""
    from germline.algorithms.own_epoch import OwnEpoch, Slice, check_parts

    if parts:
        check_parts([Slice(0, 2)], parts)
        for part in parts:
            OwnEpoch(5).tell(part)


def _neuro_evaluation() -> Target:
    """What workers of cshenton/neuroevolution say, and the genome that is made of it."""
    from google.protobuf.message import DecodeError

    from germline.peers import neuro_pb2 as pb
    from master.gateways.neuro.breeding import genome_of, seeds_of

    def decode(data: bytes) -> None:
        evaluation = pb.Evaluation.FromString(data)
        seeds_of(genome_of(evaluation.individual.seeds, 0.005))

    individuals = [pb.Individual(seeds=seeds) for seeds in ([], [7], [1, 2**32 - 1, 3])]
    valid = [pb.Evaluation(individual=each, score=1.5).SerializeToString() for each in individuals]
    return Target(decode, (DecodeError,), valid)


def _pasted_seeds() -> Target:
    from germline.compat.neuroevolution import read_seeds

    return Target(lambda data: read_seeds(_text(data)), (ValueError,), [b"[1, 2, 4294967295]", b"7\n8;9"])


def _gateway_keys() -> Target:
    """A file of those whose signed calls are let in."""
    from cryptography.hazmat.primitives import serialization as form

    from worker.serving.gateway_keys import GatewayKeys

    path = _scratch("keys")

    def decode(data: bytes) -> None:
        path.write_bytes(data)
        GatewayKeys(path)

    key = _rsa_key().public_key()
    valid = key.public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    return Target(decode, (ValueError,), [valid, b"# a comment\n" + valid + valid])


def _signed_call() -> Target:
    """The three headers of a call that is signed, one in a line, and the message in the first of them."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import padding

    from worker.serving import gateway_keys as keys

    key, message = _rsa_key(), json.dumps({"model_id": "m", "timestamp": 1e9}).encode()
    shown = form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo
    path = _scratch("keys")
    path.write_bytes(key.public_key().public_bytes(*shown))
    known = keys.GatewayKeys(path, lambda: 1e9)
    der = key.public_key().public_bytes(form.Encoding.DER, shown[1])
    signature = key.sign(message, padding.PKCS1v15(), hashes.SHA256())

    def decode(data: bytes) -> None:
        said, signed, by, *_ = [*_text(data).split("\n"), "", ""]
        known.why_not("m", {keys.MESSAGE: said, keys.SIGNATURE: signed, keys.KEY: by})
        known.why_not_said("m", data)

    return Target(decode, (), [b"\n".join(map(base64.b64encode, (message, signature, der))), message])


def _rsa_key() -> Any:
    """A key of the length that model-runner-client has."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


def _value() -> Target:
    """An argument that a client sends to a model, or its answer."""
    import numpy as np
    import pandas as pd
    from google.protobuf.message import DecodeError

    from germline.models.variants import VariantError, decode, encode
    from germline.peers.model_runner_pb2 import Variant

    tables = [pd.DataFrame({"a": [1.5, None], "b": ["x", "y"]}), pd.DataFrame({"c": np.arange(100)})]
    values = [None, 1.5, -5, "a text", {"deep": [1, [None]]}, *tables]
    valid = [encode(value).SerializeToString() for value in values]
    return Target(lambda data: decode(Variant.FromString(data)), (DecodeError, VariantError), valid)


def _frame() -> Target:
    """A frame of the WebSocket by which models are found."""
    from germline.models.announcements import (
        Announced,
        FrameError,
        Report,
        read_models,
        read_reports,
        write_frames,
        write_report,
    )

    def decode(data: bytes) -> None:
        text = _text(data)
        read_models(text)
        read_reports(text)

    announced = Announced("a-1", "a-1_x", "a", "127.0.0.1", 80, infos={"about": "a"})
    frames = [*write_frames("init", [announced]), write_report(Report("a-1", "MULTIPLE_FAILED", "x"), "h")]
    return Target(decode, (FrameError,), [frame.encode() for frame in frames])


def _archive_part() -> Target:
    """A part of an archive, as it is, and with check sums that fit: what lies behind them is reached."""
    from germline.archive.files import About
    from germline.archive.part import PartError, read_records
    from master.archive.incoming import IncomingArchive

    def decode(data: bytes) -> None:
        for part in (data, sealed(data)):
            with suppress(PartError):
                read_records(part)
        IncomingArchive(Held({}), 1, About("e", 0.0), 2_000).add(sealed(data))

    return Target(decode, (PartError,), _archive_parts())


def sealed(data: bytes) -> bytes:
    """A part whose check sums fit what it holds, as far as it can be read as one."""
    sealed, at = bytearray(data), 36
    sizes: list[tuple[int, int]] = []
    for _ in range(min(int.from_bytes(data[32:36], "little"), 64)):
        behind = at + 1 + (data[at] if at < len(data) else 0) + 1
        sizes.append((behind + 8, int.from_bytes(data[behind : behind + 8], "little")))
        at = behind + 12
    if len(data) < at + 4:
        return data
    start = at + 4
    for place, size in sizes:
        sealed[place : place + 4] = zlib.crc32(data[start : start + size]).to_bytes(4, "little")
        start += size
    sealed[at : at + 4] = zlib.crc32(sealed[:at]).to_bytes(4, "little")
    return bytes(sealed)


class Held:
    """A destination in memory."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._files = files

    def sizes(self, folder: str) -> dict[str, int]:
        """What lies in a folder."""
        start = f"{folder}/"
        return {name.removeprefix(start): len(data) for name, data in self._files.items()}

    def read(self, name: str) -> bytes | None:
        """A file."""
        return self._files.get(name)

    def write(self, name: str, data: bytes) -> None:
        """Keep a file."""
        self._files[name] = data

    def delete(self, name: str) -> None:
        """Forget a file."""
        self._files.pop(name, None)


def _archive_parts() -> list[bytes]:
    import numpy as np

    from germline.archive.part import write_part
    from germline.archive.record import RECORD

    records = np.zeros(24, RECORD)
    records["individual"] = np.arange(24) + 1
    records["parent"][1:] = records["individual"][:-1] // 2
    records["fitness"] = np.arange(24) % 5
    records["behaviours"], records["behaviour"] = 8, np.arange(24)[:, None] * 2_000
    thinned = write_part(24, 72, np.arange(24, 72, 2), records)
    return [write_part(0, 24, np.arange(24), records), thinned, (GOLDEN / "archive-v1.part").read_bytes()]


def _archive_folder() -> Target:
    """What lies where an archive is kept: names, one in a line, each with the bytes of one of few parts."""
    from germline.archive.files import ArchiveFiles
    from germline.archive.part import PartError
    from germline.archive.view import ColumnCache, View
    from germline.destinations import DestinationError

    parts = dict(zip((f"{first:013d}" for first in (0, 24, 1_000)), _archive_parts(), strict=True))

    def decode(data: bytes) -> None:
        names = _text(data[:LARGEST]).split("\n")
        held = {name: parts.get(name[:13], b"") for name in names}
        files = ArchiveFiles(Held({f"one/{name}": part for name, part in held.items()}), "one")
        files.open()
        view = View.of_files(files, ColumnCache())
        view.numbers(), view.column("fitness")
        files.cut(30)

    names = [f"{first:013d}-{end:013d}-{level}{writer}.part" for first, end, level, writer in (
        (0, 24, 0, ""), (24, 72, 1, "-0a1b2c3d"), (1_000, 1_024, 1, ""),
    )]  # fmt: skip
    valid = ["\n".join(names[:3]), "\n".join([names[0], "about.json", names[1]])]
    return Target(decode, (PartError, DestinationError), [each.encode() for each in valid])


def _archive_question() -> Target:
    """What people's programs ask of an archive, answered from a small one."""
    from google.protobuf.message import DecodeError

    from germline.archive import bands
    from germline.archive.part import read_records
    from germline.archive.view import HeldPiece, View
    from germline.v1 import experiment_pb2 as pb
    from master.errors import MasterError
    from master.wire import archive_messages as messages
    from master.wire import archive_service as service

    view = View([HeldPiece(0, read_records(_archive_parts()[0])[1])])

    def decode(data: bytes) -> None:
        kind, message = data[:1], data[1:]
        if kind == b"b":
            messages.write_bands(
                bands.bands(view, *messages.read_bands(pb.GetBandsRequest.FromString(message)))
            )
        elif kind == b"m":
            asked = pb.GetBehaviourMapRequest.FromString(message)
            messages.write_map(service._map(asked, view), 8)
        elif kind == b"r":
            service._part(pb.ReadArchiveRequest.FromString(message).first, view)
        elif kind == b"l":
            service._life(pb.GetLifeRequest.FromString(message).id, view)
        else:
            service._page(pb.ListEvaluationsRequest.FromString(message), view)

    axes = messages.write_map(service._map(pb.GetBehaviourMapRequest(), view), 8).axes
    cells = pb.CellRange(axes=axes, x_first=1, x_last=90, y_first=0, y_last=127)
    valid = [
        b"b" + pb.GetBandsRequest(axis=pb.AXIS_FRAMES, low=1.0, high=9e3, points=5).SerializeToString(),
        b"m" + pb.GetBehaviourMapRequest(first=2, end=20, principal=True).SerializeToString(),
        b"m" + pb.GetBehaviourMapRequest(axes=axes).SerializeToString(),
        b"m" + pb.GetBehaviourMapRequest(numbers=pb.TwoNumbers(x=1, y=7)).SerializeToString(),
        b"r" + pb.ReadArchiveRequest(first=7).SerializeToString(),
        b"l" + pb.GetLifeRequest(id=4).SerializeToString(),
        b"p" + pb.ListEvaluationsRequest(order=pb.ORDER_BEST, limit=5, after="3.0 4").SerializeToString(),
        b"p" + pb.ListEvaluationsRequest(order=pb.ORDER_ID, after="12 3", cells=cells).SerializeToString(),
    ]
    return Target(decode, (DecodeError, MasterError), valid)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _stored() -> Iterator[dict[str, Any]]:
    for path in sorted(GOLDEN.glob("*-v1.json")):
        stored = json.loads(path.read_text())
        if isinstance(stored, dict):
            yield from (each for each in stored.get("experiments", ()) if "entries" in each)


def _specs() -> list[Any]:
    from germline.spec import load

    return [load(path) for path in sorted((GOLDEN.parent.parent / "experiments").glob("*.toml"))]


def _scratch(name: str) -> Path:
    import tempfile

    return Path(tempfile.mkdtemp(prefix="germline-fuzz-")) / name


class FuzzError(Exception):
    """A decoder did what it must not; the input is the file that is named."""


def attempt(name: str, target: Target, data: bytes) -> None:
    """Decode one input. Raises FuzzError for anything but an answer or a refusal in time."""
    began_s = time.perf_counter()
    try:
        target.decode(data)
    except target.refuses:
        pass
    except Exception as error:
        raise FuzzError(f"{name} raises {type(error).__name__}: {error}, for {data!r}") from error
    if time.perf_counter() - began_s > _HANG_S:
        raise FuzzError(f"{name} takes {time.perf_counter() - began_s:.0f} s, for {data!r}")


def changed(valid: Sequence[bytes], chance: random.Random) -> bytes:
    """A valid input with a few bytes changed, left out, doubled, or put together with those of another."""
    data = bytearray(chance.choice(valid))
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        at, size = chance.randrange(len(data) + 1), chance.choice((1, 1, 2, 4, 8, 64))
        kind = chance.randrange(6)
        if kind == 0:
            data[at : at + size] = chance.randbytes(size)
        elif kind == 1:
            del data[at : at + size]
        elif kind == 2:
            data[at:at] = data[at : at + size] * chance.choice((1, 2, 50))
        elif kind == 3:
            data[at : at + 1] = chance.choice(_ODD)
        elif kind == 4:
            other = chance.choice(valid)
            where = chance.randrange(len(other) + 1)
            data[at : at + size] = other[where : where + size]
        else:
            data[at:] = b""
    return bytes(data[: 16 * LARGEST])


_ODD = (
    b"\x00", b"\xff", b"\x7f", b"\x80", b"\xff" * 9 + b"\x01", b"-1", b"9" * 20, b"9" * 5_000, b"nan", b"inf",
    b"1e999", b"[" * 3_000, b"{" * 3_000, b'"', b"'", b"\n", b"=", b"true", b"\xf0\x9f\x90\xa3",
)  # fmt: skip


def throw(name: str, target: Target, runs: int, seed: int, until_s: float = float("inf")) -> int:
    """Throw so many inputs, or as many as there is time for; how many there were."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    for data in target.valid:
        target.decode(data)  # what is valid is taken
    for run in range(runs):
        if run % 64 == 0 and time.monotonic() > until_s:
            return run
        attempt(name, target, changed(target.valid, chance))
    return runs


def guided(name: str, runs: int) -> None:
    """Have atheris look for inputs that reach what others do not."""
    import atheris

    with atheris.instrument_imports(include=["germline", "master", "worker"]):
        target = targets()[name]()
    corpus = _scratch("corpus")
    corpus.mkdir()
    for number, data in enumerate(target.valid):
        (corpus / str(number)).write_bytes(data)
    flags = [
        f"-runs={runs}",
        f"-max_len={16 * LARGEST}",
        "-timeout=10",
        "-rss_limit_mb=2048",
        "-print_final_stats=1",
        f"-artifact_prefix={corpus.parent}/",  # not among the sources
    ]
    atheris.Setup([name, *flags, str(corpus)], lambda data: attempt(name, target, data))
    atheris.Fuzz()


def main(arguments: Sequence[str] | None = None) -> int:
    """List the targets, or throw bytes at one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=["list", *targets()])
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--blind", action="store_true", help="without atheris")
    given = parser.parse_args(arguments)
    if given.name == "list":
        print("\n".join(targets()))
        return 0
    if not given.blind:
        guided(given.name, given.runs)  # which ends the process
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY_BYTES, _MEMORY_BYTES))
    began_s = time.monotonic()
    runs = throw(given.name, targets()[given.name](), given.runs, given.seed)
    print(f"{given.name}: {runs:,} inputs in {time.monotonic() - began_s:.0f} s, seed {given.seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
