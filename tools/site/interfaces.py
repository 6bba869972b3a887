"""The page of the Python interface, from docstrings."""

from __future__ import annotations

MODULES = {
    "germline.face.policy": "`germline.load`, and the policy that it gives.",
    "germline.face.run": "`germline.run`: evolve on this machine.",
    "germline.face.running": "What a run gives back.",
    "germline.face.connecting": "`germline.connect`.",
    "germline.client": "Ask a master, and steer its experiments.",
    "germline.spec": "Read, check and write specs.",
    "germline.card": "Read and write policy cards.",
    "germline.genome": "A network as a line of seeds.",
    "germline.noise": "The numbers behind a seed.",
    "germline.statistics": "Means, intervals and comparisons.",
    "germline.eggroll": "The evolution strategy as a library of its own.",
    "germline.own": "Workers that bring their own evaluation and update.",
    "germline.models": "Find and call policies that are served.",
    "worker.tasks.base": "What a task of your own offers.",
}
"""Modules that a program may import, each with what it is for."""

_HEAD = """# Every Python name

Written from the docstrings. Modules that are not named here may change at any time.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *(f"## `{name}`\n\n{text}\n\n::: {name}\n" for name, text in MODULES.items())])
