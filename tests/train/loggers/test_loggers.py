"""Every logger really writes with its library, offline, and what it wrote is read back with that library."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from weldcache.errors import SettingsError
from weldcache.train.loggers.logger import LoggedEvaluation, LoggedRun, LoggedTable, log_evaluation, open_loggers
from weldcache.train.runs.log import MetricRow

MakeRun = Callable[..., LoggedRun]
MakeRow = Callable[..., MetricRow]
Curves = dict[str, list[tuple[int, float]]]


class LoggerContract:
    """What holds for each logger."""

    name: str

    def curves(self, run: LoggedRun) -> Curves:
        """All that was written: by metric, steps and values in order."""
        raise NotImplementedError

    def identities(self, run: LoggedRun) -> set[str]:
        """The ids of the runs that the library knows."""
        raise NotImplementedError

    def test_each_epoch_is_a_step_and_what_is_undefined_is_left_out(self, logged_run: MakeRun, row: MakeRow) -> None:
        run = logged_run()
        with open_loggers([self.name], run) as loggers:
            for epoch in range(1, 6):
                loggers.epoch_done(row(epoch), improved=epoch <= 3)
        curves = self.curves(run)
        steps, values = zip(*curves["loss"], strict=True)
        assert steps == (1, 2, 3, 4, 5) and values == pytest.approx([1 / step for step in steps])
        assert [step for step, _ in curves["val_auroc"]] == [1, 2, 3, 5]
        assert "epoch" not in curves

    def test_gone_on_with_every_epoch_is_there_once_in_one_run(self, logged_run: MakeRun, row: MakeRow) -> None:
        run = logged_run()
        with pytest.raises(KeyboardInterrupt), open_loggers([self.name], run) as loggers:
            for epoch in range(1, 6):
                loggers.epoch_done(row(epoch), improved=epoch <= 3)
            raise KeyboardInterrupt
        resumed = logged_run(after=3)  # the last checkpoint was written then
        with open_loggers([self.name], resumed) as loggers:
            for epoch in range(4, 9):
                loggers.epoch_done(row(epoch), improved=False)
        steps, values = zip(*self.curves(run)["loss"], strict=True)
        assert steps == (1, 2, 3, 4, 5, 6, 7, 8) and values == pytest.approx([1 / step for step in steps])
        assert len(self.identities(run)) == 1

    def test_added_to_a_run_on_its_way_it_gets_the_whole_history(self, logged_run: MakeRun, row: MakeRow) -> None:
        run = logged_run(after=6)
        with open_loggers([self.name], run) as loggers:
            loggers.epoch_done(row(7), improved=False)
        assert [step for step, _ in self.curves(run)["loss"]] == list(range(1, 8))

    def test_an_evaluation_goes_into_the_same_run_beside_its_epochs(
        self, logged_run: MakeRun, row: MakeRow, evaluation: LoggedEvaluation
    ) -> None:
        run = logged_run(after=3)
        with open_loggers([self.name], run):
            pass
        log_evaluation([self.name], run, evaluation)
        assert [step for step, _ in self.curves(run)["loss"]] == [1, 2, 3]
        assert len(self.identities(run)) == 1 and self.told_of(run) == pytest.approx({"auroc": 0.875})

    def told_of(self, run: LoggedRun) -> dict[str, float]:
        """The figures of the evaluation as the library has them, once its table and its report are seen to be there."""
        raise NotImplementedError

    @pytest.fixture
    def evaluation(self, tmp_path: Path) -> LoggedEvaluation:
        report = tmp_path / "report.html"
        report.write_text("<p>verdict</p>")
        table = LoggedTable("by_class", ["class", "auroc"], [["crack | hole", "0.875"], ["burr", "0.5"]])
        return LoggedEvaluation("test", {"auroc": 0.875}, [table], report)


class TestTensorBoard(LoggerContract):
    name = "tensorboard"

    def told_of(self, run: LoggedRun) -> dict[str, float]:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        shown = EventAccumulator(str(run.folder.path / "tensorboard")).Reload()
        table = shown.Tensors("test/by_class/text_summary")[0].tensor_proto.string_val[0].decode()
        assert "| burr | 0.5 |" in table and shown.Tensors("test/report/text_summary")
        return {"auroc": shown.Scalars("test/auroc")[0].value}

    def curves(self, run: LoggedRun) -> Curves:
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

        curves: Curves = {}
        for path in sorted((run.folder.path / "tensorboard").iterdir()):  # raw: an accumulator hides what is doubled
            for event in EventFileLoader(str(path)).Load():
                for value in event.summary.value:
                    if value.metadata.plugin_data.plugin_name == "scalars":
                        curves.setdefault(value.tag, []).append((event.step, value.tensor.float_val[0]))
        return curves

    def identities(self, run: LoggedRun) -> set[str]:
        return {path.name for path in (run.folder.path / "tensorboard").iterdir() if path.suffix != ".test"}

    def test_tensorboard_itself_shows_curves_times_and_settings(self, logged_run: MakeRun, row: MakeRow) -> None:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        run = logged_run(after=3)
        with open_loggers([self.name], run) as loggers:
            loggers.epoch_done(row(4), improved=False)
        shown = EventAccumulator(str(run.folder.path / "tensorboard")).Reload()
        assert [event.step for event in shown.Scalars("loss")] == [1, 2, 3, 4]
        times = [event.wall_time for event in shown.Scalars("loss")]
        assert times[2] - times[0] == pytest.approx(4)  # two epochs of two seconds, though written at once
        settings = shown.Tensors("settings/text_summary")[0].tensor_proto.string_val[0].decode()
        assert "lr: 0.0003" in settings


@pytest.mark.slow
class TestWandb(LoggerContract):
    name = "wandb"

    def curves(self, run: LoggedRun) -> Curves:
        curves: Curves = {}
        for record in _wandb_records(run, "history"):
            for name, value in record["item"].items():
                if not name.startswith("_"):
                    curves.setdefault(name, []).append((record["item"]["_step"], value))
        return curves

    def identities(self, run: LoggedRun) -> set[str]:
        told = {record["run_id"] for record in _wandb_records(run, "run")}
        assert told == {json.loads((run.folder.path / "wandb.json").read_text())["id"]}
        return told

    def told_of(self, run: LoggedRun) -> dict[str, float]:
        summaries = [told["update"] for told in _wandb_records(run, "summary")]
        (artifact,) = _wandb_records(run, "artifact")
        assert {entry["path"] for entry in artifact["manifest"]["contents"]} == {"report.html", "by_class.table.json"}
        (figures,) = [told for told in summaries if "test/auroc" in told]
        return {"auroc": figures["test/auroc"]}

    def test_config_and_summary_say_what_was_trained_and_how_well(self, logged_run: MakeRun, row: MakeRow) -> None:
        run = logged_run(after=2)
        with open_loggers([self.name], run) as loggers:
            loggers.epoch_done(row(3), improved=True)
            loggers.epoch_done(row(5), improved=False)
        started = _wandb_records(run, "run")[0]
        config = started["config"]["update"]
        assert started["display_name"] == "toy-001" and started["project"] == "weldcache"
        assert started["run_group"] == "my runs"
        assert config["train"]["lr"] == 3e-4 and config["counts"] == {"train_normals": 37}
        assert config["fingerprint"] == "f" * 64
        best = [told["update"]["best"] for told in _wandb_records(run, "summary") if "best" in told["update"]]
        assert [row["epoch"] for row in best] == [2, 3]  # as gone on with, then the new one
        assert best[-1]["val_auroc"] == pytest.approx(row(3)["val_auroc"])

    def test_what_a_kill_left_half_written_is_written_anew(self, logged_run: MakeRun, row: MakeRow) -> None:
        with open_loggers([self.name], run := logged_run()) as loggers:
            for epoch in range(1, 6):
                loggers.epoch_done(row(epoch), improved=False)
        (file,) = run.folder.path.glob("wandb/offline-run-*/*.wandb")
        os.truncate(file, file.stat().st_size // 2)
        with open_loggers([self.name], logged_run(after=4)) as loggers:
            loggers.epoch_done(row(5), improved=False)
        assert not file.exists()
        assert [step for step, _ in self.curves(run)["loss"]] == [1, 2, 3, 4, 5]

    def test_what_was_uploaded_is_not_told_again(self, logged_run: MakeRun, row: MakeRow) -> None:
        with open_loggers([self.name], run := logged_run(after=3)):
            pass
        (file,) = run.folder.path.glob("wandb/offline-run-*/*.wandb")
        file.with_name(f"{file.name}.synced").touch()  # as `wandb sync` leaves it
        with open_loggers([self.name], logged_run(after=3)) as loggers:
            loggers.epoch_done(row(4), improved=False)
        assert [step for step, _ in self.curves(run)["loss"]] == [1, 2, 3, 4]
        assert len(list(run.folder.path.glob("wandb/offline-run-*/*.wandb"))) == 2

    def test_without_a_key_it_is_offline_and_says_how_to_upload(
        self, logged_run: MakeRun, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with open_loggers([self.name], run := logged_run()):
            pass
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.splitlines() == [
            f"W&B is offline; `wandb sync {run.folder.path / 'wandb'}` uploads the run."
        ]

    def test_switched_off_by_the_environment_it_writes_nothing(
        self, logged_run: MakeRun, row: MakeRow, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("WANDB_MODE", "disabled")
        run = logged_run()
        with open_loggers([self.name], run) as loggers:
            loggers.epoch_done(row(1), improved=True)
        assert not (run.folder.path / "wandb").exists()

    @pytest.fixture(autouse=True)
    def fresh_session(self) -> Iterator[None]:
        """W&B reads the environment once a session."""
        import wandb

        wandb.teardown()
        yield
        wandb.teardown()


def _wandb_records(run: LoggedRun, kind: str) -> Sequence[dict[str, Any]]:
    paths = sorted(run.folder.path.glob("wandb/offline-run-*/*.wandb"))
    records = [record for path in paths for record in _inspected(path, size=path.stat().st_size)]
    return [record[kind] for record in records if record["type"] == kind]


@cache  # W&B's reader takes a second to start
def _inspected(path: Path, *, size: int) -> Sequence[dict[str, Any]]:
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(path)]
    shown = subprocess.run(command, capture_output=True, check=True, text=True)
    return [json.loads(line) for line in shown.stdout.splitlines()]


@pytest.mark.slow
class TestMlflow(LoggerContract):
    name = "mlflow"

    @pytest.fixture(autouse=True)
    def database(self, empty_database: Path, logged_run: MakeRun) -> None:
        """Making the database's tables takes seconds, so each test begins with a copy of empty ones."""
        place = logged_run().settings.runs.folder / "mlflow/mlflow.db"
        place.parent.mkdir()
        shutil.copy(empty_database, place)

    def curves(self, run: LoggedRun) -> Curves:
        client, (identity,) = _mlflow(run), self.identities(run)
        names = client.get_run(identity).data.metrics
        return {
            name: [(metric.step, metric.value) for metric in client.get_metric_history(identity, name)]
            for name in names
        }

    def identities(self, run: LoggedRun) -> set[str]:
        client = _mlflow(run)
        (experiment,) = client.search_experiments(filter_string="name = 'weldcache'")
        return {found.info.run_id for found in client.search_runs([experiment.experiment_id])}

    def told_of(self, run: LoggedRun) -> dict[str, float]:
        client, (identity,) = _mlflow(run), self.identities(run)
        assert {file.path for file in client.list_artifacts(identity, "test")} == {
            "test/report.html",
            "test/by_class.json",
        }
        found = client.get_run(identity)
        assert found.info.status == "FINISHED"
        return {"auroc": found.data.metrics["test_auroc"]}

    def test_params_tags_and_the_end_are_told(self, logged_run: MakeRun, row: MakeRow) -> None:
        run = logged_run()
        with pytest.raises(ZeroDivisionError), open_loggers([self.name], run) as loggers:
            loggers.epoch_done(row(1), improved=True)
            loggers.epoch_done(row(2), improved=False)
            raise ZeroDivisionError
        client, (identity,) = _mlflow(run), self.identities(run)
        found = client.get_run(identity)
        assert found.data.params["train.lr"] == "0.0003" and found.data.params["recipe.d_model"] == "512"
        assert found.data.tags["fingerprint"] == "f" * 64 and found.data.tags["name"] == "toy-001"
        assert found.data.tags["group"] == "my runs"
        assert found.data.metrics["best_epoch"] == 1
        assert found.data.metrics["best_val_auroc"] == pytest.approx(row(1)["val_auroc"])
        assert found.info.status == "KILLED"
        with open_loggers([self.name], logged_run(after=2)):
            assert client.get_run(identity).info.status == "RUNNING"
        assert client.get_run(identity).info.status == "FINISHED"

    def test_a_run_without_a_loss_is_stored_once(self, logged_run: MakeRun) -> None:
        fitted = {"epoch": 1, "val_accuracy": 0.75, "seconds": 2.0}
        for run in (logged_run(), replace(logged_run(), history=[fitted])):
            with open_loggers([self.name], run) as loggers:
                loggers.epoch_done(fitted, improved=True)
        curves = self.curves(run)
        assert curves["val_accuracy"] == [(1, 0.75)] and curves["best_epoch"] == [(1, 1.0)]

    def test_a_store_that_cannot_be_used_is_an_error_before_training(
        self, logged_run: MakeRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", str(tmp_path / "mlruns"))  # plain files, which MLflow has given up
        with (
            pytest.raises(SettingsError, match=r"mlflow cannot begin.*maintenance mode"),
            open_loggers([self.name], logged_run()),
        ):
            raise AssertionError("training has begun")

    def test_it_goes_where_the_environment_says(
        self, logged_run: MakeRun, row: MakeRow, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        from mlflow.tracking import MlflowClient

        shutil.move(logged_run().settings.runs.folder / "mlflow/mlflow.db", tmp_path / "elsewhere.db")
        elsewhere = f"sqlite:///{tmp_path / 'elsewhere.db'}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", elsewhere)
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "seams")
        run = logged_run()
        with open_loggers([self.name], run) as loggers:
            loggers.epoch_done(row(1), improved=True)
        assert not (run.settings.runs.folder / "mlflow/mlflow.db").exists()
        assert MlflowClient(elsewhere).get_experiment_by_name("seams") is not None


def _mlflow(run: LoggedRun) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(f"sqlite:///{run.settings.runs.folder / 'mlflow/mlflow.db'}")
