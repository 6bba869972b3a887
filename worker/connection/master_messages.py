"""What the master says on a stream, done: each kind of message has its method."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from germline import stored_start
from germline.spec.normalised import read_versions
from germline.v1 import worker_pb2
from worker.centres.epoch_engine import Evolving
from worker.connection import wire
from worker.connection.worker_state import Introduced, WorkerState
from worker.playing.engine_builder import patience_with
from worker.playing.lease_work import ExperimentKey
from worker.playing.normaliser import Versions

logger = logging.getLogger(__name__)

# Refusals that every run sees: work that was lent twice, or came in after the end.
_ORDINARY = (worker_pb2.REFUSAL_CODE_ALREADY_TOLD, worker_pb2.REFUSAL_CODE_CLOSED)


class MasterMessages:
    """The master's words on one stream.

    Attributes:
        draining: whether the master is about to stop, and lends no more.
    """

    def __init__(self, state: WorkerState, wake: Callable[[], None]) -> None:
        """Work on the state; `wake` tells the speaker that something may be due."""
        self._state = state
        self._wake = wake
        self._known = wire.KnownGenomes()
        self._assembly = wire.Assembly()
        self.draining = False
        self._handlers: dict[str, Callable[[worker_pb2.MasterMessage], None]] = {
            "introduction": self._on_introduction,
            "leases": self._on_leases,
            "acknowledgement": self._on_acknowledgement,
            "revocation": self._on_revocation,
            "drain": self._on_drain,
            "epoch": self._on_epoch,
            "checkpoint": self._on_checkpoint,
            "checkpoint_request": self._on_checkpoint_request,
            "reload": self._on_reload,
            "quarantine": self._on_quarantine,
        }

    def obey(self, message: worker_pb2.MasterMessage) -> None:
        """Hand a message to its handler.

        Raises:
            wire.ProtocolError: if it makes no sense.
        """
        kind = message.WhichOneof("kind")
        handler = self._handlers.get(kind or "")
        if handler:
            handler(message)
        else:
            logger.debug("ignored a message of kind %s", kind)

    def _on_introduction(self, message: worker_pb2.MasterMessage) -> None:
        """Keep what plays if the experiment is the one we know; otherwise its old leases mean nothing now."""
        state, spec = self._state, message.introduction.spec
        experiment = ExperimentKey(message.introduction.experiment, message.introduction.identity)
        introduced = Introduced(
            experiment, spec.SerializeToString(deterministic=True), Versions(), spec.policy.start
        )
        known = state.introduced.get(experiment.number)
        if known is None or not known.means(introduced):
            if known is not None:
                state.leases.drop_experiment(known.experiment)
                self._wake()
            state.introduced[experiment.number] = introduced
            build = state.settings.build
            versions = introduced.versions
            state.playing.introduce(experiment, lambda: build(spec, versions), patience_with(spec))
            logger.info("experiment %s is %s", experiment, spec.name)
        versions = state.introduced[experiment.number].versions
        versions.learn(read_versions(message.introduction.normalisations))
        if spec.algorithm.WhichOneof("kind") == "eggroll":  # the master compares where its workers stand
            state.playing.evolve(experiment, lambda _: None)

    def _on_leases(self, message: worker_pb2.MasterMessage) -> None:
        assignments = self._known.read(message.leases)
        for assignment in assignments:
            self._expect(assignment.key.experiment)
        for assignment in assignments:
            self._state.leases.lend([assignment.key], assignment.size)
        self._state.playing.lend(assignments)

    def _on_acknowledgement(self, message: worker_pb2.MasterMessage) -> None:
        told = message.acknowledgement
        self._wake()  # scores that nobody kept may have stopped the credit
        batch = self._state.leases.acknowledge(told.sequence)
        if batch is None:
            logger.debug("results %d were acknowledged before", told.sequence)
        elif (results_log := self._state.settings.results_log) is not None:
            results_log.write(batch, wire.refusals(told.refused))
        for (experiment, code), refused in wire.by_reason(told.refused).items():
            level = logging.INFO if code in _ORDINARY else logging.WARNING
            name, example = worker_pb2.RefusalCode.Name(code), refused[0].message
            logger.log(
                level,
                "%d scores of experiment %d did not count: %s (%s)",
                len(refused),
                experiment,
                example,
                name,
            )

    def _on_revocation(self, message: worker_pb2.MasterMessage) -> None:
        keys = frozenset(map(wire.lease_key, message.revocation.leases))
        self._state.leases.revoke(keys)
        self._state.playing.revoke(keys)
        self._wake()

    def _on_epoch(self, message: worker_pb2.MasterMessage) -> None:
        closed = message.epoch
        fitness, turn = tuple(closed.fitness), closed.next_centre
        update = partial(_update, epoch=closed.epoch, fitness=fitness, next_centre=turn)
        self._evolve(closed.experiment, update)

    def _on_checkpoint(self, message: worker_pb2.MasterMessage) -> None:
        """A centre to go on from; or the weights that lines of seeds start from, before any work."""
        data, number = self._assembly.add(message.checkpoint), message.checkpoint.experiment
        if data is None:
            return
        known = self._state.introduced.get(number)
        if known is None or not known.start:
            self._evolve(number, partial(_load, data=data))
        elif stored_start.keep(data) != known.start:
            raise wire.ProtocolError(
                f"weights of experiment {number} are not {known.start}, which it starts from"
            )

    def _on_checkpoint_request(self, message: worker_pb2.MasterMessage) -> None:
        wanted = message.checkpoint_request
        known = self._state.introduced.get(wanted.experiment)
        if known is not None:
            self._state.playing.save(known.experiment, wanted.epoch)

    def _on_reload(self, message: worker_pb2.MasterMessage) -> None:
        number = message.reload.experiment
        logger.warning("experiment %d starts over from a checkpoint: %s", number, message.reload.reason)
        self._evolve(number, _reload)

    def _evolve(self, number: int, change: Callable[[Evolving], object]) -> None:
        known = self._state.introduced.get(number)
        if known is None:
            raise wire.ProtocolError(f"an epoch of experiment {number} came before the experiment")
        self._state.playing.evolve(known.experiment, change)

    def _expect(self, experiment: ExperimentKey) -> None:
        """Refuse work of what was not introduced under this number."""
        known = self._state.introduced.get(experiment.number)
        if known is None or known.experiment != experiment:
            raise wire.ProtocolError(f"a lease of experiment {experiment} came before the experiment")

    def _on_drain(self, message: worker_pb2.MasterMessage) -> None:
        logger.info("the master is about to stop: %s", message.drain.reason)
        self.draining = True

    def _on_quarantine(self, message: worker_pb2.MasterMessage) -> None:
        reason = message.quarantine.reason
        if reason:
            logger.error("the master lends this worker nothing any more: %s", reason)
        else:
            logger.warning("an operator has taken this worker back; the master lends it work again")


def _update(centre: Evolving, epoch: int, fitness: tuple[float, ...], next_centre: int) -> None:
    centre.update(epoch, fitness, next_centre)


def _load(centre: Evolving, data: bytes) -> None:
    centre.load(data)


def _reload(centre: Evolving) -> None:
    centre.reload()
