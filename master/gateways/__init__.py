"""The protocols of other projects, each a folder of its own, over the experiments of this master.

Imported by: only the server, which opens those that `--gateway` names. A gateway may use every room.
"""

from collections.abc import Mapping

from master.gateways.evochi import opening as evochi
from master.gateways.house import GatewayError, House, Start
from master.gateways.neuro import opening as neuro

__all__ = ["GATEWAYS", "GatewayError", "House", "Start"]

GATEWAYS: Mapping[str, Start] = {"evochi": evochi.start, "neuro": neuro.start}
"""What opens a gateway, by the name that `--gateway` calls it by."""
