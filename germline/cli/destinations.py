"""Where champions are published to: a folder, or a bucket of S3. Files are there whole or not at all."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol

from germline.cli.errors import CommandError, Exit, needs_extra
from germline.cli.files import write_whole

_BUCKET = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<prefix>.*))?")


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


def destination(to: str) -> Destination:
    """A folder, or s3://BUCKET/PREFIX.

    Raises:
        CommandError: it is neither, or the package for it is missing.
    """
    if "://" not in to:
        return Folder(Path(to))
    found = _BUCKET.fullmatch(to)
    if found is None:
        raise CommandError(f"--to is {to!r}; allowed: a folder, or s3://BUCKET/PREFIX", Exit.USAGE)
    return Bucket(found["bucket"], (found["prefix"] or "").strip("/"))


class Folder:
    """A folder, which is made when something is written. A Destination."""

    def __init__(self, path: Path) -> None:
        """Look at nothing yet."""
        self._path = path

    def write(self, name: str, data: bytes) -> None:
        """Write a file; a reader never sees half of it."""
        file = self._path / name
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, data)
        except OSError as error:
            raise DestinationError(f"{file} cannot be written: {error.strerror}") from None

    def read(self, name: str) -> bytes | None:
        """Read a file, if it is there."""
        file = self._path / name
        try:
            return file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DestinationError(f"{file} cannot be read: {error.strerror}") from None


class Bucket:
    """A bucket of S3, or of what speaks as S3 does (AWS_ENDPOINT_URL says where). A Destination.

    Rights and region come from where boto3 finds them: variables, files, or the machine's role. It needs
    s3:PutObject and s3:GetObject below the prefix, and s3:ListBucket, without which S3 calls a missing object
    forbidden.
    """

    def __init__(self, bucket: str, prefix: str) -> None:
        """Ask nothing yet. Raises CommandError if boto3 is missing."""
        with needs_extra("aws"):
            import boto3
            from botocore.exceptions import BotoCoreError, ClientError
        self._bucket, self._prefix = bucket, prefix
        self._errors = (BotoCoreError, ClientError)
        try:
            self._client = boto3.client("s3")
        except BotoCoreError as error:
            raise CommandError(f"s3://{bucket} cannot be asked: {error}", Exit.USAGE) from None

    def write(self, name: str, data: bytes) -> None:
        """Put an object."""
        key = self._key(name)
        try:
            self._client.put_object(Bucket=self._bucket, Key=key, Body=data)
        except self._errors as error:
            raise DestinationError(f"s3://{self._bucket}/{key} cannot be written: {error}") from None

    def read(self, name: str) -> bytes | None:
        """Get an object, if it is there."""
        key = self._key(name)
        try:
            found = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except self._errors as error:
            response = getattr(error, "response", {})
            if response.get("Error", {}).get("Code") == "NoSuchKey":
                return None
            raise DestinationError(f"s3://{self._bucket}/{key} cannot be read: {error}") from None
        return bytes(found)

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name
