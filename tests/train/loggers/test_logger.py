"""Loggers as a group: missing ones are named before training, failing ones never end it, all are closed."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from weldcache.errors import SettingsError
from weldcache.train.loggers import logger as opening
from weldcache.train.loggers.logger import LoggedRun, Loggers, open_loggers, require_loggers
from weldcache.train.runs.folder import RunFolder
from weldcache.train.runs.log import MetricRow

MakeRun = Callable[..., LoggedRun]
MakeRow = Callable[..., MetricRow]


class Recorder:
    """A logger that remembers what it was told, and fails when it is asked to."""

    def __init__(self, *, fails_at: int | None = None) -> None:
        self.fails_at = fails_at
        self.told: list[object] = []

    def epoch_done(self, metrics: MetricRow, *, improved: bool) -> None:
        if metrics["epoch"] == self.fails_at:
            raise OSError("disk full")
        self.told.append(metrics["epoch"])

    def close(self, *, finished: bool) -> None:
        self.told.append("finished" if finished else "stopped")
        if self.fails_at == 0:
            raise OSError("network down")


@pytest.fixture
def recorders(monkeypatch: pytest.MonkeyPatch) -> dict[str, Recorder]:
    """What is opened under each name."""
    recorders = {"tensorboard": Recorder(), "mlflow": Recorder()}
    imported = {f"{opening.__package__}.{name}_logger": recorder for name, recorder in recorders.items()}
    opens = {name: SimpleNamespace(open_logger=lambda run, logger=logger: logger) for name, logger in imported.items()}
    monkeypatch.setattr(opening, "import_module", opens.__getitem__)
    return recorders


@pytest.mark.parametrize(
    ("name", "library"), [("tensorboard", "tensorboard"), ("wandb", "wandb"), ("mlflow", "sqlalchemy")]
)
def test_a_missing_library_is_named_with_its_remedy(name: str, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = opening.find_spec
    monkeypatch.setattr(opening, "find_spec", lambda asked: None if asked == library else found(asked))
    with pytest.raises(SettingsError, match=rf"{library} cannot be found.*pip install -e '\.\[{name}\]'"):
        require_loggers(["mlflow", "tensorboard", "wandb"])


@pytest.mark.parametrize(
    ("folder", "group"), [("runs/first", None), ("runs/gate/a-seed0", "gate"), ("others/one", "others")]
)
def test_runs_of_a_list_are_a_group(logged_run: MakeRun, tmp_path: Path, folder: str, group: str | None) -> None:
    assert replace(logged_run(), folder=RunFolder(tmp_path / folder)).group == group


def test_no_loggers_need_no_library(logged_run: MakeRun, row: MakeRow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "find_spec", lambda asked: None)
    before = dict(os.environ)
    with open_loggers([], logged_run()) as loggers:
        loggers.epoch_done(row(1), improved=True)
    assert dict(os.environ) == before
    assert list(logged_run().folder.path.iterdir()) == []


@pytest.mark.slow
def test_the_package_imports_no_logging_library_unless_asked() -> None:
    code = (
        "import sys, weldcache.train.loggers.logger, weldcache.train.display\n"
        "asked = {'tensorboard', 'wandb', 'mlflow', 'sqlalchemy'} & set(sys.modules)\n"
        "assert not asked, asked"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_one_that_fails_says_so_once_and_the_others_go_on(
    recorders: dict[str, Recorder], logged_run: MakeRun, row: MakeRow, capsys: pytest.CaptureFixture[str]
) -> None:
    recorders["tensorboard"].fails_at = 2
    with open_loggers(list(recorders), logged_run()) as loggers:
        for epoch in range(1, 5):
            loggers.epoch_done(row(epoch), improved=True)
    assert recorders["tensorboard"].told == [1]
    assert recorders["mlflow"].told == [1, 2, 3, 4, "finished"]
    assert capsys.readouterr().err == (
        "Logging to tensorboard failed and is left out from here on (disk full). metrics.jsonl has every epoch.\n"
    )


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_all_are_closed_when_training_fails_and_its_error_is_the_one_seen(
    recorders: dict[str, Recorder], logged_run: MakeRun, row: MakeRow, error: type[BaseException]
) -> None:
    recorders["tensorboard"].fails_at = 0
    with pytest.raises(error), open_loggers(list(recorders), logged_run()) as loggers:
        loggers.epoch_done(row(1), improved=True)
        raise error
    assert [recorder.told for recorder in recorders.values()] == [[1, "stopped"], [1, "stopped"]]


def test_if_one_cannot_be_opened_the_others_are_closed(logged_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Recorder()

    def fail(run: LoggedRun) -> Recorder:
        raise RuntimeError("no room")

    def imported(name: str) -> SimpleNamespace:
        return SimpleNamespace(open_logger=fail if "wandb" in name else lambda run: first)

    monkeypatch.setattr(opening, "import_module", imported)
    with pytest.raises(SettingsError, match=r"Logging to wandb cannot begin: no room\."):
        open_loggers(["tensorboard", "wandb"], logged_run()).__enter__()
    assert first.told == ["stopped"]


def test_loggers_alone_are_a_logger(row: MakeRow) -> None:
    both = Loggers()
    one, other = Recorder(), Recorder()
    both.add("tensorboard", one)
    both.add("wandb", other)
    both.epoch_done(row(1), improved=False)
    both.close(finished=True)
    assert one.told == other.told == [1, "finished"]


_CHILD = """
import json, os, socket, sys
from dataclasses import replace
from pathlib import Path
tried = []
socket.getaddrinfo = lambda *where, **how: tried.append(where[0]) or (_ for _ in ()).throw(OSError("no network"))
connect = socket.socket.connect
def refuse(self, address):
    if self.family == socket.AF_UNIX:
        return connect(self, address)
    tried.append(address)
    raise OSError("no network")
socket.socket.connect = refuse
from weldcache.settings import Settings
from weldcache.train.loggers.logger import LoggedRun
from weldcache.train.loggers.logger import open_loggers
from weldcache.train.runs.folder import RunFolder
path = Path(sys.argv[1])
manifest = {"recipe": "toy", "fingerprint": "f", "counts": {}}
settings = Settings.model_validate({"runs": {"folder": path.parent}})
run = LoggedRun(folder=RunFolder(path), settings=settings, manifest=manifest, history=[], best=None)
with open_loggers(["tensorboard", "wandb", "mlflow"], run) as loggers:
    for epoch in range(1, 4):
        loggers.epoch_done({"epoch": epoch, "loss": 1.0, "val_auroc": 0.5, "seconds": 1.0}, improved=epoch == 1)
import mlflow.telemetry
print(json.dumps({"tried": tried, "telemetry": mlflow.telemetry.get_telemetry_client() is not None}))
"""


@pytest.mark.slow
def test_outside_of_tests_too_nothing_is_sent_anywhere(
    logged_run: MakeRun, empty_database: Path, tmp_path: Path
) -> None:
    """MLflow and W&B report on their use by default, but not where they see a test or CI: here they see neither."""
    run = logged_run()
    place = run.settings.runs.folder / "mlflow/mlflow.db"
    place.parent.mkdir()
    shutil.copy(empty_database, place)
    seen = ("CI", "PYTEST", "GITHUB", "GITLAB", "JENKINS", "BUILD", "TF_BUILD", "TRAVIS", "CIRCLE", "RUNBOT", "MLFLOW")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(seen)}
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(run.folder.path)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"tried": [], "telemetry": False}
    assert {"tensorboard", "wandb", "wandb.json", "mlflow.json"} <= {path.name for path in run.folder.path.iterdir()}
    assert len(done.stderr.splitlines()) == 2, done.stderr  # where W&B and MLflow are, and nothing else


@pytest.mark.slow
def test_with_a_key_but_without_its_server_wandb_goes_offline(
    logged_run: MakeRun,
    row: MakeRow,
    no_network: list[object],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import wandb

    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "2")
    wandb.teardown()
    try:
        with open_loggers(["wandb"], run := logged_run()) as loggers:
            loggers.epoch_done(row(1), improved=True)
    finally:
        wandb.teardown()
    said = capsys.readouterr().err
    assert "W&B cannot be reached" in said and "W&B is offline; `wandb sync" in said
    (segment,) = run.folder.path.glob("wandb/*run-*")
    assert segment.name.startswith("offline-run-")
    no_network.clear()
