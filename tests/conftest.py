"""What all tests share."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

# Tests run beside each other, one process to a core: threads of torch would only fight over the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says something about the machine's other work and nothing about the code.
settings.register_profile("germline", deadline=None)
# A mutant meets the tests hundreds of times: few examples, and the same ones each time.
settings.register_profile("mutants", deadline=None, max_examples=15, derandomize=True, database=None)
settings.load_profile("germline")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Commands that serve set logging up for their process, which here goes on with other tests."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
