"""Settings of a master process.

They shape how it serves, never what evolves: that comes with each experiment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlencode

from germline.connection import PEM, check_token, is_loopback
from germline.settings import SECRET
from master.access import Access, Role, Tokens

_FLEET = re.compile(r"[A-Za-z0-9._-]{1,128}")
_GATEWAY = re.compile(r"[a-z][a-z0-9-]{0,31}")
_LISTEN = re.compile(r"(?P<host>.+):(?P<port>\d{1,5})")


@dataclass(frozen=True, kw_only=True)
class MasterConfig:
    """Hosts experiments, lends their work to workers, and keeps what it acknowledges.

    On this machine it needs no setting:  germline master
    For other machines:  germline master --listen 0.0.0.0:7700 --worker-tokens FILE --operator-tokens FILE
        --tls-cert FILE --tls-key FILE           (docs/guides/fleet.md, step by step)

    Every setting is a flag or an environment variable. With _FILE at the end of its name, a variable names a
    file that holds the value. The first SIGTERM or Ctrl-C drains, and so does a closed terminal (SIGHUP): no
    more work is lent, results are still taken for a while, and the journal is closed. The second ends the
    master at once. Either way, nothing that was acknowledged is lost.
    """

    listen: str = "localhost:7700"
    """Address to serve gRPC on, host:port; 0.0.0.0 is every IPv4 interface, port 0 takes a free one. Beyond
    this machine it needs a token and a certificate, or `insecure`."""

    gateway: str = ""
    """Serve clients of other projects, too, each protocol on a port of its own: NAME=HOST:PORT, several with
    commas between. A port has this master's certificate and tokens, and the same rule beyond this machine.
    evochi: its clients train one experiment (settings EVOCHI_*, docs/migrating.md); they exchange their state
    as a pickle, so each of them that is let in can run any code on all the others, and no gateway can keep it
    from that.
    neuro: workers of cshenton/neuroevolution (settings GERMLINE_NEURO_*); they can show no token and speak no
    TLS, so its port is in the open on this machine, and wherever `insecure` says so: whoever reaches it can
    tell any score of anybody."""

    insecure: bool = False
    """Serve a network without a token or without encryption. Whoever reaches the port may then have workers
    run whatever their operators allow."""

    store: str = field(default="", metadata=SECRET, repr=False)
    """The URL of a Redis-protocol server that keeps the journal, redis://, rediss:// for one with TLS, or unix://;
    of a cluster any node will do, or a Sentinel. Without one the master starts a Valkey server of its own in
    `store_folder`. Several masters on one store are one that works and others that wait."""

    store_ca: Path | None = None
    """For a store at rediss://, trust this PEM file instead of the system's certificates."""

    store_folder: Path = Path("germline-store")
    """Folder of the master's own Valkey server.

    One master at a time; run again with the same folder to go on.
    """

    archive: str = ""
    """Where a record of every evaluation is kept: a folder, s3://BUCKET/PREFIX (the extra aws), or none.
    Without it, the folder archive in `store_folder`, and none for a `store` at a URL. Masters that share a
    store need an archive that all of them reach.
    """

    archive_bytes: int = 512 << 20
    """Most bytes of one experiment's archive; beyond them the oldest records are thinned (docs/archive.md). A
    million evaluations take 30 to 50 MB."""

    store_prefix: str = "germline"
    """What the journal's keys begin with. Masters that share one server need different ones."""

    ownership_s: float = 5.0
    """Seconds for which a master owns its store without saying so again. Masters that come later wait, and
    take over when the owner was silent for so long, or at once when it ends or its process on the same
    machine is dead. An owner that could not reach its store for so long serves nobody until it knows that it
    still is the owner. A store of the master's own has one master anyway."""

    take_over: bool = False
    """Take the store over at once, whoever owns it; that master then waits."""

    token: str = field(default="", metadata=SECRET, repr=False)
    """A token of operators, for as long as this master runs: what callers show as `authorization: Bearer
    TOKEN`. With it they may work, and create, see and steer experiments."""

    operator_tokens: Path | None = None
    """A file with more tokens of operators, one in a line, all valid at once. It is read again when it
    changes; one that is empty or wrong then is logged, and changes nothing."""

    worker_tokens: Path | None = None
    """A file with tokens of workers, in the same manner. With one of them a caller may work, and nothing
    else."""

    tls_cert: Path | None = None
    """Serve TLS with this certificate chain, a PEM file; needs `tls_key`."""

    tls_key: Path | None = None
    """Private key of the certificate, a PEM file."""

    tls_client_ca: Path | None = None
    """Demand client certificates signed by this PEM file's authorities. One whose subject alternative names
    hold the URI germline:worker or germline:operator has that role; where tokens are asked for as well, both
    must allow a call."""

    metrics_port: int = 7701
    """TCP port for Prometheus metrics; 0 takes a free one, -1 serves none."""

    metrics_host: str = "localhost"
    """Host to serve metrics on; 0.0.0.0 is every IPv4 interface. Beyond this machine they have the master's
    certificate, and ask for a token of either role, or `insecure_metrics`."""

    insecure_metrics: bool = False
    """Serve metrics to a network in the open. They are counts and rates, and name no worker and no
    individual."""

    metrics_emf: str = ""
    """Write what a fleet is scaled by to the log, too, each minute, as CloudWatch's embedded metrics in the
    namespace germline; this name is their dimension "fleet". Needs `log_format` json."""

    snapshot_interval_s: float = 60.0
    """Seconds between two snapshots of a changing experiment; more make a restart slower, fewer cost time."""

    heartbeat_s: float = 10.0
    """Longest time between two heartbeats of a worker, in seconds. One that is silent or away for three times
    as long loses its leases to others."""

    worker_slots: int = 32
    """Individuals that a worker plays at a time: what the metric of the workers wanted reckons with until
    workers have shown theirs. On a CPU one takes 32 small networks; of large ones it takes 2, so that fewer
    workers come at first than will be wanted."""

    drain_s: float = 20.0
    """Seconds for which a draining master still takes results."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least important lines to log."""

    log_format: Literal["text", "json"] = "text"
    """How lines are written: for people, or as one JSON object each."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        _check_address("listen", self.listen)
        for name, address in self.gateways.items():
            _check_address(f"the address of gateway {name}", address)
        if not -1 <= self.metrics_port <= 65_535:
            raise ValueError(f"metrics_port is {self.metrics_port}; allowed: 0 to 65535, or -1 for none")
        if self.store and not self.store.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError(
                "store is no such URL; allowed: redis://HOST:PORT, rediss://HOST:PORT, unix://PATH"
            )
        self._check_store_ca()
        self._check_embedded_metrics()
        if self.worker_slots < 1:
            raise ValueError(f"worker_slots is {self.worker_slots}; allowed: 1 or more")
        if not re.fullmatch(r"[\w.:-]{1,64}", self.store_prefix):
            raise ValueError(
                f"store_prefix is {self.store_prefix!r}; allowed: 1 to 64 letters, digits, '.', ':', '-', '_'"
            )
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key belong together; only one of them is given")
        check_token(self.token)
        _ = self.access  # which looks at its files
        self._check_trust()
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError("tls_client_ca needs tls_cert and tls_key")
        for name, lowest, highest in (
            ("snapshot_interval_s", 0.1, 86_400.0), ("heartbeat_s", 0.1, 3_600.0), ("drain_s", 0.0, 3_600.0),
            ("ownership_s", 0.5, 60.0), ("archive_bytes", 16 << 20, 1 << 40),
        ):  # fmt: skip
            value = getattr(self, name)
            if not lowest <= value <= highest:
                raise ValueError(f"{name} is {value:g}; allowed: {lowest:g} to {highest:g}")

    @property
    def access(self) -> Access:
        """What callers have to show. Raises ValueError for files that hold no tokens."""
        named = {Role.WORKER: self.worker_tokens, Role.OPERATOR: self.operator_tokens}
        files = {role: path for role, path in named.items() if path is not None}
        tokens = Tokens(files, self.token) if files or self.token else None
        return Access(tokens, certificates=self.tls_client_ca is not None)

    @property
    def gateways(self) -> dict[str, str]:
        """The addresses to serve other projects' clients on, by protocol. Raises ValueError for a bad one."""
        found: dict[str, str] = {}
        for part in filter(None, self.gateway.split(",")):
            name, is_given, address = part.strip().partition("=")
            if not (is_given and _GATEWAY.fullmatch(name)) or name in found:
                raise ValueError(
                    f"gateway is {self.gateway!r}; allowed: NAME=HOST:PORT, several with commas between, "
                    "each name once"
                )
            found[name] = address
        return found

    @property
    def unprotected(self) -> str:
        """What is missing where other machines reach a port, in words; empty if nothing is."""
        if all(is_loopback(split_address(address)[0]) for address in self.addresses):
            return ""
        return self._missing(known=bool(self._tokens_are_asked or self.tls_client_ca))

    @property
    def metrics_are_open(self) -> bool:
        """Whether metrics are for everybody who reaches their port."""
        return is_loopback(self.metrics_host) or self.insecure or self.insecure_metrics

    @property
    def addresses(self) -> tuple[str, ...]:
        """Everywhere that this master takes calls: its own protocol first, then the gateways."""
        return (self.listen, *self.gateways.values())

    @property
    def _tokens_are_asked(self) -> bool:
        return bool(self.token or self.operator_tokens or self.worker_tokens)

    def _missing(self, *, known: bool) -> str:
        parts = ("" if known else "a token", "" if self.tls_cert else "TLS (tls_cert and tls_key)")
        return " and ".join(part for part in parts if part)

    @property
    def store_url(self) -> str:
        """The URL of the store, with whom to trust; empty for a server of the master's own."""
        if self.store_ca is None:
            return self.store
        query = urlencode({"ssl_ca_certs": str(self.store_ca)})
        return f"{self.store}{'&' if '?' in self.store else '?'}{query}"

    def _check_store_ca(self) -> None:
        if self.store_ca is None:
            return
        if not self.store.startswith("rediss://"):
            raise ValueError("store_ca is given, and store is no URL of a server with TLS, rediss://")
        if not self.store_ca.is_file() or PEM not in self.store_ca.read_bytes():
            raise ValueError(f"store_ca is {str(self.store_ca)!r}; allowed: an existing PEM file")

    def _check_embedded_metrics(self) -> None:
        if not self.metrics_emf:
            return
        if not _FLEET.fullmatch(self.metrics_emf):
            raise ValueError(
                f"metrics_emf is {self.metrics_emf!r}; allowed: 1 to 128 letters, digits, '.', '_' or '-'"
            )
        if self.log_format != "json" or self.log_level not in ("info", "debug"):
            raise ValueError(
                "metrics_emf needs log_format json and log_level info or debug; they are "
                f"{self.log_format} and {self.log_level}"
            )

    def _check_trust(self) -> None:
        """Nothing is served to a network unprotected unless the operator says so."""
        if self.unprotected and not self.insecure:
            reached = [each for each in self.addresses if not is_loopback(split_address(each)[0])]
            name = "listen" if reached[0] == self.listen else "the address of a gateway"
            raise ValueError(
                f"{name} is {reached[0]!r}, which other machines reach, without {self.unprotected}: whoever "
                "calls may have workers run what their operators allow. Give what is missing, or say insecure"
            )
        missing = self._missing(known=self._tokens_are_asked)
        if missing and self.metrics_port >= 0 and not self.metrics_are_open:
            raise ValueError(
                f"metrics_host is {self.metrics_host!r}, which other machines reach, without {missing}. Give "
                "what is missing, or say insecure_metrics"
            )


def split_address(address: str) -> tuple[str, int]:
    """Host and port of an address that was checked; brackets around an IPv6 host are taken off."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _check_address(name: str, address: str) -> None:
    found = _LISTEN.fullmatch(address)
    if not found or int(found["port"]) > 65_535:
        raise ValueError(f"{name} is {address!r}; allowed: host:port, port 0 to 65535")
