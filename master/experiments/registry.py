"""All experiments of a master."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from time import time
from typing import NamedTuple

from germline.spec import SpecError
from germline.stored_start import digest_of
from germline.v1 import spec_pb2
from master.archive.writer import ArchiveWriter
from master.errors import (
    ConflictError,
    InvalidFieldError,
    JournalFormatError,
    JournalLostError,
    NameTakenError,
    StoreFailingError,
    UnknownNameError,
)
from master.experiments import backup, recovery
from master.experiments.distrust import distrust
from master.experiments.events import Created, MasterStarted, Quarantined
from master.experiments.experiment import Experiment
from master.experiments.replaying import Reached, readable, replay
from master.experiments.settings import ExperimentSettings
from master.journal.codec import Snapshot
from master.journal.journal import Journal
from master.work.leases import Start

logger = logging.getLogger(__name__)

_MOST_SPEC_BYTES = 256 << 10  # it is part of every snapshot, and goes to every worker


class Damaged(NamedTuple):
    """An experiment that could not be brought back, and why; it is served to nobody, and kept as it is."""

    number: int
    name: str
    reason: str


class Registry:
    """Experiments by name and by number; creates them, and finds them again in the journal.

    Attributes:
        damaged: those in the journal that cannot be read, by name.
        quarantined: workers that were proven wrong, by name; they get no work of any experiment.
        archive: what keeps a record of every evaluation; None where none is wanted.
    """

    def __init__(
        self, journal: Journal, clock: Callable[[], float], archive: ArchiveWriter | None = None
    ) -> None:
        """Begin with none; what happens in them goes to the archive, if there is one."""
        self.archive = archive
        self.damaged: dict[str, Damaged] = {}
        self.quarantined: dict[str, Quarantined] = {}
        self._journal = journal
        self._clock = clock
        self._by_number: dict[int, Experiment] = {}
        self._by_name: dict[str, Experiment] = {}
        self._reserved: set[int] = set()  # numbers of experiments that are being restored

    def __iter__(self) -> Iterator[Experiment]:
        """Yield the experiments, oldest first."""
        return iter(list(self._by_number.values()))

    def find(self, number: int, identity: int = 0) -> Experiment | None:
        """The experiment with this number, and with this identity unless that is 0: not said."""
        found = self._by_number.get(number)
        return None if found is None or identity not in (0, found.identity) else found

    def named(self, name: str) -> Experiment:
        """The experiment with this name.

        Raises:
            UnknownNameError: there is none.
            ConflictError: it is damaged.
        """
        if name in self.damaged:
            reason = self.damaged[name].reason
            raise ConflictError(f"experiment {name} is damaged and can only be repaired or deleted: {reason}")
        experiment = self._by_name.get(name)
        if experiment is None:
            known = ", ".join([*self._by_name, *self.damaged]) or "none yet"
            raise UnknownNameError(f"name is {name!r}; experiments here: {known}")
        return experiment

    def running(self) -> list[Experiment]:
        """The experiments that want work done."""
        return [experiment for experiment in self._by_number.values() if experiment.is_running]

    def create(self, spec: spec_pb2.ExperimentSpec, *, with_start: bool = False) -> Experiment:
        """Start an experiment, or find the one that has this very spec.

        Args:
            spec: of the experiment.
            with_start: whether the weights are here that its policy.start names.

        Raises:
            InvalidFieldError: a field is not allowed, or the weights of its founder did not come with it.
            NameTakenError: another spec has this name.
            ConflictError: a damaged experiment has this name.
        """
        try:
            settings = ExperimentSettings.of(spec)
        except SpecError as error:
            raise InvalidFieldError(str(error)) from None
        if len(settings.encoded) > _MOST_SPEC_BYTES:
            raise InvalidFieldError(
                f"spec has {len(settings.encoded):,} bytes; allowed: {_MOST_SPEC_BYTES:,}"
            )
        if settings.name in self.damaged:
            raise ConflictError(
                f"spec.name is {settings.name!r}, and an experiment of this name is damaged: "
                f"{self.damaged[settings.name].reason}. Delete it, or choose another name"
            )
        present = self._by_name.get(settings.name)
        if present is None and settings.spec.policy.start and not with_start:
            raise InvalidFieldError(
                f"policy.start is {settings.spec.policy.start!r}, and its weights did not come with the spec"
            )
        if present is None:
            return self._begin(settings)
        if settings.encoded not in (present.settings.encoded, _settings_of(present.created).encoded):
            raise NameTakenError(
                f"spec.name is {settings.name!r}; an experiment with another spec has this name"
            )
        return present

    async def create_with_start(self, spec: spec_pb2.ExperimentSpec, data: bytes) -> Experiment:
        """The same for a spec that names the weights of its founder; nothing is lent before they are stored.

        Raises what :meth:`create` raises, and InvalidFieldError for other weights.
        """
        digest = spec.policy.start
        found = digest_of(data)
        if not digest or found != digest:
            raise InvalidFieldError(f"data has the digest {found}; allowed: that of policy.start, {digest!r}")
        experiment = self.create(spec, with_start=True)
        if experiment.start.is_missing:
            await experiment.start.put(data)
        return experiment

    async def extend(self, name: str, stop: spec_pb2.Stop, *, only: bool) -> Experiment:
        """Change an experiment's stop conditions, with `only` all of them; one that is over goes on.

        Raises:
            InvalidFieldError: a condition is not allowed.
            ConflictError: one of them holds already.
        """
        experiment = self.named(name)
        wanted = spec_pb2.Stop()
        if not only:
            wanted.CopyFrom(experiment.settings.spec.stop)
        wanted.MergeFrom(stop)
        try:
            settings = experiment.settings.with_stop(wanted.SerializeToString())
        except SpecError as error:
            raise InvalidFieldError(str(error)) from None
        epochs = [kept.epoch for kept in experiment.kept]
        await self._journal.checkpoints.hold(experiment.number, epochs)  # late joiners start from them
        if self.find(experiment.number) is not experiment:
            raise UnknownNameError(f"experiment {name} was deleted meanwhile")
        was_over = experiment.state.is_final
        experiment.extend(settings)
        if was_over:  # then it stayed as it was when workers were proven wrong
            for each in list(experiment.quarantined.values()):
                distrust(experiment, each.worker_id, each.reason)
        return experiment

    def delete(self, name: str) -> None:
        """Forget an experiment that is over, or damaged. Raises ConflictError if it is neither."""
        experiment = self.damaged.pop(name, None) or self._take_out(name)
        self._journal.delete(experiment.number)
        if self.archive is not None:
            self.archive.delete(experiment.number)
        logger.info("experiment %s, number %d, is deleted", name, experiment.number)

    def _take_out(self, name: str) -> Experiment:
        experiment = self.named(name)
        if not experiment.state.is_final:
            raise ConflictError(
                f"experiment {name} is {experiment.state.name.lower()}; only one that is complete or stopped "
                "can be deleted: stop it first"
            )
        del self._by_number[experiment.number], self._by_name[name]
        return experiment

    async def restore(
        self, encoded: bytes, name: str = "", archive: AsyncIterator[bytes] | None = None
    ) -> Experiment:
        """Take in a backup as an experiment of its own, under the name that it had unless another is given.

        Args:
            encoded: the backup.
            name: see above.
            archive: parts of its archive, in order.

        Raises:
            InvalidFieldError: it is damaged, or the name is not allowed.
            NameTakenError: an experiment has this name.
            ConflictError: it has an archive, and this master keeps none.
            StoreFailingError: the archive cannot be written now.
        """
        snapshot, checkpoints = await backup.read(encoded)
        number = self._next_number()
        snapshot = backup.renamed(snapshot, number, name)
        experiment = self._rebuilt(snapshot)
        self._reserved.add(number)
        try:
            await backup.store_checkpoints(number, checkpoints, self._journal)
            if archive is not None:
                await backup.take_archive(experiment, archive, self.archive)
            self._check_free(experiment.settings.name)
        except BaseException:
            self._journal.checkpoints.drop(number)
            if archive is not None and self.archive is not None:
                self.archive.discard(experiment)
            raise
        finally:
            self._reserved.discard(number)
        self._begin_whole(experiment, 0)
        logger.info("experiment %s is restored as number %d", experiment.settings.name, number)
        return experiment

    def _rebuilt(self, snapshot: Snapshot) -> Experiment:
        """An experiment from a snapshot of another store, not attached to the journal yet."""
        try:
            settings = ExperimentSettings.of(spec_pb2.ExperimentSpec.FromString(snapshot.created.spec))
            self._check_free(settings.name)
            experiment = self._make(snapshot.created)
            recovery.restore(experiment, snapshot)
        except SpecError as error:
            raise InvalidFieldError(str(error)) from None
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise InvalidFieldError(f"data does not replay: {type(error).__name__}: {error}") from None
        recovery.want_checkpoints(experiment)
        return experiment

    def _check_free(self, name: str) -> None:
        if name in self._by_name or name in self.damaged:
            raise NameTakenError(f"an experiment is called {name!r} already; restore it under another name")

    def _begin_whole(self, experiment: Experiment, head: int) -> None:
        """Go on with an experiment whose whole state takes the place of what is stored of it."""
        recovery.revive(experiment, head)
        self._journal.write_whole(experiment.number)
        self._add(experiment)
        self.quarantined |= experiment.quarantined

    async def repair(self, name: str) -> tuple[Experiment, int, int]:
        """Bring a damaged experiment back as it was before the first entry that cannot be read.

        Returns:
            It, how many journal entries were kept, and how many behind them are forgotten.

        Raises:
            UnknownNameError: there is none.
            ConflictError: it is not damaged, or nothing of it can be read.
        """
        damaged = self.damaged.get(name)
        if damaged is None:
            self.named(name)
            raise ConflictError(f"experiment {name} is not damaged")
        try:
            kept = await readable(self._journal, damaged.number, self._make)
            experiment = await replay(self._journal, damaged.number, self._make, Reached(kept))
            await self._hold_checkpoints(experiment)
        except (JournalLostError, ConflictError) as error:
            sentence = f"experiment {name} cannot be repaired, only restored from a backup: {error}"
            raise ConflictError(sentence) from None
        head = max(kept, await self._journal.head_of(damaged.number))
        del self.damaged[name]
        self._begin_whole(experiment, kept)
        logger.warning("experiment %s is repaired: entries after %d of %d are forgotten", name, kept, head)
        return experiment, kept, head - kept

    async def recover(self, *, took_over: bool = False) -> None:
        """Take the store over and bring back every experiment in it, as it was when it was last durable.

        One that cannot be brought back is set aside by name, and the others are served. Checkpoints that a
        crash left behind are deleted. Raises StoreFailingError if the store does not answer.
        """
        for number in await self._journal.open():
            try:
                experiment = await self._recover_one(number)
            except StoreFailingError:
                raise
            except (
                Exception
            ) as error:  # whatever the bytes of one experiment do, it is not the others' trouble
                await self._set_aside(number, error)
                continue
            if not experiment.state.is_final:
                experiment.write(MasterStarted(time(), took_over))
            self._add(experiment)
            self.quarantined |= experiment.quarantined
            logger.info(
                "experiment %s is back: %s, %d evaluations, %d pieces of work pending",
                experiment.settings.name, experiment.state.name.lower(), experiment.progress.evaluations,
                experiment.pending_work.waiting,
            )  # fmt: skip
        kept = {(experiment.number, stored.epoch) for experiment in self for stored in experiment.kept}
        damaged = {each.number for each in self.damaged.values()}
        await self._journal.checkpoints.sweep(kept, others=damaged)

    async def _set_aside(self, number: int, error: Exception) -> None:
        """Keep an experiment as it is in the store, and show it to people by its name."""
        known = isinstance(error, JournalLostError | JournalFormatError)
        reason = str(error) if known else f"it does not replay: {type(error).__name__}: {error}"
        name = await self._journal.name_of(number)
        self.damaged[name] = Damaged(number, name, reason)
        self._journal.checkpoints.drop(number)
        logger.error("experiment %s, number %d, is damaged: %s", name, number, reason, exc_info=not known)

    async def _recover_one(self, number: int) -> Experiment:
        reached = Reached()
        experiment = await replay(self._journal, number, self._make, reached)
        await self._hold_checkpoints(experiment)
        recovery.revive(experiment, reached.entry)
        return experiment

    async def _hold_checkpoints(self, experiment: Experiment) -> None:
        """Have checkpoints at hand if somebody may start from them."""
        centre = experiment.centre
        if experiment.state.is_final and not (centre is not None and centre.wanted):
            return
        await self._journal.checkpoints.hold(experiment.number, [kept.epoch for kept in experiment.kept])

    def _begin(self, settings: ExperimentSettings) -> Experiment:
        number = self._next_number()
        experiment = self._make(Created(number, settings.encoded, time()), settings)
        recovery.begin(experiment)
        for (
            worker_id,
            quarantined,
        ) in self.quarantined.items():  # every journal knows who is not to be trusted
            experiment.quarantined[worker_id] = quarantined
            experiment.write(quarantined)
        self._add(experiment)
        logger.info("experiment %s begins as number %d", settings.name, number)
        return experiment

    def _next_number(self) -> int:
        damaged = (each.number for each in self.damaged.values())
        return max([*self._by_number, *damaged, *self._reserved, self._journal.last_deleted]) + 1

    def _make(self, created: Created, settings: ExperimentSettings | None = None) -> Experiment:
        starts = [Start(self._journal.boot, 0)]
        experiment = Experiment(
            settings or _settings_of(created), created, self._journal, self._clock, starts
        )
        experiment.recorder.is_kept = self.archive is not None
        return experiment

    def _add(self, experiment: Experiment) -> None:
        if self.archive is not None:
            self.archive.attach(experiment)
        self._by_number[experiment.number] = experiment
        self._by_name[experiment.settings.name] = experiment


def _settings_of(created: Created) -> ExperimentSettings:
    return ExperimentSettings.stored(created.spec)
