"""MLflow: a run in a tracking server, or in an SQLite file beside the cursor.

MLflow keeps a value once under its run, name, moment, step and value: what is told again as it was is there
once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import chain

from germline.trackers.base import Champion, Row, TrackedRun

# Before MLflow is imported, which asks: nothing of a run is told to strangers.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.tracking import MlflowClient

_METRICS, _PARAMS, _PARAM_LETTERS = 1_000, 100, 6_000  # of a batch, and of a value: MLflow's own limits
_TAG = "germline.run"


class MlflowTracker:
    """Keeps a run in the experiment MLFLOW_EXPERIMENT_NAME at MLFLOW_TRACKING_URI. A Tracker."""

    def __init__(self, run: TrackedRun) -> None:
        """Open the store."""
        self._run = run
        self._is_local = "MLFLOW_TRACKING_URI" not in os.environ
        beside = f"sqlite:///{(run.folder / 'mlflow.db').resolve()}"
        self.uri = os.environ.get("MLFLOW_TRACKING_URI", beside)
        self._client = MlflowClient(self.uri)
        self._id = ""

    def resume(self, after: int) -> int:
        """Find the run by its tag, or make it."""
        experiment = self._experiment()
        found = self._client.search_runs([experiment], f"tags.`{_TAG}` = '{self._run.id}'")
        tags = {_TAG: self._run.id, **self._run.tags}
        run = found[0] if found else self._client.create_run(experiment, run_name=self._run.name, tags=tags)
        self._id = run.info.run_id
        self._client.update_run(self._id, status="RUNNING")
        self._describe(run)
        if not found:
            return 0
        return after or self._last_step()

    def log(self, rows: Sequence[Row]) -> None:
        """Keep rows, as many values at a time as a server takes."""
        metrics = list(chain.from_iterable(map(_metrics, rows)))
        for at in range(0, len(metrics), _METRICS):
            self._client.log_batch(self._id, metrics=metrics[at : at + _METRICS])

    def show(self, champion: Champion) -> None:
        """Keep its files as artefacts."""
        for file in champion.files:
            self._client.log_artifact(self._id, str(file), "champions")
        self._client.set_tag(self._id, "germline.champion", champion.id)

    def close(self, *, is_over: bool) -> None:
        """End the run when the experiment is over; else it goes on."""
        if is_over:
            self._client.set_terminated(self._id)

    def _last_step(self) -> int:
        """How far the run came, for a process that finds it elsewhere and has no cursor."""
        return max((metric.step for metric in self._client.get_metric_history(self._id, "frames")), default=0)

    def _experiment(self) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "germline")
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        files = (self._run.folder / "mlflow-artifacts").resolve().as_uri() if self._is_local else None
        return str(self._client.create_experiment(name, artifact_location=files))

    def _describe(self, run: Run) -> None:
        """Tell the settings that it has not; one that changed, as a stop condition may, stays as it was."""
        config = {name: str(value)[:_PARAM_LETTERS] for name, value in self._run.config.items()}
        params = [Param(name, value) for name, value in config.items() if name not in run.data.params]
        tags = [RunTag(name, value) for name, value in self._run.tags.items()]
        for at in range(0, len(params), _PARAMS):
            self._client.log_batch(self._id, params=params[at : at + _PARAMS])
        self._client.log_batch(self._id, tags=tags)


def _metrics(row: Row) -> Iterator[Metric]:
    moment_ms = round(row.time_s * 1_000)
    for name, value in row.values.items():
        yield Metric(name, value, moment_ms, row.evaluations)
