"""`python -m worker`: reads the settings, then works until told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Sequence

from germline import logs
from germline.settings import parse
from worker.config import WorkerConfig

logger = logging.getLogger("worker")

OK, FAILED, USAGE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a worker; returns its exit code: 0 told to stop, 1 refused by the master, 2 wrong settings."""
    config = parse(WorkerConfig, "worker", sys.argv[1:] if arguments is None else arguments, os.environ)
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # a master that goes away is ours to tell, in one line
    logs.configure(config.log_level, config.log_format)
    # After the settings, because torch takes seconds to load and `--help` should not.
    from worker.connection.link import RefusedError  # noqa: PLC0415
    from worker.loop import work  # noqa: PLC0415
    from worker.tasks.base import SetupError  # noqa: PLC0415

    try:
        finished = asyncio.run(work(config))
    except RefusedError as error:
        logger.error("%s", error)
        return FAILED
    except SetupError as error:
        logger.error("%s", error)
        return USAGE
    if not finished:  # a daemon thread inside native code would crash the interpreter's ordinary end
        logging.shutdown()
        os._exit(OK)
    return OK


if __name__ == "__main__":
    sys.exit(main())
