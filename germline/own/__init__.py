"""Bring your own evaluate and optimise: a worker of yours, and a master that has the patience.

    from germline.own import Worker, pack, unpack

See docs/own.md. Nothing here needs torch.
"""

from germline.own.state import pack, unpack
from germline.own.worker import Worker

__all__ = ["Worker", "pack", "unpack"]
