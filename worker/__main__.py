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
HUNG = 75  # EX_TEMPFAIL: to be started again


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a worker; returns its exit code: 0 told to stop, 1 refused by the master, 2 wrong settings.

    A worker whose playing hangs starts itself over; one that was started as somebody's child leaves that to
    whoever started it, with exit code 75.
    """
    config = parse(
        WorkerConfig, "germline worker", sys.argv[1:] if arguments is None else arguments, os.environ
    )
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # a master that goes away is ours to tell, in one line
    logs.configure(config.log_level, config.log_format)
    # After the settings, because torch takes seconds to load and `--help` should not.
    from worker.connection.link import RefusedError  # noqa: PLC0415
    from worker.loop import Ending, work  # noqa: PLC0415
    from worker.tasks.base import SetupError  # noqa: PLC0415

    try:
        ending = asyncio.run(work(config))
    except RefusedError as error:
        logger.error("%s", error)
        return FAILED
    except SetupError as error:
        logger.error("%s", error)
        return USAGE
    if ending is Ending.PLAIN:
        return OK
    logging.shutdown()
    if ending is Ending.HUNG and sys.orig_argv[1:3] == ["-m", "worker"]:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - this very program
    # A daemon thread inside native code would crash the interpreter's ordinary end.
    os._exit(HUNG if ending is Ending.HUNG else OK)


if __name__ == "__main__":
    sys.exit(main())
