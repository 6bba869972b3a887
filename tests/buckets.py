"""An object store for tests: moto's server in a process of its own, which speaks as S3 does."""

from __future__ import annotations

import contextlib
import importlib
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from germline.ports import free_port

PATIENCE_S = 120.0
KEYS = {"AWS_ACCESS_KEY_ID": "of", "AWS_SECRET_ACCESS_KEY": "nobody", "AWS_DEFAULT_REGION": "us-east-1"}


class Bucket:
    """A bucket on moto's server, and what lies in it.

    Attributes:
        port: of the server, on this machine.
        environment: what a process needs to reach it.
    """

    def __init__(self, port: int, name: str) -> None:
        """Make the bucket, as soon as the server answers."""
        self.port, self.name = port, name
        self.environment = KEYS | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
        boto3 = importlib.import_module("boto3")
        keys = {"aws_access_key_id": "of", "aws_secret_access_key": "nobody", "region_name": "us-east-1"}
        self._client: Any = boto3.client("s3", endpoint_url=self.environment["AWS_ENDPOINT_URL"], **keys)
        self._make()

    def names(self) -> set[str]:
        """The keys of all objects."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return {each["Key"] for page in pages for each in page.get("Contents", ())}

    def read(self, name: str) -> bytes:
        """An object."""
        return bytes(self._client.get_object(Bucket=self.name, Key=name)["Body"].read())

    def _make(self) -> None:
        errors = importlib.import_module("botocore.exceptions")
        give_up = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up:
            with contextlib.suppress(errors.EndpointConnectionError, errors.ConnectionClosedError):
                self._client.create_bucket(Bucket=self.name)
                return
            time.sleep(0.2)
        raise AssertionError("moto's server does not answer")


@contextlib.contextmanager
def served(name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A bucket of this name, which this process reaches by its environment, until the block ends."""
    pytest.importorskip("moto", reason="moto is not here: pip install 'germline[deploy]'")
    port = free_port()
    flags = ("-m", "moto.server", "-H", "127.0.0.1", "-p", str(port))
    server = subprocess.Popen(
        [sys.executable, "-W", "ignore", *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        bucket = Bucket(port, name)
        for key, value in bucket.environment.items():
            monkeypatch.setenv(key, value)
        monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
        yield bucket
    finally:
        server.terminate()
        server.wait(PATIENCE_S)
