"""Calls that are signed: by whom, for which model, and when."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from germline.cli.app import run
from tests.peers.model_runner import card
from worker.serving.gateway_keys import KEY, LIFETIME_S, MESSAGE, SIGNATURE, GatewayKeys

NOW_S = 1_800_000_000.0
OURS, ANOTHER = (rsa.generate_private_key(public_exponent=65_537, key_size=2_048) for _ in range(2))


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def signed(key: rsa.RSAPrivateKey, message: bytes) -> dict[str, str | bytes]:
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    signature = key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    parts = {MESSAGE: message, SIGNATURE: signature, KEY: der}
    return {name: base64.b64encode(part).decode() for name, part in parts.items()}


def said(model_id: object = "it", timestamp: object = NOW_S) -> bytes:
    return json.dumps({"model_id": model_id, "timestamp": timestamp}).encode()


@pytest.fixture
def keys(tmp_path: Path) -> GatewayKeys:
    path = tmp_path / "keys.pem"
    path.write_text("a coordinator:\n" + pem(OURS))
    return GatewayKeys(path, lambda: NOW_S)


def test_a_call_that_a_known_key_signed_for_this_model_now_is_taken(keys: GatewayKeys) -> None:
    assert keys.why_not("it", signed(OURS, said())) == ""
    for apart_s in (-LIFETIME_S, LIFETIME_S):
        assert keys.why_not("it", signed(OURS, said(timestamp=NOW_S + apart_s))) == ""


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ({}, "x-gateway-auth-message is missing"),
        (signed(ANOTHER, said()), "none of the keys that are known"),
        (signed(OURS, said("other")), "is for the model 'other'; this is 'it'"),
        (signed(OURS, said(timestamp=NOW_S - LIFETIME_S - 1)), "more than 300 s from now"),
        (signed(OURS, said(timestamp=float("nan"))), "more than 300 s from now"),
        (signed(OURS, said(timestamp="soon")), "no object with model_id and timestamp"),
        (signed(OURS, b"[]"), "no object with model_id and timestamp"),
        (signed(OURS, b"\xff"), "no object with model_id and timestamp"),
        (signed(OURS, b"[" * 5_000), "no object with model_id and timestamp"),
        (signed(OURS, said()) | {SIGNATURE: "AAAA"}, "is not that of the message"),
        (signed(OURS, said()) | {SIGNATURE: "*"}, "x-gateway-auth-signature is not base 64"),
        (signed(OURS, said()) | {MESSAGE: "A" * 10_000}, "x-gateway-auth-message is missing or too long"),
        (signed(OURS, said()) | {MESSAGE: base64.b64encode(said("x"))}, "is not that of the message"),
    ],
)
def test_another_call_is_refused_in_a_sentence(keys: GatewayKeys, metadata: Any, sentence: str) -> None:
    assert sentence in keys.why_not("it", metadata)


def test_several_keys_are_known_at_once(tmp_path: Path) -> None:
    path = tmp_path / "keys.pem"
    path.write_text(pem(OURS) + pem(ANOTHER))
    keys = GatewayKeys(path, lambda: NOW_S)
    assert [keys.why_not("it", signed(key, said())) for key in (OURS, ANOTHER)] == ["", ""]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "holds no key; allowed: RSA public keys"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "a key that is not RSA"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "a block that is no public key"),
        (
            pem(OURS).replace("hkiG9w0BAQEF", "hkiLpw0BAQEF"),
            "a block that is no public key: Unknown key type",
        ),
    ],
)
def test_a_file_without_such_keys_is_refused(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "keys.pem"
    path.write_text(text)
    with pytest.raises(ValueError, match=sentence):
        GatewayKeys(path)


def test_the_command_refuses_what_does_not_go_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "keys.pem"
    path.write_text("nothing")
    champion = card(tmp_path / "card.toml", "it")
    serve = ["serve", champion, "--gateway-keys", str(path)]
    assert run(serve) == 2
    assert "with a certificate, and without a token" in capsys.readouterr().err
    assert run(["certificates", str(tmp_path / "tls")]) == 0
    files = [str(tmp_path / "tls" / name) for name in ("server.pem", "server-key.pem")]
    tls = ["--serve-cert", files[0], "--serve-key", files[1]]
    assert run([*serve, *tls]) == 2
    assert "holds no key" in capsys.readouterr().err
    path.write_text(pem(OURS))
    assert run([*serve, *tls, "--listen", "0.0.0.0:0"]) == 2
    assert "without a token and TLS" in capsys.readouterr().err, "the WebSocket is in the open"
