"""Validation of a model: the loss, what the task measures, and signs that a representation collapses."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from .data.batches import BatchSource
from .recipes.recipe import Measured, Recipe
from .scoring import encode_all, passes
from .settings import Precision
from .tasks import LOSS, Targets, Task
from .types import Batch, Encodings


@dataclass(frozen=True)
class ValidationResult:
    """What one model does on the validation samples.

    Attributes:
        figures: the task's monitors, by name. `val_loss` is training's loss without augmentation, mean over those rows
            that training would take; a recipe without a loss has none. None where the rows say nothing of a figure.
        spread: of what is watched of those rows, by `<name>_<figure>`, see `spread`.
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
        return self.judge(model, encodings, targets)

    def passes(self) -> Iterator[Batch]:
        """All samples as a model is to see them, in their order."""
        for batch in passes(self._samples, batch_size=self._batch_size):
            yield batch.without(self._without)

    @torch.no_grad()
    def judge(self, model: nn.Module, encodings: Encodings, targets: Mapping[str, Tensor]) -> ValidationResult:
        """Judge `model` by what it makes of all samples, in their order."""
        figures: dict[str, float | None] = {}
        watched: Mapping[str, Tensor] = {}
        if isinstance(self._recipe, Measured):
            losses, watched = self._losses(self._recipe, model, encodings, targets)
            figures[LOSS] = float(losses.cpu().double().mean())
        figures |= self._task.validate(self._recipe.predict(model, encodings), self._targets)
        spreads = {
            f"{name}_{figure}": value for name, rows in watched.items() for figure, value in spread(rows).items()
        }
        return ValidationResult(figures, spreads)

    def _losses(
        self, recipe: Measured, model: nn.Module, encodings: Encodings, targets: Mapping[str, Tensor]
    ) -> tuple[Float[Tensor, " rows"], Mapping[str, Float[Tensor, "_ dim"]]]:
        """The loss of its batch for each row that training would take; and what is watched of these rows, on the host,
        without rows that have none of it.

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


def effective_rank(embeddings: Float[Tensor, "rows dim"]) -> float:
    """Exponential of the entropy of the normalised singular values, after centring; 0 where all rows are equal.

    From 1 (all on one line) to min(rows - 1, dim) (spread alike in every direction).
    Source: Roy and Vetterli 2007, The effective rank, EUSIPCO, definition 1.
    """
    rows = embeddings.double()
    values = torch.linalg.svdvals(rows - rows.mean(dim=0))
    # Differences below the rounding of the embeddings themselves are no directions.
    rounding = torch.finfo(embeddings.dtype).eps * max(rows.shape) * torch.linalg.vector_norm(rows)
    values = values[values > rounding]
    if not len(values):
        return 0.0
    shares = values / values.sum()
    return float(torch.exp(-(shares * shares.log()).sum()))


def spread(embeddings: Float[Tensor, "rows dim"]) -> dict[str, float]:
    """Effective rank, and mean, least and largest of the dimensions' standard deviations over rows (population form).

    All are 0 where all rows are equal.
    """
    deviations = embeddings.double().std(dim=0, correction=0)
    return {
        "effective_rank": effective_rank(embeddings),
        "std": float(deviations.mean()),
        "std_min": float(deviations.min()),
        "std_max": float(deviations.max()),
    }
