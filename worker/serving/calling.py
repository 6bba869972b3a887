"""One call of a model: its arguments read, its method called, and what became of it in the protocol's words.

A mistake of the caller (a method's name, an argument) is told apart from a failure of the model: clients
give a model up for the latter.
"""

from __future__ import annotations

import enum
import inspect
import logging
from collections.abc import Callable, Iterable
from typing import NamedTuple

from germline.models.variants import VariantError, decode, encode
from germline.peers.model_runner_pb2 import Argument, CallRequest, CallResponse, KwArgument, Status, Variant
from worker.plugins import described
from worker.serving.policy import ArgumentError
from worker.tasks.base import RAISED

logger = logging.getLogger(__name__)

MAX_REPLY_BYTES = (4 << 20) - (64 << 10)
"""Of one result: clients take messages of up to 4 MiB."""
MAX_ARGUMENTS = 1_000
_MAX_SENTENCE = 2_000


class Code(enum.StrEnum):
    """What becomes of a call."""

    SUCCESS = "SUCCESS"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    BAD_IMPLEMENTATION = "BAD_IMPLEMENTATION"
    SETUP_FAILED = "SETUP_FAILED"
    MODEL_FAILED = "MODEL_FAILED"
    UNKNOWN = "UNKNOWN"


class CallError(Exception):
    """A call that came to nothing; the sentence says why."""

    def __init__(self, code: Code, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class Arguments(NamedTuple):
    """What a method is called with."""

    positional: list[object]
    named: dict[str, object]


def status(code: Code, sentence: str = "") -> Status:
    """What became of a call, as a message."""
    return Status(code=code.value, message=sentence[:_MAX_SENTENCE])


def refused(error: CallError) -> CallResponse:
    """The answer to a call that came to nothing."""
    return CallResponse(status=status(error.code, str(error)))


def call(model: object, request: CallRequest) -> CallResponse:
    """Call a model's method. Whatever goes wrong is in the answer."""
    try:
        method = _method(model, request.method_name)
        arguments = read_arguments(request.method_arguments, request.method_kw_arguments)
        result = _result(method, bound(method, arguments, request.method_name))
    except CallError as error:
        return refused(error)
    if result is None:
        return CallResponse(status=status(Code.SUCCESS))
    return CallResponse(status=status(Code.SUCCESS), method_response=result)


def read_arguments(positional: Iterable[Argument], named: Iterable[KwArgument]) -> Arguments:
    """Arguments as values, those by place in their order. Raises CallError."""
    by_place = sorted(positional, key=lambda argument: argument.position)
    by_name = list(named)
    if len(by_place) + len(by_name) > MAX_ARGUMENTS:
        sentence = f"there are {len(by_place) + len(by_name)} arguments; allowed: up to {MAX_ARGUMENTS}"
        raise CallError(Code.INVALID_ARGUMENT, sentence)
    return Arguments(
        [_read(f"argument {each.position}", each.data) for each in by_place],
        {each.keyword: _read(f"argument {each.keyword[:100]!r}", each.data) for each in by_name},
    )


def bound(target: Callable[..., object], arguments: Arguments, name: str) -> inspect.BoundArguments:
    """Arguments as a function takes them; names that it does not have are left out. Raises CallError."""
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError) as error:
        raise CallError(Code.BAD_IMPLEMENTATION, f"{name[:100]} says of no arguments: {error}") from None
    takes_all = any(each.kind is each.VAR_KEYWORD for each in signature.parameters.values())
    left_out = [] if takes_all else [word for word in arguments.named if word not in signature.parameters]
    if left_out:
        logger.warning("%s takes no %s; they are left out", name[:100], ", ".join(left_out)[:200])
    kept = {word: value for word, value in arguments.named.items() if word not in left_out}
    try:
        return signature.bind(*arguments.positional, **kept)
    except TypeError as error:
        raise CallError(Code.INVALID_ARGUMENT, f"{name[:100]}{signature}: {error}") from None


def _method(model: object, name: str) -> Callable[..., object]:
    """A method that others may call. Raises CallError."""
    if not name:
        raise CallError(Code.INVALID_ARGUMENT, "method_name is empty; allowed: the name of a method")
    try:
        method = None if name.startswith("_") else getattr(model, name, None)
    except RAISED as error:
        raise CallError(Code.MODEL_FAILED, described(error)) from None
    if not callable(method):
        raise CallError(
            Code.BAD_IMPLEMENTATION,
            f"a {type(model).__name__} has no method {name[:100]!r}; {_offered(model)}",
        )
    found: Callable[..., object] = method
    return found


def _offered(model: object) -> str:
    """The methods of a model's class, in words."""
    names = [
        name for name in dir(type(model)) if not name.startswith("_") and callable(getattr(type(model), name))
    ]
    return f"allowed: {', '.join(names[:20])}"


def _read(what: str, data: Variant) -> object:
    try:
        return decode(data)
    except VariantError as error:
        raise CallError(Code.INVALID_ARGUMENT, f"{what}: {error}") from None


def _result(method: Callable[..., object], arguments: inspect.BoundArguments) -> Variant | None:
    """What a method returns, as a message; None for None. Raises CallError."""
    try:
        value = method(*arguments.args, **arguments.kwargs)
        result = None if value is None else encode(value)
    except ArgumentError as error:
        raise CallError(Code.INVALID_ARGUMENT, str(error)) from None
    except VariantError as error:
        raise CallError(Code.MODEL_FAILED, f"the result: {error}") from None
    except RAISED as error:
        raise CallError(Code.MODEL_FAILED, described(error)) from None
    if result is not None and len(result.value) > MAX_REPLY_BYTES:
        size = f"{len(result.value):,} bytes; allowed: up to {MAX_REPLY_BYTES:,}, as clients take"
        raise CallError(Code.MODEL_FAILED, f"the result has {size}")
    return result
