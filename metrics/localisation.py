"""How well maps of scores find defective pixels: pixel AUROC and AUPRO, in memory that no number of pictures fills.

AUPRO is the area under the per-region overlap over the false-positive rate, up to a limit of that rate and divided by
it: at a threshold, the mean over all regions of the share of their pixels above it, against the share of all pixels
outside regions above it, those of normal pictures too. Regions are the 8-connected components of masks. Tied pixels
move together, and the curve is linear in between. Nothing assumes that scores lie in [0, 1].

Source: Bergmann et al. (2021), "The MVTec Anomaly Detection Dataset", International Journal of Computer Vision 129,
1038-1059, section 6.2, and its evaluation code.

The exact curve takes a sort of all pixels. Here scores are counted in bins, in two readings or more: the first in bins
of the leading 20 bits of a number, which any real score has; each further one cuts these finer, the more so the more
they hold of both kinds of pixels. Whatever the order of pixels within a bin, an area is off by at most half of what the
curve moves there in x times what it moves in y. That is summed up and known, and bins are cut until it is below what is
asked for, or further readings do not help: then ties remain, of which the straight line is right.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float64, Shaped
from numpy.typing import NDArray

from ..errors import MetricError
from ..wording import count_of
from .estimate import Estimate
from .ranking import require_finite
from .score_bins import Binning, CutBins, LeadingBits

FPR_LIMITS = (0.3, 0.1, 0.05, 0.01)
SMALLEST_NUMBER_OF_GROUPS = 5
"""With masks, below which a bootstrap says nothing."""

_FINE = 1 << 20
_COUNTED_TOGETHER = 1 << 20  # pixels: a count of fewer would take longer to begin than to do
_MOST_READINGS = 4
_RESAMPLED_BINS = 1000  # a picture, in the bootstrap


class ScoredPicture(NamedTuple):
    """A score of each pixel, and which pixels are defective; None: none is."""

    scores: Shaped[np.ndarray, "height width"]
    mask: Bool[np.ndarray, "height width"] | None


@dataclass(frozen=True)
class Localisation:
    """How well defective pixels are found.

    Attributes:
        auroc: of single pixels.
        aupro: by the limit of the false-positive rate.
        num_pictures: that were looked at, normal ones among them.
        num_regions: connected components of masks.
        num_defective: pixels in masks.
        num_background: pixels outside.
        off_by: how far each of the figures may be from the exact one at most, whatever lies in one bin.
    """

    auroc: float
    aupro: Mapping[float, float]
    num_pictures: int
    num_regions: int
    num_defective: int
    num_background: int
    off_by: float


@dataclass(frozen=True)
class LocalisationIntervals:
    """95 % intervals of a `Localisation`, and of how many groups with masks they were drawn."""

    auroc: Estimate
    aupro: Mapping[float, Estimate]
    num_groups: int


def localise(
    pictures: Iterable[ScoredPicture], *, limits: Sequence[float] = FPR_LIMITS, tolerance: float = 1e-6
) -> Localisation:
    """Pixel AUROC and AUPRO of pictures, which are iterated over several times; memory holds one, and the bins.

    Scores of all pictures have one type.

    Raises:
        MetricError: if a score is not finite, a mask has another shape than its scores, or there are no defective
            pixels or no others.
    """
    counts, off_by, _ = _counted(pictures, limits=limits, tolerance=tolerance)
    return _figures(counts, limits=limits, off_by=off_by)


def exact_localisation(pictures: Iterable[ScoredPicture], *, limits: Sequence[float] = FPR_LIMITS) -> Localisation:
    """The same by a sort of all pixels, which memory holds together: to check with. Raises as `localise`."""
    scores, overlap, defective = [], [], []
    num_pictures, num_regions = 0, 0
    for picture in pictures:
        values, weights, regions = _parts(picture)
        num_pictures, num_regions = num_pictures + 1, num_regions + regions
        scores.append(values)
        overlap.append(np.zeros(values.size) if weights is None else weights)
        defective.append(overlap[-1] > 0)
    everything = np.concatenate(scores) if scores else np.zeros(0)
    order = np.argsort(-everything, kind="stable")
    ordered = everything[order]
    last_of_ties = np.append(ordered[1:] != ordered[:-1], True)[: ordered.size]
    positive = np.concatenate(defective)[order] if scores else np.zeros(0, bool)

    def steps(values: NDArray[np.generic]) -> Float64[np.ndarray, " cuts"]:
        return np.diff(np.cumsum(values, dtype=np.float64)[last_of_ties], prepend=0.0)

    weights_of = np.concatenate(overlap)[order] if scores else np.zeros(0)
    background = steps(~positive)
    counts = _Counts(
        np.arange(background.size), background, steps(positive), steps(weights_of), num_pictures, num_regions
    )
    _require_both(counts)
    return _figures(counts, limits=limits, off_by=0.0)


def localisation_intervals(
    pictures: Iterable[ScoredPicture],
    *,
    groups: Sequence[str],
    found: Localisation,
    seed: int,
    num_draws: int = 1000,
    confidence: float = 0.95,
) -> LocalisationIntervals | None:
    """Percentile intervals by a bootstrap over groups of pictures; None where too few groups have regions.

    Pictures of one group, such as views of a sample, are drawn together. A bootstrap of few groups is somewhat too
    narrow: see `benchmarks/intervals.py`.

    Args:
        pictures: as `localise` was given them.
        groups: of each picture.
        found: what `localise` found of them: the intervals hold it.
    """
    limits = tuple(found.aupro)
    if len(set(groups)) < SMALLEST_NUMBER_OF_GROUPS:
        return None
    drawn = _counts_by_group(pictures, groups=groups, limits=limits)
    with_regions = int(np.count_nonzero(drawn.num_regions))
    if with_regions < SMALLEST_NUMBER_OF_GROUPS:
        return None
    generator, num_groups = np.random.default_rng(seed), len(drawn.num_regions)
    figures = []
    for times in generator.multinomial(num_groups, np.full(num_groups, 1 / num_groups), size=num_draws):
        regions, weights = int(times @ drawn.num_regions), times.astype(np.float64)
        background, defective, overlap = (
            weights @ values for values in (drawn.background, drawn.defective, drawn.overlap)
        )
        counts = _Counts(
            np.arange(_RESAMPLED_BINS), background, defective, overlap, found.num_pictures, num_regions=regions
        )
        if regions and counts.background.sum():
            each = _figures(counts, limits=limits, off_by=0.0)
            figures.append([each.auroc, *each.aupro.values()])
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.array(figures), [tail, 1 - tail], axis=0)
    values = [found.auroc, *found.aupro.values()]
    estimates = [
        Estimate(value, low=min(value, float(below)), high=max(value, float(above)))
        for value, below, above in zip(values, low, high, strict=True)
    ]
    return LocalisationIntervals(estimates[0], dict(zip(limits, estimates[1:], strict=True)), with_regions)


@dataclass(frozen=True, eq=False)
class _Counts:
    """What lies in each bin that holds scores, from the highest to the lowest: pixels of either kind, and the shares of
    regions, which add up to their number."""

    bins: NDArray[np.int64]
    background: NDArray[np.generic]
    defective: NDArray[np.generic]
    overlap: Float64[np.ndarray, " bins"]
    num_pictures: int
    num_regions: int
    extent: tuple[float, float] = (-np.inf, np.inf)  # the lowest and the highest score

    @property
    def steps(self) -> tuple[Float64[np.ndarray, " bins"], ...]:
        """How far false-positive rate, detection rate of pixels and mean overlap move in each bin."""
        background, defective = (values.astype(np.float64) for values in (self.background, self.defective))
        return background / background.sum(), defective / defective.sum(), self.overlap / self.num_regions


def _figures(counts: _Counts, *, limits: Sequence[float], off_by: float) -> Localisation:
    across, up, overlap = counts.steps
    fpr, tpr, mean_overlap = (
        np.concatenate([[0.0], np.minimum(np.cumsum(steps), 1.0)]) for steps in (across, up, overlap)
    )
    fpr[-1] = 1.0  # whatever rounding made of the sum
    return Localisation(
        auroc=float(np.clip(across @ (tpr[1:] + tpr[:-1]) / 2, 0, 1)),
        aupro={limit: _area(fpr, mean_overlap, limit=limit) for limit in limits},
        num_pictures=counts.num_pictures,
        num_regions=counts.num_regions,
        num_defective=int(counts.defective.sum()),
        num_background=int(counts.background.sum()),
        off_by=off_by,
    )


def _area(x: Float64[np.ndarray, " points"], y: Float64[np.ndarray, " points"], *, limit: float) -> float:
    """The mean of y over x from 0 to `limit`, linear between points; x reaches 1."""
    first = int(np.searchsorted(x, limit))  # the first point at the limit or beyond
    end = y[first - 1] + (y[first] - y[first - 1]) * (limit - x[first - 1]) / (x[first] - x[first - 1])
    x, y = np.append(x[:first], limit), np.append(y[:first], end)
    return float(min(1.0, np.diff(x) @ (y[1:] + y[:-1]) / 2 / limit))


def _off_by(counts: _Counts, *, limits: Sequence[float], tied: NDArray[np.bool_] | None = None) -> float:
    """How far the worst of the figures may be from the exact one; bins whose scores are `tied` leave no doubt."""
    across, up, overlap = counts.steps
    before = np.cumsum(across) - across
    if tied is not None:
        up, overlap = np.where(tied, 0.0, up), np.where(tied, 0.0, overlap)
    worst = [float(across @ up) / 2]
    for limit in limits:
        inside = before < limit
        # In the bin that the limit cuts, all that it moves may lie before or after it.
        cut = np.where(before + across > limit, 1.0, 0.5)
        worst.append(float((across * overlap * cut)[inside].sum()) / limit)
    return max(worst)


def _cut(binning: Binning, counts: _Counts, *, limits: Sequence[float], tied: NDArray[np.bool_]) -> CutBins:
    """Each bin that holds scores in as many parts as leave the least doubt in the sum of all figures: by the root of
    its own; those that are `tied` in one."""
    doubt = np.where(tied, 0.0, np.sqrt(_doubt(counts, limits=limits)))
    parts = 1 + np.floor(_FINE * doubt / max(doubt.sum(), np.finfo(float).tiny)).astype(np.int64)
    return CutBins(binning, counts.bins[::-1], parts[::-1], extent=counts.extent)


def _doubt(counts: _Counts, *, limits: Sequence[float]) -> Float64[np.ndarray, " bins"]:
    """Twice by how much what lies in each bin may change the sum of all figures."""
    across, up, overlap = counts.steps
    before = np.cumsum(across) - across
    weight = np.sum([(before < limit) / limit for limit in limits], axis=0)
    return np.asarray(across * (up + overlap * weight))


def _counted(
    pictures: Iterable[ScoredPicture], *, limits: Sequence[float], tolerance: float
) -> tuple[_Counts, float, Binning]:
    first = next(iter(pictures), None)
    binning: Binning = LeadingBits(np.dtype(np.float32) if first is None else _as_compared(first.scores).dtype)
    counts = _read(pictures, binning)
    _require_both(counts)
    off_by = _off_by(counts, limits=limits)
    tied = np.zeros(len(counts.bins), dtype=bool)
    for _ in range(_MOST_READINGS - 1):
        if off_by <= tolerance:
            break
        binning = _cut(binning, counts, limits=limits, tied=tied)
        counts = _read(pictures, binning)
        off_by, tied = _off_by(counts, limits=limits), np.zeros(len(counts.bins), dtype=bool)
        if off_by > tolerance:  # which ties may be all the reason of, that no cut parts
            tied = _tied(pictures, binning)[counts.bins]
            off_by = _off_by(counts, limits=limits, tied=tied)
    return counts, off_by, binning


def _tied(pictures: Iterable[ScoredPicture], binning: Binning) -> NDArray[np.bool_]:
    """In which bins all scores are one."""
    one, tied = np.full(binning.num_bins, np.nan), np.ones(binning.num_bins, dtype=bool)
    for picture in pictures:
        scores, _, _ = _parts(picture)
        bins = binning(scores)
        new = np.isnan(one[bins])
        one[bins[new]] = scores[new]
        tied[bins[one[bins] != scores]] = False
    return tied


def _read(pictures: Iterable[ScoredPicture], binning: Binning) -> _Counts:
    """Count all pixels in bins."""
    background, defective = np.zeros((2, binning.num_bins), dtype=np.int64)
    overlap = np.zeros(binning.num_bins)
    num_pictures, num_regions = 0, 0
    lowest, highest = np.inf, -np.inf
    waiting: list[NDArray[np.int64]] = []

    def count_background(*, least: int) -> None:
        if sum(map(len, waiting)) > least:
            np.add(background, np.bincount(np.concatenate(waiting), minlength=len(background)), out=background)
            waiting.clear()

    for picture in pictures:
        scores, weights, regions = _parts(picture)
        num_pictures, num_regions = num_pictures + 1, num_regions + regions
        lowest, highest = min(lowest, scores.min(initial=np.inf)), max(highest, scores.max(initial=-np.inf))
        bins = binning(scores)
        if weights is None:
            waiting.append(bins)
        else:
            inside = weights > 0
            waiting.append(bins[~inside])
            np.add.at(defective, bins[inside], 1)
            np.add.at(overlap, bins[inside], weights[inside])
        count_background(least=_COUNTED_TOGETHER)
    count_background(least=0)
    order = binning.from_the_top()
    bins = order[(background[order] > 0) | (defective[order] > 0)]
    extent = float(lowest), float(highest)
    return _Counts(bins, background[bins], defective[bins], overlap[bins], num_pictures, num_regions, extent)


def _parts(
    picture: ScoredPicture,
) -> tuple[NDArray[np.floating], Float64[np.ndarray, " pixels"] | None, int]:
    """Scores in a row; of each pixel its share of its region, 0 outside; and how many regions there are."""
    scores = _as_compared(picture.scores)
    if not np.isfinite(scores.sum(dtype=np.float64)):  # much quicker than to look at each, and nearly always enough
        require_finite(scores.ravel())
    if picture.mask is None or not picture.mask.any():
        return scores.ravel(), None, 0
    if picture.mask.shape != scores.shape:
        raise MetricError(f"A mask of {picture.mask.shape} pixels cannot be of scores of {scores.shape}.")
    num, regions = cv2.connectedComponents(picture.mask.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    sizes = np.bincount(regions.ravel(), minlength=num).astype(np.float64)
    share = np.concatenate([[0.0], 1 / sizes[1:]])
    return scores.ravel(), share[regions.ravel()], num - 1


def _as_compared(scores: Shaped[np.ndarray, "height width"]) -> NDArray[np.floating]:
    """In single precision where that holds them, and double otherwise."""
    return np.asarray(scores, dtype=np.float32 if scores.dtype in (np.float16, np.float32) else np.float64)


def _require_both(counts: _Counts) -> None:
    if not counts.num_regions or not counts.background.sum():
        raise MetricError(
            f"{count_of(counts.num_pictures, 'picture')} with {count_of(counts.num_regions, 'defective region')} and "
            f"{count_of(int(counts.background.sum()), 'other pixel')}: finding defects in pictures needs both."
        )


@dataclass(frozen=True, eq=False)
class _GroupCounts:
    """As `_Counts`, of each group in fewer bins."""

    background: Float64[np.ndarray, "groups bins"]
    defective: Float64[np.ndarray, "groups bins"]
    overlap: Float64[np.ndarray, "groups bins"]
    num_regions: NDArray[np.int64]


def _counts_by_group(
    pictures: Iterable[ScoredPicture], *, groups: Sequence[str], limits: Sequence[float]
) -> _GroupCounts:
    """In bins that share what leaves doubt about evenly: as many as are needed for three digits."""
    counts, _, binning = _counted(pictures, limits=limits, tolerance=1e-2)
    # No two bins are joined that are far from one another, of normal pixels either.
    weight = np.sqrt(_doubt(counts, limits=limits)) + counts.steps[0] / len(counts.bins)
    joined = np.zeros(binning.num_bins, dtype=np.int64)
    joined[counts.bins] = np.floor(np.cumsum(weight) / weight.sum() * (_RESAMPLED_BINS - 1)).astype(np.int64)
    names = {name: number for number, name in enumerate(dict.fromkeys(groups))}
    background, defective, shares = np.zeros((3, len(names), _RESAMPLED_BINS))
    num_regions = np.zeros(len(names), dtype=np.int64)
    for group, picture in zip(groups, pictures, strict=True):
        scores, weights, regions = _parts(picture)
        row, bins = names[group], joined[binning(scores)]
        inside = np.zeros(scores.size, bool) if weights is None else weights > 0
        background[row] += np.bincount(bins[~inside], minlength=_RESAMPLED_BINS)
        defective[row] += np.bincount(bins[inside], minlength=_RESAMPLED_BINS)
        if weights is not None:
            shares[row] += np.bincount(bins[inside], weights=weights[inside], minlength=_RESAMPLED_BINS)
        num_regions[row] += regions
    return _GroupCounts(background, defective, shares, num_regions)
