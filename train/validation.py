"""Validation of a model: loss on normals, AUROC where there are defects, and signs of collapse."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from ..metrics.auroc import auroc
from .collapse import spread
from .data.batches import BatchSource
from .encoding import encode_all
from .precision import Precision
from .recipes.recipe import Trained
from .types import Encodings


@dataclass(frozen=True)
class ValidationResult:
    """What one model does on the validation samples.

    Attributes:
        loss: training's loss without augmentation, mean over normals.
        auroc: None where validation lacks a class.
        spread: of what is watched of the normals, by `<name>_<figure>`, see `collapse`.
    """

    loss: float
    auroc: float | None
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
        recipe: Trained,
        samples: BatchSource,
        *,
        labels: UInt8[np.ndarray, " samples"],
        batch_size: int,
        precision: Precision,
        without: Collection[str] = (),
    ) -> None:
        assert len(labels) == len(samples)
        self._recipe = recipe
        self._samples = samples
        self._labels = labels
        self._normals = torch.from_numpy(np.flatnonzero(labels == 0)).to(samples.device)
        self._has_both_labels = len(np.unique(labels)) == 2
        self._batch_size = batch_size
        self._precision = precision
        self._without = without

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> ValidationResult:
        """Judge `model`; every sample is fetched once."""
        recipe = self._recipe
        encodings, targets = encode_all(
            recipe,
            model,
            self._samples,
            batch_size=self._batch_size,
            precision=self._precision,
            without=self._without,
        )
        losses, watched = self._losses(model, encodings, targets)
        scores = recipe.predict(model, encodings).score.float().cpu().numpy() if self._has_both_labels else None
        return ValidationResult(
            loss=float(losses.cpu().double().mean()),
            auroc=None if scores is None else auroc(scores, self._labels),
            spread={
                f"{name}_{figure}": value for name, rows in watched.items() for figure, value in spread(rows).items()
            },
        )

    def _losses(
        self, model: nn.Module, encodings: Encodings, targets: Mapping[str, Tensor]
    ) -> tuple[Float[Tensor, " normals"], Mapping[str, Float[Tensor, "rows dim"]]]:
        """Of each normal the loss of its batch, and what is watched, on the host, of those that have it.

        Batches are as large as those of training: some losses compare rows.
        """
        parts = [
            self._recipe.loss(model, _selected(encodings, rows), _selected(targets, rows))
            for rows in torch.split(self._normals, self._batch_size)
        ]
        sizes = [len(rows) for rows in torch.split(self._normals, self._batch_size)]
        losses = [part.total.expand(size) for part, size in zip(parts, sizes, strict=True)]
        watched = {name: torch.cat([part.watched[name] for part in parts]).float().cpu() for name in parts[0].watched}
        there = {name: rows[~rows.isnan().any(dim=1)] for name, rows in watched.items()}
        return torch.cat(losses), {name: rows for name, rows in there.items() if len(rows)}


def _selected(tensors: Mapping[str, Tensor], rows: Int64[Tensor, " _"]) -> dict[str, Tensor]:
    return {name: tensor.index_select(0, rows) for name, tensor in tensors.items()}
