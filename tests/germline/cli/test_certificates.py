"""`germline certificates` makes what a master and its callers accept, and writes over nothing."""

import stat
import subprocess
from pathlib import Path

import pytest

from germline.cli.app import run

pytest.importorskip("cryptography", reason="pip install 'germline[certificates]'")

NAMES = ("ca", "server", "worker", "operator")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "certificates"
    assert run(["certificates", str(folder), "--host", "germline-master", "--host", "10.0.0.7"]) == 0
    return folder


def test_openssl_finds_the_chain_and_the_purpose_in_order(folder: Path) -> None:
    for name, purpose in (("server", "sslserver"), ("worker", "sslclient"), ("operator", "sslclient")):
        command = [
            "openssl",
            "verify",
            "-x509_strict",
            "-purpose",
            purpose,
            "-CAfile",
            str(folder / "ca.pem"),
        ]
        done = subprocess.run(
            [*command, str(folder / f"{name}.pem")], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        other = "sslclient" if purpose == "sslserver" else "sslserver"
        command[4] = other
        assert subprocess.run(
            [*command, str(folder / f"{name}.pem")], capture_output=True, check=False
        ).returncode


def test_the_master_is_called_by_the_names_that_were_said_and_by_those_of_this_machine(folder: Path) -> None:
    command = ["openssl", "x509", "-in", str(folder / "server.pem"), "-noout", "-ext", "subjectAltName"]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for name in ("DNS:germline-master", "IP Address:10.0.0.7", "DNS:localhost", "IP Address:127.0.0.1"):
        assert name in names


def test_keys_are_for_their_owner_alone(folder: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE((folder / f"{name}-key.pem").stat().st_mode) for name in NAMES} == {0o600}


def test_certificates_are_made_anew_only_by_force_and_by_the_authority_that_is_there(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {name: (folder / f"{name}.pem").read_bytes() for name in NAMES}
    assert run(["certificates", str(folder)]) == 2
    assert "server.pem is there already; make it anew with --force" in capsys.readouterr().err
    assert {name: (folder / f"{name}.pem").read_bytes() for name in NAMES} == before
    assert run(["certificates", str(folder), "--force"]) == 0
    after = {name: (folder / f"{name}.pem").read_bytes() for name in NAMES}
    assert [name for name in NAMES if after[name] == before[name]] == ["ca"]


def test_an_authority_that_cannot_sign_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "ca-key.pem").write_bytes((folder / "worker-key.pem").read_bytes())
    assert run(["certificates", str(folder), "--force"]) == 1
    assert "cannot be used: the key is not that of the certificate" in capsys.readouterr().err


@pytest.mark.parametrize("options", [("--host", "a b"), ("--host", ""), ("--days", "0")])
def test_what_makes_no_certificate_is_refused(options: tuple[str, ...], tmp_path: Path) -> None:
    assert run(["certificates", str(tmp_path / "new"), *options]) == 2
    assert not (tmp_path / "new").exists()


def test_the_command_says_what_each_needs_with_tokens_and_in_their_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["certificates", str(tmp_path)]) == 0
    tokens, certificates = capsys.readouterr().out.split("with certificates in place of tokens:")
    assert "--tls-client-ca" not in tokens, "it keeps out everybody who has a token alone"
    assert f"--ca {tmp_path / 'ca.pem'} --token-file FILE" in tokens
    for needed in (f"--tls-client-ca {tmp_path / 'ca.pem'}", "worker-key.pem", "operator-key.pem"):
        assert needed in certificates
