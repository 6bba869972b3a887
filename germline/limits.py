"""How much a peer may say: every size that somebody else controls, in one place.

What a spec may say has its ranges in proto/germline/v1/spec.proto. Beyond a limit here a caller is refused by
name, and an honest one never comes near it.
"""

from __future__ import annotations

# A result
LARGEST_RETURN = 1e30
"""Of a single episode, in size. Sums of squares of 10^9 of them are far from the end of a float64."""
MOST_FRAMES = 10**12
"""Frames, and steps, of one result. Ten million such results fit into the 64 bits that count them."""
FRAMES_OVER = 64
"""An episode is cut with the step that reaches its cap, and may play the rest of that step."""
MAX_FAILURE = 1_000
"""Characters of a worker's reason that are kept: of a failure, of a rejection, of a goodbye."""

# A stream
MAX_MESSAGE_BYTES = 16 << 20
"""Of one message to the master."""
HELLO_S = 30.0
"""How long a stream may take to say who it is."""
MAX_WORKERS = 20_000
"""Connected at a time, or away for so short a time that their leases wait for them."""
MAX_ORDERS = 65_536
"""Messages that wait for a worker that does not read; its stream ends then, and it may come back."""
MAX_OWED = 131_072
"""Results of one worker that are not acknowledged; an honest one stops at 16,384 and what it still holds."""
MAX_HELD = 65_536
"""Leases of one worker, and room for more; so many may it name in one message."""
MAX_SLOTS = 1_000_000
"""Evaluations that a worker says it plays at a time."""
MAX_RESULTS = 4_096
"""Results in one message."""
PART_BYTES = 1 << 20
"""Of one part of a checkpoint."""
MAX_PARTS = 8_192
"""Parts of one checkpoint: 8 GiB, the weights and Adam's memory of 700 million parameters."""

# Who a worker says it is
MAX_TEXT = 100
"""Characters of a version, a device, a process, a library's name and version, a digest."""
MAX_LIBRARIES = 16
"""Libraries that it names."""
