"""Who may do what: two roles, and the tokens and certificates that show them.

A worker may work. An operator may do that too, and create, see and steer experiments. Tokens stand in files,
one in a line, several valid at once; a file that changes is read again, so that tokens are exchanged without
a restart.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

logger = logging.getLogger(__name__)

MIN_TOKEN = 16  # characters: what cannot be guessed over a network
MAX_TOKENS = 1_000  # in one file; all of them are compared for every call
_MAX_FILE_BYTES = 1 << 20
_ROLE_URI = "germline:"


class Role(enum.IntEnum):
    """What a caller may do; a higher one may do everything that a lower one may."""

    WORKER = 1
    OPERATOR = 2


class Access(NamedTuple):
    """What callers have to show.

    Attributes:
        tokens: a token; None where none is asked for.
        certificates: whether the connection demands a client's certificate.
    """

    tokens: Tokens | None
    certificates: bool


class _Version(NamedTuple):
    """What tells one content of a file from the next."""

    changed_ns: int
    size: int
    inode: int


class Tokens:
    """The tokens of each role. Only their digests are kept, and all are compared, equal or not."""

    def __init__(self, files: Mapping[Role, Path], operator: str = "") -> None:
        """Read the files; `operator` is one more token of that role.

        Raises:
            ValueError: a file cannot be read, holds no token or a wrong one, or two roles share one; the
                sentence names file and line, never a token.
        """
        self._files = dict(files)
        self._fixed = {Role.OPERATOR: frozenset({_digest(operator)})} if operator else {}
        self._versions = self._look()
        self._digests = self._read()
        self._reads = 0

    def role_of(self, token: str) -> Role | None:
        """What this token lets its bearer do; None if it is not valid (any more)."""
        self.refresh()
        given = _digest(token)
        found = [role for role, known in self._digests.items() if _is_among(given, known)]
        return max(found, default=None)

    def role_still(self, token: str) -> Role | None:
        """The same of a token that was valid once, so there is nothing to guess: for very many at once."""
        given = _digest(token)
        return max((role for role, known in self._digests.items() if given in known), default=None)

    def refresh(self) -> int:
        """Read files that changed; one that cannot be used leaves everything as it was, and is logged.

        Returns:
            How often they were read.
        """
        versions = self._look()
        if versions != self._versions:
            self._versions = versions
            self._read_again()
        return self._reads

    def _read_again(self) -> None:
        try:
            self._digests = self._read()
        except ValueError as error:
            logger.error("%s; the tokens that were valid before stay so", error)
        else:
            self._reads += 1
            logger.info("read the tokens again: %s", ", ".join(map(str, self._files.values())))

    def _look(self) -> dict[Role, _Version | None]:
        return {role: _version(path) for role, path in self._files.items()}

    def _read(self) -> dict[Role, frozenset[bytes]]:
        found = dict(self._fixed)
        for role, path in self._files.items():
            found[role] = found.get(role, frozenset()) | read_tokens(path)
        if found.get(Role.WORKER, frozenset()) & found.get(Role.OPERATOR, frozenset()):
            raise ValueError("a token of workers is one of operators, too; allowed: each token for one role")
        return found


def read_tokens(path: Path) -> frozenset[bytes]:
    """The digests of a file's tokens: one in a line; empty lines, and lines that begin with '#', are none.

    Raises:
        ValueError: naming the file, and the line that is wrong.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_FILE_BYTES + 1).decode("ascii")
    except OSError as error:
        raise ValueError(f"the file of tokens {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"the file of tokens {path} holds other than ASCII characters") from None
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    tokens = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if not 1 <= len(tokens) <= MAX_TOKENS or len(text) > _MAX_FILE_BYTES:
        raise ValueError(f"the file of tokens {path} holds {len(tokens)}; allowed: 1 to {MAX_TOKENS:,}")
    for number, token in tokens:
        if len(token) < MIN_TOKEN or not token.isprintable() or " " in token:
            raise ValueError(
                f"line {number} of the file of tokens {path} is no token; allowed: {MIN_TOKEN} or more "
                "visible characters without a space"
            )
    return frozenset(_digest(token) for _, token in tokens)


def role_of_certificate(names: Iterable[bytes]) -> Role | None:
    """The role in a certificate's subject alternative names: the URI germline:worker or germline:operator.

    A certificate that names both has the lower one; one that names neither has none.
    """
    roles = [role for role in Role if f"{_ROLE_URI}{role.name.lower()}".encode() in set(names)]
    return min(roles, default=None)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _is_among(given: bytes, known: Iterable[bytes]) -> bool:
    """Compare with every one, and each in constant time."""
    return sum(hmac.compare_digest(given, each) for each in known) > 0


def _version(path: Path) -> _Version | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return _Version(found.st_mtime_ns, found.st_size, found.st_ino)
