"""The one founder whose weights are stored, where a spec says that every line of seeds starts there.

A genome cannot spell an evolution strategy's centre, so a spec names it by a digest, and the seed of its
founder is the beginning of that digest. The bytes are kept here, one copy for a process, by digest: whoever
builds a network for such a spec finds them, and can find no others. They are a safetensors file with nothing
but float32 tensors in the order of their names, so equal weights have equal bytes.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

MOST_BYTES = 64 << 20
"""Of such a file: sixteen million weights."""
FORMAT = "germline.start/1"

_MOST_KEPT = 16
_LENGTH = struct.Struct("<Q")
_ALIGNMENT = 8  # of the header, in the safetensors format
_NOT_A_PARAMETER = ":"  # in the name of what an optimiser remembers
_kept: OrderedDict[str, bytes] = OrderedDict()


class StartError(ValueError):
    """Bytes that are no weights to start from, or weights that are not at hand; the text says which."""


def of_weights(data: bytes) -> bytes:
    """The float32 weights of a safetensors file, and nothing else that is in it.

    Raises:
        StartError: it is no such file, it has none, or they are more than :data:`MOST_BYTES`.
    """
    header, body = _read(data)
    tensors = {
        name: about
        for name, about in header.items()
        if name != "__metadata__" and about["dtype"] == "F32" and _NOT_A_PARAMETER not in name
    }
    if not tensors:
        raise StartError(f"{len(data):,} bytes hold no float32 tensors")
    start = _written({name: (tensors[name]["shape"], _part(tensors[name], body)) for name in sorted(tensors)})
    if len(start) > MOST_BYTES:
        raise StartError(f"the weights take {len(start):,} bytes; allowed: {MOST_BYTES:,}")
    return start


def digest_of(start: bytes) -> str:
    """What names these weights: 32 hexadecimal digits."""
    return hashlib.blake2b(start, digest_size=16).hexdigest()


def founder_seed(digest: str) -> int:
    """The initialisation seed of the founder with these weights: the first 64 bits of their digest."""
    return int(digest[:16], 16)


def keep(start: bytes) -> str:
    """Have weights at hand in this process, the last sixteen that were wanted; returns their digest."""
    digest = digest_of(start)
    _kept[digest] = start
    _kept.move_to_end(digest)
    while len(_kept) > _MOST_KEPT:
        _kept.popitem(last=False)
    return digest


def find(digest: str) -> bytes | None:
    """The weights of this digest, if they are at hand."""
    return _kept.get(digest)


def get(digest: str) -> bytes:
    """The weights of this digest. Raises StartError if they are not at hand."""
    found = find(digest)
    if found is None:
        raise StartError(
            f"the weights {digest} are not at hand; they lie beside the card as {file_name(digest)}"
        )
    return found


def file_name(digest: str) -> str:
    """What the file of these weights is called, beside specs and cards that name them."""
    return f"start-{digest}.safetensors"


def look_in(folder: Path, digest: str) -> None:
    """Have weights at hand if their file lies in a folder. Raises StartError if it is damaged."""
    file = folder / file_name(digest)
    if find(digest) is None and file.is_file() and keep(file.read_bytes()) != digest:
        raise StartError(f"{file} is damaged: its bytes do not have the digest in its name")


def _read(data: bytes) -> tuple[dict[str, Any], memoryview]:
    """The header of a safetensors file, checked, and the bytes behind it."""
    try:
        end = _LENGTH.size + _LENGTH.unpack_from(data)[0]
        header = json.loads(data[_LENGTH.size : end])
        body = memoryview(data)[end:]
        for name, about in header.items():
            if name != "__metadata__":
                _check(about, len(body))
    except (struct.error, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise StartError(f"{len(data):,} bytes are no safetensors file: {error}") from None
    return header, body


def _check(about: dict[str, Any], size: int) -> None:
    """Refuse a tensor that does not lie in the file."""
    first, end = about["data_offsets"]
    if not 0 <= first <= end <= size or not all(isinstance(n, int) and n >= 0 for n in about["shape"]):
        raise ValueError(f"a tensor of shape {about['shape']} from byte {first} to {end} of {size}")


def _part(about: dict[str, Any], body: memoryview) -> bytes:
    first, end = about["data_offsets"]
    return bytes(body[first:end])


def _written(tensors: dict[str, tuple[list[int], bytes]]) -> bytes:
    """A safetensors file of float32 tensors."""
    header: dict[str, Any] = {"__metadata__": {"format": FORMAT}}
    at = 0
    for name, (shape, values) in tensors.items():
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + len(values)]}
        at += len(values)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return _LENGTH.pack(len(text)) + text + b"".join(values for _, values in tensors.values())
