"""Where a command writes to by ``--to``: what is wrong with it is said as commands say it."""

from __future__ import annotations

from germline import destinations
from germline.cli.errors import CommandError, Exit, needs_extra
from germline.destinations import Destination


def destination(to: str) -> Destination:
    """A folder, or s3://BUCKET/PREFIX.

    Raises:
        CommandError: it is neither, or the package for it is missing.
    """
    with needs_extra("aws"):
        try:
            return destinations.destination(to)
        except ValueError as error:
            raise CommandError(f"--to is {error}", Exit.USAGE) from None
