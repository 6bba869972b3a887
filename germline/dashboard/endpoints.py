"""How an answer leaves: as JSON, packed, or as the sentence of what went wrong."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from germline.cli.output import Json
from germline.client import MasterError, NotReachableError
from germline.dashboard import answers
from germline.dashboard.shell import packed
from germline.genome import parse_id

_STATUS = {
    "NOT_FOUND": HTTPStatus.NOT_FOUND,
    "INVALID_ARGUMENT": HTTPStatus.BAD_REQUEST,
    "FAILED_PRECONDITION": HTTPStatus.CONFLICT,
    "RESOURCE_EXHAUSTED": HTTPStatus.TOO_MANY_REQUESTS,
}

Endpoint = Callable[[Request], Awaitable[Response]]


def caught(answer: Callable[[Request], Awaitable[Json]]) -> Endpoint:
    """An endpoint of what gives JSON, or raises a MasterError."""

    async def endpoint(request: Request) -> Response:
        try:
            return answered(request, await answer(request), HTTPStatus.OK)
        except NotReachableError as error:
            return answered(request, {"error": str(error)}, HTTPStatus.SERVICE_UNAVAILABLE)
        except MasterError as error:
            status = _STATUS.get(error.code, HTTPStatus.BAD_GATEWAY)
            return answered(request, {"error": str(error), "code": error.code}, status)

    return endpoint


def answered(request: Request, value: Json, status: HTTPStatus) -> Response:
    """JSON that JavaScript can read."""
    text = json.dumps(answers.finite(value), separators=(",", ":"), allow_nan=False)
    return packed(request, text.encode(), "application/json", status)


def whole(request: Request, name: str, default: int, low: int, high: int) -> int:
    """A whole number of the query. Raises MasterError, naming it and what is allowed."""
    text = request.query_params.get(name, str(default))
    if not text.isdigit() or not low <= int(text[:17]) <= high:
        raise MasterError("INVALID_ARGUMENT", f"{name} is {text[:50]!r}; allowed: {low} to {high}")
    return int(text)


def wanted_id(request: Request) -> int | None:
    """The individual that the path names; None for the champion. Raises MasterError."""
    text = request.path_params["id"]
    if text == "champion":
        return None
    try:
        return parse_id(text)
    except ValueError as error:
        raise MasterError("INVALID_ARGUMENT", str(error)) from None
