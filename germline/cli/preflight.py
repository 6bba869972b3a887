"""Looks before a run starts: can this machine play what the spec asks for?"""

from __future__ import annotations

from germline.spec import Problem, SpecError
from germline.v1 import spec_pb2


def check_playable(spec: spec_pb2.ExperimentSpec, source: str) -> str:
    """Build the task and the policy once; returns a remark, "" if there is nothing to say.

    Raises:
        SpecError: if a game, an environment, a policy, a function or a plug-in is unknown or does not fit.
    """
    try:
        from worker.playing.engine_builder import engine_settings
        from worker.playing.playable import playable
        from worker.tasks.base import SetupError
    except ModuleNotFoundError as error:
        return f" (not tried: {error.name} is not installed)"
    settings = engine_settings(spec)
    try:
        playable(settings)
    except SetupError as error:
        path, _, text = str(error).partition(" ")
        raise SpecError([Problem(path, text)], source) from None
    return ""
