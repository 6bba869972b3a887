"""What can go wrong, in the master's own words. One table says which status each becomes on the wire."""

from __future__ import annotations

import enum

import grpc


class Refusal(enum.IntEnum):
    """Why a result did not count; the numbers are those of germline.v1.RefusalCode."""

    UNKNOWN = 1
    FOREIGN = 2
    ALREADY_TOLD = 3
    NOT_FINITE = 4
    WRONG_LENGTH = 5
    CLOSED = 6
    FAILED = 7
    OUT_OF_RANGE = 8


class RefusedResultError(Exception):
    """One result does not count; the stream that brought it lives on."""

    def __init__(self, code: Refusal, message: str) -> None:
        super().__init__(message)
        self.code = code


class UnscoredError(RefusedResultError):
    """The right worker tells the right work, but no score: another worker may try."""


class JournalLostError(RuntimeError):
    """The store does not hold what was acknowledged."""


class JournalFormatError(ValueError):
    """Stored bytes that this build cannot read."""


class MasterError(Exception):
    """An error whose text is meant for the caller."""


class InvalidFieldError(MasterError):
    """The caller sent a value that is not allowed; the text names the field, the value and what is."""


class UnknownNameError(MasterError):
    """No such experiment, individual or worker."""


class NameTakenError(MasterError):
    """Another experiment has this name."""


class ConflictError(MasterError):
    """The state does not allow the call."""


class StreamOrderError(MasterError):
    """A worker's stream does not begin as the contract says, or its worker does not fit this master."""


class ReplacedStreamError(MasterError):
    """Another process works under this worker's id: this one is not wanted any more."""


class OutdatedStreamError(MasterError):
    """The same process came on another stream; if that was a ghost, it is welcome to come back."""


class SilentStreamError(MasterError):
    """Nothing came from a worker for too long; it may have stood still, and is welcome to come back."""


class NotAllowedError(MasterError):
    """The caller did not show a valid token."""


class ForbiddenError(MasterError):
    """The caller's role does not allow the call."""


class DrainingError(MasterError):
    """The master is about to stop."""


class NotOwnerError(MasterError):
    """This master does not own its store: another one may, and is to be asked."""


class FullError(MasterError):
    """A caller wants more than one may have."""


class StoreFailingError(MasterError):
    """The store does not give what is in it."""


STATUS_CODES: dict[type[MasterError], grpc.StatusCode] = {
    InvalidFieldError: grpc.StatusCode.INVALID_ARGUMENT,
    UnknownNameError: grpc.StatusCode.NOT_FOUND,
    NameTakenError: grpc.StatusCode.ALREADY_EXISTS,
    ConflictError: grpc.StatusCode.FAILED_PRECONDITION,
    StreamOrderError: grpc.StatusCode.FAILED_PRECONDITION,
    ReplacedStreamError: grpc.StatusCode.ALREADY_EXISTS,
    OutdatedStreamError: grpc.StatusCode.UNAVAILABLE,
    SilentStreamError: grpc.StatusCode.UNAVAILABLE,
    NotAllowedError: grpc.StatusCode.UNAUTHENTICATED,
    ForbiddenError: grpc.StatusCode.PERMISSION_DENIED,
    DrainingError: grpc.StatusCode.UNAVAILABLE,
    NotOwnerError: grpc.StatusCode.UNAVAILABLE,
    FullError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    StoreFailingError: grpc.StatusCode.UNAVAILABLE,
}
