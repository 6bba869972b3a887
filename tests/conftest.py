"""What all tests share."""

from __future__ import annotations

import os

from hypothesis import settings

# Tests run beside each other, one process to a core: threads of torch would only fight over the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says something about the machine's other work and nothing about the code.
settings.register_profile("germline", deadline=None)
# A mutant meets the tests hundreds of times: few examples, and the same ones each time.
settings.register_profile("mutants", deadline=None, max_examples=15, derandomize=True, database=None)
settings.load_profile("germline")
