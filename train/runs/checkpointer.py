"""A training's state on its way to disk and back, and when: always so that a kill leaves a run that goes on.

Each file says by itself what it holds and of which run, and is refused where that does not fit. `best` is written
before `last`: a kill between the two leaves a best epoch that lies ahead of `last`; the epochs up to it are then
trained again, draw the same numbers and arrive at the same best. The other way round, the weights of the best epoch
would be gone.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import Tensor
from typing_extensions import TypedDict

from ...atomic import locked_folder, new_folder
from ...errors import OutputExistsError, TrainingError
from ...settings import Settings, to_yaml
from ..randomness import Purpose, derived_seed
from ..state import Best, StopReason, TrainingState
from .checkpoint import (
    AVERAGED,
    RAW,
    Checkpoint,
    load_module,
    module_tensors,
    origin_of,
    read_run_checkpoint,
    tensors_below,
    write_checkpoint,
)
from .documents import Count, Figure, Figures, shareable, typed
from .folder import RunFolder
from .log import append_row, cut_back, read_log
from .names import named_run, next_name

_OPTIMIZER = "optimizer"
_SEEDS = "seeds_of_next_epoch"


class _BestRecord(TypedDict):
    epoch: Count
    value: float | None
    metrics: Figures


class _LastRecord(TypedDict):
    epoch: Count
    step: Count
    scaler: dict[str, Figure]


class Checkpointer:
    """Writes a run's checkpoints at most every `seconds`, and all that is pending at the end."""

    def __init__(self, run: RunFolder, *, seconds: float) -> None:
        self._run = run
        self._origin = origin_of(run)
        self._seed = run.settings().train.seed
        self._seconds = seconds
        self._pending_best: Mapping[str, Tensor] | None = None
        self._last_write: float | None = None

    def epoch_done(self, state: TrainingState, *, improved: bool) -> None:
        """Keep the weights of a new best epoch in memory; write if it is time."""
        if improved:
            self._pending_best = weights_of(state)
        if self._last_write is None or time.monotonic() - self._last_write >= self._seconds:
            self.write(state)

    def write(self, state: TrainingState, *, stopped: StopReason | None = None) -> None:
        """Write what is pending; with `stopped`, the reason, the run is marked as finished at the very end."""
        if self._pending_best is not None and state.best is not None:
            self._write(self._run.best_path, best_checkpoint(state.best, self._pending_best))
            self._pending_best = None
        last = resumable_checkpoint(state)
        seeds = _seeds_of_next_epoch(self._seed, epoch=state.epoch)
        self._write(self._run.last_path, replace(last, record={**last.record, _SEEDS: seeds}))
        log = read_log(self._run.metrics_path)
        self._run.write(
            self._run.state_path,
            {
                "finished": stopped is not None,
                "stopped": stopped,
                "epoch": state.epoch,
                "step": state.step,
                "best": dict(state.best.metrics) if state.best is not None else None,
                "log": log.checksums[state.epoch - 1],
            },
        )
        self._last_write = time.monotonic()

    def _write(self, path: Path, checkpoint: Checkpoint) -> None:
        write_checkpoint(path, replace(checkpoint, origin=self._origin))


def resume(state: TrainingState, *, run: RunFolder) -> None:
    """Bring a new state to the run's last checkpoint, and cut the log back to it; without one, start anew.

    Raises:
        FingerprintError: if the checkpoint is of other settings, features or samples than the run's folder tells.
        TrainingError: if the checkpoint is damaged or does not fit the model, or the log has lost an epoch.
    """
    path = run.last_path
    if path.is_file():
        last = read_run_checkpoint(path, run=run)
        restore(state, last, path=path)
        if last.record.get(_SEEDS) != _seeds_of_next_epoch(run.settings().train.seed, epoch=state.epoch):
            raise TrainingError(
                f"{path} is of a version that draws other random numbers; train again with --overwrite."
            )
        if run.best_path.is_file():
            state.best = best_of(read_run_checkpoint(run.best_path, run=run), path=run.best_path)
    else:
        run.state_path.unlink(missing_ok=True)  # it speaks of epochs that are trained again
    cut_back(run.metrics_path, epoch=state.epoch)


def _seeds_of_next_epoch(seed: int, *, epoch: int) -> dict[str, int]:
    """Where the random number generators of the epoch after `epoch` start, by purpose."""
    lasting = [purpose for purpose in Purpose if purpose is not Purpose.WEIGHTS]
    return {purpose.name.lower(): derived_seed(seed, purpose, epoch=epoch + 1) for purpose in lasting}


def weights_of(state: TrainingState) -> dict[str, Tensor]:
    """A copy of the raw and the averaged weights."""
    return module_tensors(state.model, prefix=RAW) | module_tensors(state.averaged, prefix=AVERAGED)


def best_checkpoint(best: Best, weights: Mapping[str, Tensor]) -> Checkpoint:
    """The best epoch's weights; the record says which epoch that was, so the file needs no other beside it."""
    return Checkpoint(weights, asdict(best))


def best_of(checkpoint: Checkpoint, *, path: Path) -> Best:
    """The record of `best_checkpoint`; `path` is for messages.

    Raises:
        TrainingError: if the checkpoint is not one of a best epoch.
    """
    record = typed(checkpoint.record, _BestRecord, path=path)
    return Best(record["epoch"], record["value"], record["metrics"])


def write_finished(
    run: RunFolder,
    *,
    numbered: bool,
    settings: Settings,
    manifest: Mapping[str, Any],
    best: Checkpoint,
    stopped: str,
) -> RunFolder:
    """Make a run that has no epochs to interrupt: it appears finished or not at all, in the place of the one there.

    A `numbered` one takes the next number where another process has taken this one meanwhile.

    Raises:
        OutputExistsError: if another process has taken the name.
    """
    metrics = typed(best.record, _BestRecord, path=run.best_path)["metrics"]
    state = {"finished": True, "stopped": stopped, "epoch": 1, "step": 0, "best": metrics}
    if run.exists:
        with suppress(FileNotFoundError), locked_folder(run.path):
            run.remove()
    while True:
        try:
            with new_folder(run.path) as folder:
                made = RunFolder(folder)
                made.begin(config=to_yaml(shareable(settings)), manifest=manifest)
                append_row(made.metrics_path, metrics)
                write_checkpoint(made.best_path, replace(best, origin=origin_of(made) | {"run": run.name}))
                made.write(made.state_path, state | {"log": read_log(made.metrics_path).checksums[0]})
            return run
        except OutputExistsError:
            if not numbered:
                raise
            run = named_run(settings.runs.folder, next_name(settings.runs.folder, manifest["recipe"]))


def resumable_checkpoint(state: TrainingState) -> Checkpoint:
    """All of a state but its best epoch, which has a file of its own."""
    tensors = weights_of(state)
    for name, parameter in state.model.named_parameters():
        for moment, value in state.optimizer.state.get(parameter, {}).items():
            tensors[f"{_OPTIMIZER}/{moment}/{name}"] = value
    return Checkpoint(tensors, {"epoch": state.epoch, "step": state.step, "scaler": state.scaler.state_dict()})


def restore(state: TrainingState, checkpoint: Checkpoint, *, path: Path) -> None:
    """Bring a new state to where `resumable_checkpoint` was taken; `path` is for messages.

    Raises:
        TrainingError: if the checkpoint does not fit the model, or is not one to go on from.
    """
    record = typed(checkpoint.record, _LastRecord, path=path)
    load_module(state.model, checkpoint, prefix=RAW, path=path)
    load_module(state.averaged, checkpoint, prefix=AVERAGED, path=path)
    parameters = dict(state.model.named_parameters())
    for key, value in tensors_below(checkpoint, _OPTIMIZER).items():
        moment, _, name = key.partition("/")
        if name not in parameters:
            raise TrainingError(f"{path} holds optimiser state of {name}, which the model lacks; train again.")
        state.optimizer.state[parameters[name]][moment] = value.to(parameters[name].device)
    state.scaler.load_state_dict(record["scaler"])
    state.epoch, state.step = record["epoch"], record["step"]
