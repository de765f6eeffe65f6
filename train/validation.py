"""Validation of a model: loss on normals, AUROC where there are defects, and signs of collapse."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ..metrics.auroc import auroc
from .collapse import spread
from .data.batches import BatchSource
from .encoding import encode_all
from .precision import Precision
from .recipes.recipe import Encodings, Recipe


@dataclass(frozen=True)
class ValidationResult:
    """What one model does on the validation samples.

    Attributes:
        loss: training's loss without augmentation, mean over normals.
        auroc: None where validation lacks a class.
        spread: of the normals' embeddings, by `<embedding>_<figure>`, see `collapse`.
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
        recipe: Recipe,
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
        encodings = encode_all(
            recipe,
            model,
            self._samples,
            batch_size=self._batch_size,
            precision=self._precision,
            without=self._without,
        )
        normals = {name: encoding.index_select(0, self._normals) for name, encoding in encodings.items()}
        losses = self._losses(model, normals)
        embeddings = {name: embedded.float().cpu() for name, embedded in recipe.embeddings(normals).items()}
        scores = recipe.score(model, encodings).float().cpu().numpy() if self._has_both_labels else None
        return ValidationResult(
            loss=float(losses.cpu().double().mean()),
            auroc=None if scores is None else auroc(scores, self._labels),
            spread={
                f"{name}_{figure}": value
                for name, embedded in embeddings.items()
                for figure, value in spread(embedded).items()
            },
        )

    def _losses(self, model: nn.Module, normals: Encodings) -> Float[Tensor, " normals"]:
        """Of each normal the loss of its batch; batches are as large as those of training: some losses compare rows."""
        batches = zip(*(torch.split(encoding, self._batch_size) for encoding in normals.values()), strict=True)
        losses = [
            self._recipe.loss(model, dict(zip(normals, batch, strict=True)))["total"].expand(len(batch[0]))
            for batch in batches
        ]
        return torch.cat(losses)
