"""Where files are kept by their names: a folder, or a bucket of S3. Files are there whole or not at all."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

_BUCKET = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<prefix>.*))?")
_DRAFT = ".new"
_PATIENCE: Mapping[str, Any] = {  # of boto3's own, a network that is gone takes five minutes
    "connect_timeout": 5.0,
    "read_timeout": 15.0,
    "retries": {"mode": "standard", "total_max_attempts": 2},
}


class DestinationError(Exception):
    """A destination that takes or gives nothing now; it may later."""


class Destination(Protocol):
    """Keeps files by their names, whose parts have slashes between them."""

    def write(self, name: str, data: bytes) -> None:
        """Keep this under this name, in place of what was there. Raises DestinationError."""
        ...

    def read(self, name: str) -> bytes | None:
        """What is kept under this name; None if nothing is. Raises DestinationError."""
        ...

    def sizes(self, folder: str) -> dict[str, int]:
        """The files that lie in a folder, by their names in it, with their bytes. Raises DestinationError."""
        ...

    def delete(self, name: str) -> None:
        """Keep nothing under this name any more. Raises DestinationError."""
        ...


def destination(to: str) -> Destination:
    """A folder, or s3://BUCKET/PREFIX.

    Raises:
        ValueError: it is neither, or the machine does not say how to reach S3.
        ModuleNotFoundError: boto3, of the extra ``aws``, is missing.
    """
    if "://" not in to:
        return Folder(Path(to))
    found = _BUCKET.fullmatch(to)
    if found is None:
        raise ValueError(f"{to!r}; allowed: a folder, or s3://BUCKET/PREFIX")
    return Bucket(found["bucket"], (found["prefix"] or "").strip("/"))


class Folder:
    """A folder, which is made when something is written. A Destination."""

    def __init__(self, path: Path) -> None:
        """Look at nothing yet."""
        self._path = path

    def write(self, name: str, data: bytes) -> None:
        """Write a file; a reader never sees half of it, and it outlives the machine's crash."""
        file = self._path / name
        with _said(file, "written"):
            file.parent.mkdir(parents=True, exist_ok=True)
            _write_durably(file, data)

    def read(self, name: str) -> bytes | None:
        """Read a file, if it is there."""
        file = self._path / name
        with _said(file, "read"):
            try:
                return file.read_bytes()
            except FileNotFoundError:
                return None

    def sizes(self, folder: str) -> dict[str, int]:
        """The files in a folder; drafts that a crash left behind are none."""
        path = self._path / folder
        with _said(path, "read"):
            try:
                entries = [entry for entry in os.scandir(path) if entry.is_file()]
            except FileNotFoundError:
                return {}
            return {each.name: each.stat().st_size for each in entries if not each.name.endswith(_DRAFT)}

    def delete(self, name: str) -> None:
        """Delete a file, and its folder with the last one in it."""
        file = self._path / name
        with _said(file, "deleted"):
            file.unlink(missing_ok=True)
            if file.parent.is_dir() and not any(file.parent.iterdir()):
                file.parent.rmdir()


class Bucket:
    """A bucket of S3, or of what speaks as S3 does (AWS_ENDPOINT_URL says where). A Destination.

    Rights and region come from where boto3 finds them: variables, files, or the machine's role. It needs
    s3:PutObject and s3:GetObject below the prefix, and s3:ListBucket, without which S3 calls a missing object
    forbidden; to delete, s3:DeleteObject.
    """

    def __init__(self, bucket: str, prefix: str) -> None:
        """Ask nothing yet. Raises ModuleNotFoundError if boto3 is missing, ValueError if it knows no way."""
        import boto3  # noqa: PLC0415 - only who has a bucket needs it
        from botocore.config import Config  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        self._bucket, self._prefix = bucket, prefix
        self._errors = (BotoCoreError, ClientError)
        try:
            self._client = boto3.client("s3", config=Config(**_PATIENCE))
        except BotoCoreError as error:
            raise ValueError(f"s3://{bucket} cannot be asked: {error}") from None

    def write(self, name: str, data: bytes) -> None:
        """Put an object."""
        with self._said(name, "written"):
            self._client.put_object(Bucket=self._bucket, Key=self._key(name), Body=data)

    def read(self, name: str) -> bytes | None:
        """Get an object, if it is there."""
        with self._said(name, "read"):
            try:
                return bytes(self._client.get_object(Bucket=self._bucket, Key=self._key(name))["Body"].read())
            except self._errors as error:
                response = getattr(error, "response", {})
                if response.get("Error", {}).get("Code") == "NoSuchKey":
                    return None
                raise

    def sizes(self, folder: str) -> dict[str, int]:
        """The objects in a folder."""
        start = self._key(folder) + "/"
        with self._said(folder, "listed"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=start)
            objects = [each for page in pages for each in page.get("Contents", ())]
        return {str(each["Key"]).removeprefix(start): int(each["Size"]) for each in objects}

    def delete(self, name: str) -> None:
        """Delete an object."""
        with self._said(name, "deleted"):
            self._client.delete_object(Bucket=self._bucket, Key=self._key(name))

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    @contextmanager
    def _said(self, name: str, done: str) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            raise DestinationError(
                f"s3://{self._bucket}/{self._key(name)} cannot be {done}: {error}"
            ) from None


def _write_durably(file: Path, data: bytes) -> None:
    draft = file.with_name(f".{file.name}.{os.getpid()}{_DRAFT}")
    try:
        with draft.open("wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(opened.fileno())
        draft.replace(file)
        _sync(file.parent)
    finally:
        draft.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Have a new name on the disk, too."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextmanager
def _said(file: Path, done: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DestinationError(f"{file} cannot be {done}: {error.strerror}") from None
