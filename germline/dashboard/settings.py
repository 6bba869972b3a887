"""How a dashboard serves: where, to whom, and what visitors may do."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from germline.connection import check_token, is_loopback
from germline.dashboard.metrics import MetricsReader
from germline.settings import SECRET

MIN_TOKEN = 16
"""Characters: what cannot be guessed over a network."""


@dataclass(frozen=True, kw_only=True)
class DashboardSettings:
    """What the options of `germline dashboard` say.

    Attributes:
        host: name or address to listen on.
        port: TCP port; 0 takes a free one.
        token: what visitors have to show; empty where everybody on this machine may look.
        tls_cert: serve HTTPS with this certificate chain, a PEM file.
        tls_key: its private key, a PEM file.
        host_names: names under which browsers come, besides the loopback names and addresses.
        insecure: serve a network without a token or without TLS.
        allow_control: let visitors pause, resume and stop experiments.
        metrics: where the master's metrics are read; None for nowhere.
        allow_code: code that experiments may have imported here for replays, as for a worker; None for any.
    """

    host: str = "localhost"
    port: int = 7780
    token: str = field(default="", metadata=SECRET, repr=False)
    tls_cert: Path | None = None
    tls_key: Path | None = None
    host_names: tuple[str, ...] = ()
    insecure: bool = False
    allow_control: bool = False
    allow_code: str | None = ""
    metrics: MetricsReader | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot work, or would be open to a network; raises ValueError."""
        check_token(self.token)
        if self.token and len(self.token) < MIN_TOKEN:
            raise ValueError(f"the token has {len(self.token)} characters; allowed: {MIN_TOKEN} or more")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("--serve-cert and --serve-key belong together; only one of them is given")
        missing = [] if self.token else ["a token (--serve-token-file)"]
        missing += [] if self.tls_cert else ["TLS (--serve-cert and --serve-key)"]
        if missing and not self.insecure and not is_loopback(self.host):
            raise ValueError(
                f"--listen is {self.host!r}, which other machines reach, without {' and '.join(missing)}; "
                "give what is missing, or say --insecure"
            )
        _ = self.protection()  # which looks at the files

    @property
    def scheme(self) -> str:
        """Of its addresses."""
        return "https" if self.tls_cert else "http"

    def protection(self) -> ssl.SSLContext | None:
        """What to encrypt with; None for nothing. Raises ValueError for files that are no certificate."""
        if self.tls_cert is None or self.tls_key is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.tls_cert, self.tls_key)
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"{self.tls_cert} and {self.tls_key} cannot be used: {error}") from None
        return context
