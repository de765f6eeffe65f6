"""Weights & Biases: online with a key, else offline in the run's folder; the same run again after an interruption."""

import json
import re
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import wandb

from ...atomic import write_json
from ...errors import SettingsError
from ...progress import say
from ..runs.documents import shareable
from ..runs.log import MetricRow
from .logger import LoggedEvaluation, LoggedRun, epoch_of, values_of

FOLDER = "wandb"  # W&B's own name for it, in the folder that it is given
MEMORY = "wandb.json"


class WandbLogger:
    """Metrics by epoch, the best epoch in the summary. `logged` is the last epoch that W&B has already."""

    def __init__(self, run: wandb.Run, *, logged: int) -> None:
        self._run = run
        self._logged = logged

    def epoch_done(self, metrics: MetricRow, *, improved: bool) -> None:
        """Hand a row to W&B's own process.

        An epoch that W&B has had before an interruption keeps its first values, as W&B takes nothing back.
        """
        if improved:
            self._run.summary["best"] = dict(metrics)
        if epoch_of(metrics) > self._logged:
            self._run.log(values_of(metrics), step=epoch_of(metrics), commit=True)

    def close(self, *, finished: bool) -> None:
        """Wait until everything is written, and online uploaded, though not for ever."""
        self._run.finish(exit_code=0 if finished else 1)


def open_logger(run: LoggedRun) -> WandbLogger:
    """Start or go on with the W&B run whose id is kept in `<run>/wandb.json`.

    `WANDB_MODE` decides between online and offline. Without it, W&B is online where it finds a key and its server,
    and offline otherwise; it never asks for a key.

    Raises:
        SettingsError: if W&B refuses the key.
    """
    started = _started(run)
    logged = started.starting_step - 1
    if started.offline:
        say(f"W&B is offline; `wandb sync {run.folder.path / FOLDER}` uploads the run.")
        logged = _keep_what_was_uploaded(run, started)
    elif started.url:
        say(f"W&B: {started.url}")
    if run.best is not None:
        started.summary["best"] = dict(run.best)
    logger = WandbLogger(started, logged=logged)
    for row in run.history:
        logger.epoch_done(row, improved=False)
    return logger


def add_evaluation(run: LoggedRun, found: LoggedEvaluation) -> None:
    """Figures in the run's summary; the report and the tables as an artifact."""
    started = _started(run)
    for name, value in found.figures.items():
        started.summary[f"{found.split}/{name}"] = value
    artifact = wandb.Artifact(re.sub(r"[^\w.-]", "-", f"{run.folder.name}-{found.split}"), type="evaluation")
    artifact.add_file(str(found.report))
    for table in found.tables:
        rows: list[Iterable[Any]] = [list(cells) for cells in table.cells]
        artifact.add(wandb.Table(columns=list(table.headings), data=rows), table.name)
    started.log_artifact(artifact)
    started.finish()


def _started(run: LoggedRun) -> wandb.Run:
    """The run whose id is kept, or a new one, whose id is kept from now on; raises SettingsError as `open_logger`."""
    memory = run.folder.path / MEMORY
    known = json.loads(memory.read_text(encoding="utf-8"))["id"] if memory.is_file() else None
    started = _start(run, identity=known or uuid.uuid4().hex[:12])
    write_json(memory, {"id": started.id})
    return started


def _start(run: LoggedRun, *, identity: str) -> wandb.Run:
    before, offline = _segments(run, identity), False
    try:
        if wandb.setup().settings.mode == "online":
            offline = not wandb.login(prompt=False, verify=False)
        return _init(run, identity=identity, offline=offline)
    except wandb.errors.AuthenticationError as error:
        raise SettingsError(f"W&B: {error} Log in with `wandb login`, or set WANDB_MODE=offline.") from None
    except wandb.errors.CommError as error:
        say(f"W&B cannot be reached: {error}")
        wandb.teardown()  # its process holds on to the run's id
        for path in _segments(run, identity) - before:
            shutil.rmtree(path)
        return _init(run, identity=identity, offline=True)


def _init(run: LoggedRun, *, identity: str, offline: bool) -> wandb.Run:
    about = {name: run.manifest[name] for name in ("recipe", "fingerprint", "counts")}
    return wandb.init(
        id=identity,
        name=run.folder.name,
        group=run.group,
        resume="allow",
        reinit="create_new",
        dir=run.folder.path,
        mode="offline" if offline else None,
        config=shareable(run.settings).model_dump(mode="json") | about,
    )


def _keep_what_was_uploaded(run: LoggedRun, started: wandb.Run) -> int:
    """The last epoch that a server has; what an interrupted command left here alone is deleted, to be written anew.

    A killed process leaves W&B's file without its last epochs, and nothing that is cheap to read says which those are.
    """
    earlier = _segments(run, started.id) - {Path(started.dir).parent}
    if any(path.name.startswith("run-") or list(path.glob("*.synced")) for path in earlier):
        return len(run.history)
    for path in earlier:
        shutil.rmtree(path)
    return 0


def _segments(run: LoggedRun, identity: str) -> set[Path]:
    """A folder for each command that worked on the run: `run-...` online, `offline-run-...` otherwise."""
    return set((run.folder.path / FOLDER).glob(f"*run-*-{identity}"))
