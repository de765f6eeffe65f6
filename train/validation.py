"""Validation of a model: the loss, what the task measures, and signs of collapse."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from .collapse import spread
from .data.batches import BatchSource
from .encoding import encode_all
from .precision import Precision
from .recipes.recipe import Recipe, Trained
from .tasks import LOSS, Targets, Task
from .types import Encodings


@dataclass(frozen=True)
class ValidationResult:
    """What one model does on the validation samples.

    Attributes:
        figures: the task's monitors, by name. `val_loss` is training's loss without augmentation, mean over those rows
            that training would take; a fitted recipe has none. None where the rows say nothing of a figure.
        spread: of what is watched of those rows, by `<name>_<figure>`, see `collapse`.
    """

    figures: Mapping[str, float | None]
    spread: Mapping[str, float]


Validate = Callable[[nn.Module], ValidationResult]
"""Judges a model in evaluation mode."""


class Validator:
    """Holds the validation samples; call it with a model in evaluation mode, from which the sets `without` are hidden.

    Samples have a fixed order, so equal models give equal results to the last bit. They go through the model once, and
    the host waits for the device once.
    """

    def __init__(
        self,
        recipe: Recipe,
        samples: BatchSource,
        *,
        task: Task,
        targets: Targets,
        batch_size: int,
        precision: Precision,
        without: Collection[str] = (),
    ) -> None:
        assert all(len(target) == len(samples) for target in targets.values())
        self._recipe = recipe
        self._samples = samples
        self._task = task
        self._targets = targets
        self._such_as_trained_on = torch.from_numpy(np.flatnonzero(task.training_rows(targets))).to(samples.device)
        self._batch_size = batch_size
        self._precision = precision
        self._without = without

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> ValidationResult:
        """Judge `model`; every sample is fetched once."""
        encodings, targets = encode_all(
            self._recipe,
            model,
            self._samples,
            batch_size=self._batch_size,
            precision=self._precision,
            without=self._without,
        )
        figures: dict[str, float | None] = {}
        watched: Mapping[str, Tensor] = {}
        if isinstance(self._recipe, Trained):
            losses, watched = self._losses(self._recipe, model, encodings, targets)
            figures[LOSS] = float(losses.cpu().double().mean())
        figures |= self._task.validate(self._recipe.predict(model, encodings), self._targets)
        spreads = {
            f"{name}_{figure}": value for name, rows in watched.items() for figure, value in spread(rows).items()
        }
        return ValidationResult(figures, spreads)

    def _losses(
        self, recipe: Trained, model: nn.Module, encodings: Encodings, targets: Mapping[str, Tensor]
    ) -> tuple[Float[Tensor, " rows"], Mapping[str, Float[Tensor, "_ dim"]]]:
        """Of each row such as training takes the loss of its batch, and what is watched, on the host, of those that
        have it.

        Batches are as large as those of training: some losses compare rows.
        """
        parts = [
            recipe.loss(model, _selected(encodings, rows), _selected(targets, rows))
            for rows in torch.split(self._such_as_trained_on, self._batch_size)
        ]
        sizes = [len(rows) for rows in torch.split(self._such_as_trained_on, self._batch_size)]
        losses = [part.total.expand(size) for part, size in zip(parts, sizes, strict=True)]
        watched = {name: torch.cat([part.watched[name] for part in parts]).float().cpu() for name in parts[0].watched}
        there = {name: rows[~rows.isnan().any(dim=1)] for name, rows in watched.items()}
        return torch.cat(losses), {name: rows for name, rows in there.items() if len(rows)}


def _selected(tensors: Mapping[str, Tensor], rows: Int64[Tensor, " _"]) -> dict[str, Tensor]:
    return {name: tensor.index_select(0, rows) for name, tensor in tensors.items()}
