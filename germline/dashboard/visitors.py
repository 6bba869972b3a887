"""Who may look: a token that is shown once, and a session after that."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict

_MOST_SESSIONS = 1_000


class Visitors:
    """Lets in who shows the token, or the link that the command line prints.

    A cookie holds the name of a session and never the token. The link's token lasts as long as the process.
    """

    def __init__(self, token: str) -> None:
        """Ask for `token`; for none where it is empty."""
        self.link_token = secrets.token_urlsafe(24) if token else ""
        self._known = tuple(map(_digest, filter(None, (token, self.link_token))))
        self._sessions: OrderedDict[bytes, None] = OrderedDict()

    @property
    def everybody(self) -> bool:
        """Whether nothing has to be shown."""
        return not self._known

    def admit(self, token: str) -> str | None:
        """A new session for who shows a good token; None for others. All are compared, in constant time."""
        given = _digest(token)
        if not sum(hmac.compare_digest(given, known) for known in self._known):
            return None
        session = secrets.token_urlsafe(24)
        self._sessions[_digest(session)] = None
        if len(self._sessions) > _MOST_SESSIONS:
            self._sessions.popitem(last=False)
        return session

    def knows(self, session: str) -> bool:
        """Whether this is a session that lasts."""
        return self.everybody or _digest(session) in self._sessions

    def shows_token(self, token: str) -> bool:
        """Whether a program's token is good; no session is made of it."""
        given = _digest(token)
        return sum(hmac.compare_digest(given, known) for known in self._known) > 0


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
