"""Ways to score samples: by the averaged or the raw weights, and as if no sample had some of the feature sets."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..cache.store import FeatureStore
from ..train.data.batches import BatchSource
from ..train.data.feature_pool import FeaturePool
from ..train.data.feature_reader import FeatureReader, Rows
from ..train.data.streamed import StreamedFeatures
from ..train.runs.trained_run import TrainedRun, Weights
from ..train.scoring import score_rows

Scores = NDArray[np.float64]
Models = Mapping[Weights, nn.Module]


@dataclass(frozen=True)
class Variant:
    """One way to score samples: with these weights, as if no sample had the feature sets `without`."""

    weights: Weights
    without: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class Scorer:
    """Scores rows of a store by a trained run, which is shown of no row what none of its training samples had.

    Attributes:
        run: says what the models look at, and the arithmetic and batches that they were validated with.
        store: holds the features.
        models: by weights, in evaluation mode.
        pool: where the features are already, on the models' device; None: they are read from the store.
    """

    run: TrainedRun
    store: FeatureStore
    models: Models
    pool: FeaturePool | None

    @cached_property
    def hidden(self) -> frozenset[str]:
        """The feature sets that the models are never shown."""
        return self.run.recipe.needs().sets_of(self.run.untrained)

    def __call__(self, rows: Rows, variants: Collection[Variant]) -> dict[Variant, Scores]:
        """Scores of `rows`, of which there are some, in each way.

        Every row is fetched once, and memory does not grow with them.
        """
        scores = score_rows(
            self.run.recipe,
            {variant: self.models[variant.weights] for variant in variants},
            self._samples(rows),
            # The batches of validation, so that on a CPU what it recorded comes out again to the last bit.
            batch_size=self.run.settings.train.batch_size,
            precision=self.run.precision,
            without={variant: variant.without | self.hidden for variant in variants},
        )
        return {variant: values.astype(np.float64) for variant, values in scores.items()}

    def _samples(self, rows: Rows) -> BatchSource:
        needs = self.run.recipe.needs()
        if self.pool is not None:
            return self.pool.source(rows, needs)
        device = next(self.models["averaged"].parameters()).device
        return StreamedFeatures(FeatureReader(self.store, needs.features), rows, device)
