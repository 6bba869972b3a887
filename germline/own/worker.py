"""The class that users derive from: what they bring, and nothing of how it travels."""

from __future__ import annotations

import os
import secrets
import socket
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from germline.connection import Security
from germline.own.line import Line


class Worker(ABC):
    """Evaluates members of a population, and changes a state by what they are worth.

    Every worker of an experiment runs the same code. Give :meth:`optimise` no dice of its own but such as
    follow from `epoch`: all workers apply the same returns to the same state, and must come to the same one.

        class Sphere(Worker): ...

        Sphere().run("sphere", master="localhost:7700", room=4)

    Attributes:
        state: as bytes of your choice; :func:`germline.own.pack` makes some of arrays.
        epoch: updates in it.
        population: members of the experiment's population; 0 before the master has said it.
    """

    state: bytes = b""
    epoch: int = 0
    population: int = 0

    @abstractmethod
    def initialise(self) -> bytes:
        """The first state, for all workers; one of them is asked, once."""

    @abstractmethod
    def evaluate(self, epoch: int, slices: Sequence[range]) -> Sequence[Sequence[float]]:
        """What some members are worth: for each slice, one return for each of its members.

        Args:
            epoch: updates in `state`.
            slices: numbers of members, from 0; together no more than the worker has room for.
        """

    @abstractmethod
    def optimise(self, epoch: int, returns: npt.NDArray[np.float64]) -> bytes:
        """The state after an epoch.

        Args:
            epoch: updates in `state`.
            returns: `[population]` float64, of each member; as the workers gave them, NaN among them.
        """

    def on_state_change(self, state: bytes) -> None:  # noqa: B027 - nobody has to care
        """A state has come, or was made here."""

    def on_stop(self, reason: str) -> None:  # noqa: B027
        """The experiment is over."""

    def run(
        self,
        experiment: str,
        *,
        master: str = "localhost:7700",
        room: int = 1,
        worker_id: str = "",
        token: str = "",
        tls: bool = False,
        ca: Path | None = None,
        tls_cert: Path | None = None,
        tls_key: Path | None = None,
    ) -> None:
        """Work for an experiment until it is over; wait for its master as long as it takes.

        What :meth:`evaluate` and the others raise ends this, and others do what this worker held.

        Args:
            experiment: its name. It must be there: `germline submit FILE`.
            master: "host:port"; of several masters on one store, those of all, with commas between.
            room: members to evaluate at a time.
            worker_id: what logs call this worker; drawn if it is empty.
            token: shown to the master; GERMLINE_TOKEN if it is empty.
            tls: encrypt, and trust the system's certificates.
            ca: encrypt, and trust this PEM file instead.
            tls_cert: encrypt, and show this certificate chain, a PEM file; needs `tls_key`.
            tls_key: private key of the certificate, a PEM file.

        Raises:
            germline.client.RefusedError: the master says no, and why.
            ValueError: an argument is not allowed.
        """
        token = token or os.environ.get("GERMLINE_TOKEN", "")
        security = Security(token=token, tls=tls, ca=ca, tls_cert=tls_cert, tls_key=tls_key)
        name = worker_id or f"{socket.gethostname()[:40]}-{secrets.token_hex(4)}"
        Line(self, master, security).talk(experiment, name, room)

    def take_state(self, state: bytes, epoch: int) -> None:
        """Have this state from now on."""
        self.state, self.epoch = state, epoch
        self.on_state_change(state)
