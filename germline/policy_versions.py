"""Versions of policies: what was built otherwise in an earlier release is another network for its genomes.

A policy that is not named here has only ever been built in one way, and a spec gives it no version.
"""

from __future__ import annotations

from typing import Final

VERSIONS: Final[dict[str, int]] = {"uber2018": 2}
"""The newest version of each policy that has several; they count from 1.

``uber2018``: 1 started by Glorot's scheme; 2 starts as Such et al. 2018 published it.
"""
