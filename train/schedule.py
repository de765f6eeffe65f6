"""Learning rate: linear warm-up, then half a cosine, as a pure function of the step."""

import math
from dataclasses import dataclass

from .data.batches import num_shuffled_batches
from .settings import TrainSettings


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Rates at the start of the warm-up, at its end and at the last step; lengths in steps."""

    warmup_lr: float
    lr: float
    min_lr: float
    warmup_steps: int
    total_steps: int

    def at(self, step: int) -> float:
        """Learning rate of `step`, from 0: `warmup_lr` at step 0, `lr` at step `warmup_steps`, `min_lr` at the last.

        Where the warm-up is as long as the run, the run ends before the peak is reached.
        """
        if step < self.warmup_steps:
            return self.warmup_lr + (self.lr - self.warmup_lr) * step / self.warmup_steps
        cosine_steps = max(self.total_steps - 1 - self.warmup_steps, 1)
        done = min((step - self.warmup_steps) / cosine_steps, 1.0)
        return self.min_lr + 0.5 * (self.lr - self.min_lr) * (1 + math.cos(math.pi * done))


def schedule_for(settings: TrainSettings, *, num_samples: int) -> Schedule:
    """The settings' epochs in steps."""
    steps_per_epoch = num_shuffled_batches(num_samples, batch_size=settings.batch_size)
    return Schedule(
        warmup_lr=settings.warmup_lr,
        lr=settings.lr,
        min_lr=settings.min_lr,
        warmup_steps=settings.warmup_epochs * steps_per_epoch,
        total_steps=settings.epochs * steps_per_epoch,
    )
