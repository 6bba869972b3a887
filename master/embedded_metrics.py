"""What a fleet is scaled by, as lines of the log: who reads the log has the numbers, nobody asks the master.

The format is Amazon's embedded metric format: CloudWatch makes metrics of such lines where it gets a log as
JSON, which takes no library and no right of the master's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily

EVERY_S = 60.0
"""Seconds between two lines: the shortest period of CloudWatch's ordinary metrics."""

NAMESPACE = "germline"

NAMES = ("germline_workers_wanted", "germline_workers", "germline_store_failing")
"""The gauges that are written. Each costs its reader money, so there are few."""

logger = logging.getLogger(__name__)


def write(fleet: str, gauges: Iterable[GaugeMetricFamily], now: float | None = None) -> None:
    """Log one line with the gauges of NAMES.

    Args:
        fleet: the one dimension that they have, which tells this master's numbers from another's.
        gauges: read at this moment; others are passed over.
        now: seconds since 1970.
    """
    values = {each.name: each.samples[0].value for each in gauges if each.name in NAMES}
    moment = round((time.time() if now is None else now) * 1000)
    metrics = [{"Name": name, "Unit": "Count"} for name in values]
    directive = {"Namespace": NAMESPACE, "Dimensions": [["fleet"]], "Metrics": metrics}
    envelope = {"Timestamp": moment, "CloudWatchMetrics": [directive]}
    logger.info("the fleet is scaled by these", extra={"_aws": envelope, "fleet": fleet, **values})
