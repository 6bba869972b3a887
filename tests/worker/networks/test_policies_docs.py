"""The policies that docs/policies.md shows can play."""

import re
import sys
from types import ModuleType

import numpy as np
import pytest

from tests.pages import ROOT, page
from worker.networks.policies.build import make_policy
from worker.networks.policies.recurrent import Recurrent
from worker.tasks.base import DiscreteActions, Lanes, Spaces

PAGE = page("docs/policies.md")


class Vectors:
    """A task with short vectors."""

    spaces = Spaces((3,), np.dtype(np.float32), DiscreteActions(2))

    def make_lanes(self, count: int) -> Lanes:
        raise NotImplementedError


def test_the_policy_that_remembers_does(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = PAGE.block("python", "Rememberer")
    module = ModuleType("shown_policy")
    exec(shown, module.__dict__)  # noqa: S102 - our own page
    monkeypatch.setitem(sys.modules, "shown_policy", module)
    assert isinstance(make_policy("shown_policy:Rememberer", Vectors(), precision="bfloat16"), Recurrent)


def test_every_file_that_the_page_names_exists() -> None:
    named = re.findall(r"(?:germline|experiments|worker)/[\w/.-]+\.(?:py|toml)", PAGE.text)
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []
