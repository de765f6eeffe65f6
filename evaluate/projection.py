"""All judged samples in a plane, and which training samples are nearest to each, by the features that a model looks at.

Each feature set gives a sample one vector, the mean of what it holds of it; sets are standardised and count alike. The
plane is that of the two directions in which training and judged samples together spread most.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64
from scipy.sparse.linalg import svds

from ..cache.status import Status
from ..cache.store import FeatureStore
from ..cache.tensors import read_tensor
from ..train.data.features import Rows
from .exhibits import Colouring, SampleTable, Scatter
from .section import Section

_POOLED = ("embedding", "mean", "values", "tokens")  # arrays of which one stands for a sample, the first that is there
_ROWS_AT_ONCE = 256
_NUM_NEIGHBOURS = 5
_FEWEST = 4  # samples and numbers, below which there is no plane to speak of
_VIEWS, _LENGTH = "views_present", "_length"


@dataclass(frozen=True, eq=False)
class Projection:
    """Judged samples in a plane.

    Attributes:
        points: of each, (sample, 2).
        neighbours: keys of the training samples that are nearest to each, the nearest first.
        arrays: names of the arrays that were looked at.
        share: of all spread that the plane shows.
    """

    points: Float64[np.ndarray, "samples 2"]
    neighbours: Sequence[Sequence[str]]
    arrays: Sequence[str]
    share: float


def project(store: FeatureStore, rows: Rows, *, train: Rows, feature_sets: Sequence[str]) -> Projection | None:
    """The plane of `rows`, told by these feature sets; None where they hold nothing that makes one."""
    everybody = np.concatenate([rows, train])
    arrays = [array for name in feature_sets if (array := _pooled_array(store, name))]
    parts = [_standardised(_pooled(store, array, everybody)) for array in arrays]
    if not parts:
        return None
    vectors = np.concatenate(parts, axis=1)
    vectors -= vectors.mean(axis=0)
    spread = float((vectors**2).sum())
    if min(vectors.shape) < _FEWEST or spread == 0:
        return None
    start = np.random.default_rng(0).normal(size=min(vectors.shape))  # of an iteration that ends in one place
    _, strengths, directions = svds(vectors, k=2, v0=start)
    order = np.argsort(strengths)[::-1]
    axes = directions[order]
    axes *= np.sign(axes[np.arange(2), np.abs(axes).argmax(axis=1)])[:, np.newaxis]  # either sign would do
    return Projection(
        points=vectors[: len(rows)] @ axes.T,
        neighbours=_nearest(vectors[: len(rows)], vectors[len(rows) :], keys=store.index.keys[train].tolist()),
        arrays=arrays,
        share=float((strengths**2).sum()) / spread,
    )


def scatter_section(found: Projection, table: SampleTable) -> Section:
    """The plane, coloured by whatever of the table readers choose, and by its numbers."""
    colourings = []
    for column in table.columns[1:]:
        values = table.column(column.id)
        if column.choice:
            colourings.append(Colouring(column.label, [str(value) for value in values]))
        elif column.style is not None and all(isinstance(value, float | int) for value in values):
            colourings.append(
                Colouring(column.label, [float(value) for value in values if not isinstance(value, str | None)])
            )
    caption = (
        f"Principal components of {', '.join(found.arrays)}, standardised; the plane shows {found.share:.0%} of all "
        "spread, so that what lies together here may be apart. Each dot opens its sample."
    )
    scatter = Scatter(
        f"{len(table.values)} samples in a plane", found.points[:, 0], found.points[:, 1], colourings, caption
    )
    return Section("plane", "All samples in a plane", exhibits=[scatter])


def _pooled_array(store: FeatureStore, feature_set: str) -> str:
    """The array that stands for a sample; "" where there is none."""
    held = store.arrays(feature_set)
    found = next((name for name in _POOLED if name in held and held[name].shape), None)
    return "" if found is None else f"{feature_set}/{found}"


def _pooled(store: FeatureStore, array: str, rows: Rows) -> Float64[np.ndarray, "rows dim"]:
    """One vector a row, the mean over views and steps that there are; NaN for a row that lacks the array."""
    feature_set, _, name = array.rpartition("/")
    held = store.arrays(feature_set)
    vectors = np.full((len(rows), held[name].shape[-1]), np.nan)
    complete = np.flatnonzero(store.status(feature_set)[rows] == Status.COMPLETE)
    for start in range(0, len(complete), _ROWS_AT_ONCE):
        places = complete[start : start + _ROWS_AT_ONCE]
        values = read_tensor(store, array, rows[places]).to(torch.float64).numpy()
        if values.ndim > 2:
            real = np.ones(values.shape[:2], dtype=bool)
            if f"{name}{_LENGTH}" in held:
                lengths = np.asarray(store.read(f"{array}{_LENGTH}", rows[places]))
                real &= np.arange(values.shape[1]) < lengths[:, np.newaxis]
            if _VIEWS in held:
                real &= np.asarray(store.read(f"{feature_set}/{_VIEWS}", rows[places])).astype(bool)
            values = values.reshape(*values.shape[:2], -1, values.shape[-1]).mean(axis=2)
            weights = real / np.maximum(real.sum(axis=1, keepdims=True), 1)
            values = np.einsum("rs,rsd->rd", weights, np.where(real[..., np.newaxis], values, 0))
        vectors[places] = values
    return vectors


def _standardised(vectors: Float64[np.ndarray, "rows dim"]) -> Float64[np.ndarray, "rows dim"]:
    """Each number in units of its spread, and all of a set together of one weight; what a row lacks is the mean."""
    known = np.isfinite(vectors).all(axis=1)
    if not known.any():
        return np.zeros((len(vectors), 1))
    mean, deviation = vectors[known].mean(axis=0), vectors[known].std(axis=0)
    units = (vectors - mean) / np.where(deviation > 0, deviation, 1)
    return np.asarray(np.where(known[:, np.newaxis], units, 0) / np.sqrt(vectors.shape[1]))


def _nearest(
    vectors: Float64[np.ndarray, "rows dim"], others: Float64[np.ndarray, "others dim"], *, keys: Sequence[str]
) -> list[list[str]]:
    squares = (others**2).sum(axis=1)
    found: list[list[str]] = []
    for start in range(0, len(vectors), _ROWS_AT_ONCE):
        distances = squares - 2 * vectors[start : start + _ROWS_AT_ONCE] @ others.T  # but for what all have in common
        nearest = np.argsort(distances, axis=1, kind="stable")[:, :_NUM_NEIGHBOURS]
        found += [[keys[place] for place in row] for row in nearest.tolist()]
    return found
