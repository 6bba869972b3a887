"""What can go wrong between a client and its master, as sentences."""

from __future__ import annotations

import grpc

from germline.connection import hint


class MasterError(Exception):
    """A call that did not do what it was asked; the text is a sentence for people.

    Attributes:
        code: the gRPC status, such as "NOT_FOUND".
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class NotReachableError(MasterError):
    """Nobody answered at the address, or not in time."""


class RefusedError(MasterError):
    """The master understood and said no: an unknown name, a bad field, a state that forbids the call."""


_WHERE = "an operator's token comes from --token-file, GERMLINE_TOKEN_FILE or GERMLINE_TOKEN"

# CANCELLED is what a server says that ends in the midst of a call.
_UNREACHABLE = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
)


def is_unreachable(error: grpc.RpcError) -> bool:
    """Whether nobody answered, so that another master may."""
    return status_of(error)[0] in _UNREACHABLE


def from_rpc(error: grpc.RpcError, address: str) -> MasterError:
    """The error that a person or a program can act on."""
    code, details = status_of(error)
    if code in _UNREACHABLE:
        reason = "did not answer in time" if code is grpc.StatusCode.DEADLINE_EXCEEDED else "is not reachable"
        return NotReachableError(code.name, f"the master at {address} {reason} ({details}){hint(details)}")
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return RefusedError(code.name, f"the master at {address} wants a token: {details}; {_WHERE}")
    if code is grpc.StatusCode.PERMISSION_DENIED:
        return RefusedError(code.name, f"the master at {address} does not allow it: {details}; {_WHERE}")
    return RefusedError(code.name, details)


def status_of(error: grpc.RpcError) -> tuple[grpc.StatusCode, str]:
    """The status of a failed call, and its details in words."""
    if isinstance(error, grpc.Call):
        return error.code(), error.details() or "no details"
    return grpc.StatusCode.UNKNOWN, str(error)
