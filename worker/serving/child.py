"""A process with one node in it, which ends with whoever started it: `python -m worker.serving.child`.

It reads two lines of JSON: the recipe of the policy, and where and how to serve it. It writes lines of JSON:
its port, or why it has none; then each trouble that comes and goes.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from germline import logs
from worker.plugins import imported
from worker.serving.node import Node, NodeError
from worker.serving.recipe import Recipe
from worker.serving.service import ServingSettings

LOOK_S = 0.5
"""Between two looks for trouble."""


async def main(lines: TextIO, answers: TextIO) -> None:
    """Serve until the lines end."""
    recipe, order = Recipe.read(lines.readline()), json.loads(lines.readline())
    cert, key, keys = (_path(order["files"], name) for name in ("tls_cert", "tls_key", "gateway_keys"))
    settings = ServingSettings(
        token=order["token"], tls_cert=cert, tls_key=key, gateway_keys=keys, insecure=True
    )
    found = imported("model", order["kind"]) if order["kind"] else None
    node = Node(order["model_id"], recipe.build, found if callable(found) else None, settings.protection())
    try:
        await node.open(order["host"], order["port"])
    except NodeError as error:
        _say(answers, error=str(error))
        return
    _say(answers, port=node.port)
    ended = asyncio.create_task(asyncio.to_thread(lines.read))
    trouble = ""
    while not ended.done():
        await asyncio.wait([ended], timeout=LOOK_S)
        if node.trouble != trouble and not (trouble and node.trouble):
            trouble = node.trouble
            _say(answers, trouble=trouble)
    await node.close()


def _path(files: Mapping[str, str], name: str) -> Path | None:
    return Path(files[name]) if name in files else None


def _say(answers: TextIO, **what: object) -> None:
    answers.write(json.dumps(what) + "\n")
    answers.flush()


if __name__ == "__main__":
    logs.configure("warning")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # a model that prints must not answer for the node
    asyncio.run(main(sys.stdin, answers))
