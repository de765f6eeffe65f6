"""Learning rate: linear warm-up, then half a cosine, as a pure function of the step."""

import math
from dataclasses import dataclass


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
