"""MLflow: a database file in the runs' folder, or the server of MLFLOW_TRACKING_URI."""

import json
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from ...atomic import write_json
from ...progress import say
from ..runs.documents import shareable
from ..runs.log import MetricRow
from ..tasks import monitor_of
from .logger import LoggedEvaluation, LoggedRun, epoch_of, values_of

MEMORY = "mlflow.json"
FOLDER = "mlflow"  # in the runs' folder; MLflow no longer writes its older store of plain files, hence a database

_IN_EVERY_ROW = "seconds"  # a run that was fitted has no loss
_MOST_PARAMS = 100  # that MLflow takes at once


class MlflowLogger:
    """Metrics by epoch, the best epoch's under `best_...` as well."""

    def __init__(self, client: MlflowClient, *, identity: str, monitor: str) -> None:
        self._client = client
        self._identity = identity
        self._monitor = monitor
        logged = client.get_metric_history(identity, _IN_EVERY_ROW)
        self._logged = max((metric.step for metric in logged), default=0)

    def epoch_done(self, metrics: MetricRow, *, improved: bool) -> None:
        """Store a row.

        An epoch that MLflow has seen before an interruption keeps its first values, as MLflow takes nothing back.
        """
        epoch, now = epoch_of(metrics), int(time.time() * 1000)
        if epoch <= self._logged:
            return
        values = values_of(metrics)
        if improved:
            values["best_epoch"] = epoch
            if self._monitor in values:  # by which a run that was fitted is not chosen, nor need it measure it
                values[f"best_{self._monitor}"] = values[self._monitor]
        self._client.log_batch(self._identity, metrics=[Metric(*item, now, epoch) for item in values.items()])
        self._logged = epoch

    def close(self, *, finished: bool) -> None:
        """Say how the run ended."""
        self._client.set_terminated(self._identity, status="FINISHED" if finished else "KILLED")


def open_logger(run: LoggedRun) -> MlflowLogger:
    """Start or go on with the MLflow run whose id is kept in `<run>/mlflow.json`.

    Without `MLFLOW_TRACKING_URI` everything goes to `<runs>/mlflow/mlflow.db`; the experiment is that of
    `MLFLOW_EXPERIMENT_NAME`.
    """
    client, identity, where = _opened(run)
    logger = MlflowLogger(client, identity=identity, monitor=monitor_of(run.settings.train))
    for row in run.history:
        logger.epoch_done(row, improved=row == run.best)
    say(f"MLflow: run {run.folder.name} in {where}.")
    return logger


def add_evaluation(run: LoggedRun, found: LoggedEvaluation) -> None:
    """Figures as metrics of the run, tables and the report as artifacts in a folder of the split."""
    client, identity, _ = _opened(run)
    now, epoch = int(time.time() * 1000), epoch_of(run.best) if run.best is not None else 0
    metrics = [Metric(f"{found.split}_{name}", value, now, epoch) for name, value in found.figures.items()]
    client.log_batch(identity, metrics=metrics)
    for table in found.tables:
        columns = dict(zip(table.headings, map(list, zip(*table.cells, strict=True)), strict=True))
        client.log_dict(identity, columns, f"{found.split}/{table.name}.json")
    client.log_artifact(identity, str(found.report), found.split)
    client.set_terminated(identity, status="FINISHED")


def _opened(run: LoggedRun) -> tuple[MlflowClient, str, str]:
    """Who talks to the store, the run's id there, and where that is in words: a tracking URI may hold a password."""
    elsewhere = os.environ.get("MLFLOW_TRACKING_URI")
    local = run.settings.runs.folder.resolve() / FOLDER
    if not elsewhere:
        local.mkdir(parents=True, exist_ok=True)
    client = MlflowClient(elsewhere or f"sqlite:///{local / 'mlflow.db'}")
    identity = _identity(client, run, artifacts=None if elsewhere else (local / "artifacts").as_uri())
    return client, identity, "the store of MLFLOW_TRACKING_URI" if elsewhere else str(local / "mlflow.db")


def _identity(client: MlflowClient, run: LoggedRun, *, artifacts: str | None) -> str:
    """The run's id in this store; a run that the store does not have, or no longer, is made."""
    memory = run.folder.path / MEMORY
    known = json.loads(memory.read_text(encoding="utf-8"))["id"] if memory.is_file() else None
    if known is not None:
        try:
            client.update_run(known, status="RUNNING")
            return str(known)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    identity = _new_run(client, run, artifacts=artifacts)
    write_json(memory, {"id": identity})
    return identity


def _new_run(client: MlflowClient, run: LoggedRun, *, artifacts: str | None) -> str:
    name = os.environ["MLFLOW_EXPERIMENT_NAME"]
    known = client.get_experiment_by_name(name)
    experiment = known.experiment_id if known else client.create_experiment(name, artifact_location=artifacts)
    tags = {"name": run.folder.name, **{key: str(run.manifest[key]) for key in ("recipe", "fingerprint")}}
    if run.group is not None:
        tags["group"] = run.group
    identity = str(client.create_run(experiment, run_name=run.folder.name, tags=tags).info.run_id)
    params = [Param(key, str(value)) for key, value in _flat(shareable(run.settings).model_dump(mode="json"))]
    for start in range(0, len(params), _MOST_PARAMS):
        client.log_batch(identity, params=params[start : start + _MOST_PARAMS])
    return identity


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
