"""A training tells its loggers every epoch once, and finds out what they lack before it writes anything."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from weldcache.errors import SettingsError
from weldcache.settings import Settings
from weldcache.train import pipeline
from weldcache.train.loggers import logger as opening
from weldcache.train.runs.log import MetricRow, append_row, read_log

MakeSettings = Callable[..., Settings]


@pytest.mark.slow
def test_an_interrupted_training_ends_with_every_epoch_logged_once(
    toy_settings: MakeSettings, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = toy_settings(epochs=5, loggers=["tensorboard", "wandb", "mlflow"])
    place = settings.runs.folder / "mlflow/mlflow.db"
    place.parent.mkdir(parents=True)
    shutil.copy(empty_database, place)

    def interrupt(path: Path, row: MetricRow) -> None:
        append_row(path, row)
        if row["epoch"] == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pipeline, "append_row", interrupt)
        pipeline.train(settings, run_name="toy", overwrite=False, command="")
    before = [json.loads((settings.runs.folder / f"toy/{name}.json").read_text())["id"] for name in ("wandb", "mlflow")]
    summary = pipeline.train(settings, run_name="toy", overwrite=False, command="")
    after = [json.loads((summary.run.path / f"{name}.json").read_text())["id"] for name in ("wandb", "mlflow")]
    assert summary.resumed_from == 2 and before == after

    from mlflow.tracking import MlflowClient

    shown = EventAccumulator(str(summary.run.path / "tensorboard")).Reload()
    stored = MlflowClient(f"sqlite:///{place}").get_metric_history(after[1], "val_loss")
    rows = read_log(summary.run.metrics_path).rows
    assert [(metric.step, metric.value) for metric in stored] == [(row["epoch"], row["val_loss"]) for row in rows]
    assert [event.step for event in shown.Scalars("val_loss")] == [1, 2, 3, 4, 5]
    assert [event.value for event in shown.Scalars("val_loss")] == pytest.approx([row["val_loss"] for row in rows])
    assert len(list(summary.run.path.glob("wandb/*run-*/*.wandb"))) == 1


def test_a_missing_library_is_found_out_before_anything_is_written(
    toy_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "find_spec", lambda library: None)
    settings = toy_settings(loggers=["wandb"])
    with pytest.raises(SettingsError, match=r"pip install -e '\.\[wandb\]'"):
        pipeline.train(settings, run_name="toy", overwrite=False, command="")
    assert not settings.runs.folder.exists()
