"""Callers who sign their calls, as model-runner-client does in its gateway mode, and whose keys let them in.

A call carries a message (which model, and when), its signature, and the public key. The key has to be one of
those that the operator named; then the signature, the model and the time have to be right.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

MESSAGE = "x-gateway-auth-message"
SIGNATURE = "x-gateway-auth-signature"
KEY = "x-gateway-auth-pubkey"
LIFETIME_S = 300.0
"""For which a signed message is good, and by which two clocks may differ."""
_MAX_TEXT = 8_192
_PEM = re.compile(r"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)
_CERTIFICATE = "-----BEGIN CERTIFICATE-----"


class GatewayKeys:
    """The public keys of those who may call."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        """Read a PEM file with RSA public keys, or certificates that hold them.

        Raises:
            ValueError: for a file that holds none, or another kind of key.
            OSError: for one that cannot be read.
        """
        self._clock = clock
        self._keys: dict[bytes, rsa.RSAPublicKey] = {}
        for block in _blocks(path.read_text(encoding="ascii", errors="replace")):
            key = _key(block, path)
            self._keys[_der(key)] = key
        if not self._keys:
            raise ValueError(f"{path} holds no key; allowed: RSA public keys or certificates, in PEM")

    def why_not(self, model_id: str, metadata: Mapping[str, str | bytes]) -> str:
        """Why a call of this model is refused, in words; empty if it is not."""
        try:
            message, signature, der = (_decoded(name, metadata) for name in (MESSAGE, SIGNATURE, KEY))
        except ValueError as error:
            return str(error)
        key = self._keys.get(der)
        if key is None:
            return f"{KEY} is none of the keys that are known here"
        try:
            key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return f"{SIGNATURE} is not that of the message by the key"
        return self.why_not_said(model_id, message)

    def why_not_said(self, model_id: str, message: bytes) -> str:
        """What is wrong with a message that is signed well."""
        try:
            said = json.loads(message)
            signed_for, signed_at_s = str(said["model_id"]), float(said["timestamp"])
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
            return f"{MESSAGE} is no object with model_id and timestamp"
        if signed_for != model_id:
            return f"{MESSAGE} is for the model {signed_for[:100]!r}; this is {model_id!r}"
        if not abs(self._clock() - signed_at_s) <= LIFETIME_S:
            return f"{MESSAGE} was signed at {signed_at_s:.0f}, more than {LIFETIME_S:.0f} s from now"
        return ""


def _blocks(text: str) -> list[str]:
    """The PEM blocks of a file."""
    return [match[0] + "\n" for match in _PEM.finditer(text)]


def _key(block: str, path: Path) -> rsa.RSAPublicKey:
    try:
        if block.startswith(_CERTIFICATE):
            key: object = x509.load_pem_x509_certificate(block.encode()).public_key()
        else:
            key = serialization.load_pem_public_key(block.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(f"{path} holds a block that is no public key: {error}") from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError(f"{path} holds a key that is not RSA; model-runner-client signs with RSA alone")
    return key


def _der(key: rsa.RSAPublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _decoded(name: str, metadata: Mapping[str, str | bytes]) -> bytes:
    """What a header holds in base 64. Raises ValueError."""
    text = metadata.get(name, "")
    if not text or len(text) > _MAX_TEXT:
        raise ValueError(f"{name} is missing or too long; calls have to be signed by a known key")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError(f"{name} is not base 64") from None
