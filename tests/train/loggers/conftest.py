"""A run as its loggers meet it, without a training behind it; nothing here may reach a network."""

import contextlib
import math
import os
import socket
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from weldcache.settings import Settings
from weldcache.train.loggers.logger import LoggedRun
from weldcache.train.runs.folder import RunFolder
from weldcache.train.runs.log import MetricRow

MONITOR = "val_auroc"


@pytest.fixture
def row() -> Callable[..., MetricRow]:
    """The row of an epoch, by default with decreasing loss; the fourth epoch has no AUROC."""

    def make(epoch: int, **values: float) -> MetricRow:
        auroc = None if epoch == 4 else 0.5 + 0.4 * math.sin(epoch / 4)
        return {"epoch": epoch, "loss": 1 / epoch, "val_auroc": auroc, "lr": 1e-3, "seconds": 2.0, **values}

    return make


@pytest.fixture
def logged_run(tmp_path: Path, row: Callable[..., MetricRow]) -> Callable[..., LoggedRun]:
    """The run `toy-001`, gone on with after so many epochs. Its folder has a space in its name."""
    folder = RunFolder(tmp_path / "my runs/toy-001")
    folder.path.mkdir(parents=True)
    settings = Settings.model_validate({"runs": {"folder": folder.path.parent}, "train": {"lr": 3e-4}})
    manifest = {"recipe": "toy", "fingerprint": "f" * 64, "counts": {"train_normals": 37}, "samples": {"train": ["a"]}}

    def make(*, after: int = 0) -> LoggedRun:
        history = [row(epoch) for epoch in range(1, after + 1)]
        best = max(history, key=lambda row: row[MONITOR] or 0, default=None)
        return LoggedRun(folder=folder, settings=settings, manifest=manifest, history=history, best=best)

    return make


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """Every connection that this process, or W&B's own process beside it, tries to make."""
    tried: list[object] = []
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: object) -> None:
        if self.family == socket.AF_UNIX:
            return connect(self, address)
        tried.append(address)
        raise OSError("this test has no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "WANDB_BASE_URL"):
            monkeypatch.setenv(name, address)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield tried
        with contextlib.suppress(BlockingIOError):
            tried.append(listener.accept()[1])
    assert tried == []


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Neither the tester's accounts, nor what a logger sets for its library outlasts a test."""
    for name in [name for name in os.environ if name.startswith(("WANDB_", "MLFLOW_")) and name != "WANDB_BASE_URL"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database before its first run."""
    from mlflow.tracking import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "empty.db"
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        # Once a process, when MLflow 3.17 sets its tables up with SQLAlchemy 2.1.
        warnings.filterwarnings("ignore", message="The ``noload`` loader strategy is deprecated")
        MlflowClient(f"sqlite:///{path}")
    return path
