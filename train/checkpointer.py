"""When checkpoints are written: not at every epoch, and always so that a kill in between leaves a run that goes on.

Each file says by itself what it holds. `best` is written before `last`: a kill between the two leaves a best epoch that
lies ahead of `last`; the epochs up to it are then trained again, draw the same numbers and arrive at the same best.
The other way round, the weights of the best epoch would be gone.
"""

import time
from collections.abc import Mapping

from torch import Tensor

from ..atomic import write_json
from .checkpoint import read_checkpoint, write_checkpoint
from .loop import StopReason
from .metrics_log import cut_back
from .run_folder import RunFolder
from .state import TrainingState, best_checkpoint, best_of, restore, resumable_checkpoint, weights_of


class Checkpointer:
    """Writes a run's checkpoints at most every `seconds`, and all that is pending at the end."""

    def __init__(self, run: RunFolder, *, seconds: float) -> None:
        self._run = run
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
            write_checkpoint(self._run.best_path, best_checkpoint(state.best, self._pending_best))
            self._pending_best = None
        write_checkpoint(self._run.last_path, resumable_checkpoint(state))
        write_json(
            self._run.state_path,
            {
                "finished": stopped is not None,
                "stopped": stopped,
                "epoch": state.epoch,
                "step": state.step,
                "best": dict(state.best.metrics) if state.best is not None else None,
            },
        )
        self._last_write = time.monotonic()


def resume(state: TrainingState, *, run: RunFolder) -> None:
    """Bring a new state to the run's last checkpoint, and cut the log back to it; without one, start anew.

    Raises:
        TrainingError: if the checkpoint is damaged or does not fit the model, or the log has lost an epoch.
    """
    if run.last_path.is_file():
        restore(state, read_checkpoint(run.last_path), path=run.last_path)
        if run.best_path.is_file():
            state.best = best_of(read_checkpoint(run.best_path))
    cut_back(run.metrics_path, epoch=state.epoch)
