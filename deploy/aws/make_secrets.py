"""Make what the two secrets of a stack hold: tokens, and a certificate for the master's name.

`python deploy/aws/make_secrets.py STACK FOLDER` writes FOLDER/master.json and FOLDER/worker.json for
`aws secretsmanager create-secret --secret-string file://...`, and for people FOLDER/operator-token and
FOLDER/certificates/ca.pem. FOLDER must not be there yet; nobody else may read what is in it. Needs
`germline[certificates]`.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

_TOKEN_BYTES = 24


def main(stack: str, folder: Path) -> None:
    """Write everything, or nothing: the first file is refused where the folder is there."""
    os.umask(0o077)
    folder.mkdir()
    certificates = folder / "certificates"
    command = [Path(sys.executable).with_name("germline"), "certificates", certificates]
    subprocess.run([*command, "--host", f"master.{stack}.internal"], check=True)  # noqa: S603 - ours
    worker, operator = (secrets.token_hex(_TOKEN_BYTES) for _ in range(2))
    _write(
        folder / "master.json",
        {
            "worker-tokens": worker,
            "operator-tokens": operator,
            "tls.crt": (certificates / "server.pem").read_text(),
            "tls.key": (certificates / "server-key.pem").read_text(),
        },
    )
    _write(folder / "worker.json", {"token": worker, "ca.crt": (certificates / "ca.pem").read_text()})
    (folder / "operator-token").write_text(operator + "\n")


def _write(path: Path, secret: dict[str, str]) -> None:
    path.write_text(json.dumps(secret))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} STACK FOLDER")
    main(sys.argv[1], Path(sys.argv[2]))
