"""AUPRO and pixel AUROC: against a slow reference that goes from threshold to threshold, and scikit-learn."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from weldcache.errors import MetricError
from weldcache.metrics.localisation import (
    FPR_LIMITS,
    ScoredPicture,
    exact_localisation,
    localisation_intervals,
    localise,
)

Pictures = list[ScoredPicture]


def reference_aupro(pictures: Pictures, limit: float) -> float:
    """By the definition: at each threshold the mean share of regions found, over the share of other pixels."""
    regions = []
    background = []
    for picture in pictures:
        mask = np.zeros(picture.scores.shape, bool) if picture.mask is None else picture.mask
        found, num = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [picture.scores[found == region] for region in range(1, num + 1)]
        background.append(picture.scores[~mask])
    others = np.concatenate(background)
    points = [(0.0, 0.0)]
    for threshold in np.unique(np.concatenate([others, *regions]))[::-1]:
        points.append(
            (float(np.mean(others >= threshold)), float(np.mean([np.mean(region >= threshold) for region in regions])))
        )
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x1 > limit and x1 > x0:
            y1 = y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
            x1 = limit
        area += (x1 - x0) * (y0 + y1) / 2
        if x1 >= limit:
            break
    return area / limit


def reference_auroc(pictures: Pictures) -> float:
    scores = np.concatenate([picture.scores.ravel() for picture in pictures])
    masks = [np.zeros(p.scores.shape, bool) if p.mask is None else p.mask for p in pictures]
    return float(roc_auc_score(np.concatenate([mask.ravel() for mask in masks]), scores))


def check(pictures: Pictures, *, tolerance: float = 1e-6) -> None:
    exact, streamed = exact_localisation(pictures), localise(pictures)
    assert exact.off_by == 0
    assert streamed.auroc == pytest.approx(exact.auroc, abs=tolerance)
    assert exact.auroc == pytest.approx(reference_auroc(pictures), abs=1e-9)
    for limit in FPR_LIMITS:
        assert exact.aupro[limit] == pytest.approx(reference_aupro(pictures, limit), abs=1e-9)
        assert streamed.aupro[limit] == pytest.approx(exact.aupro[limit], abs=tolerance)
        assert 0 <= streamed.aupro[limit] <= 1
    counts = [
        (found.num_pictures, found.num_regions, found.num_defective, found.num_background)
        for found in (exact, streamed)
    ]
    assert counts[0] == counts[1]


def made(
    *, seed: int, size: int = 16, number: int = 6, scale: float = 1.0, offset: float = 0.0, dtype: str = "float32"
) -> Pictures:
    """Smooth noise with brighter blobs; every other picture is normal, half of those without a mask at all."""
    generator = np.random.default_rng(seed)
    pictures = []
    for index in range(number):
        mask = np.zeros((size, size), bool)
        if index % 2:
            for row, column, side in generator.integers(1, size // 2, (3, 3)):
                mask[row : row + side, column : column + side] = True
        noise = ndimage.gaussian_filter(generator.normal(size=(size, size)), 2) * 4 + mask * 0.7
        scores = (noise * scale + offset).astype(dtype)
        pictures.append(ScoredPicture(scores, None if index % 4 == 0 else mask))
    return pictures


scores_of = st.one_of(
    st.integers(-3, 3).map(float),
    st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False),
    st.sampled_from([0.0, -0.0, 20.0]),
)


@settings(max_examples=20)
@given(
    st.lists(
        st.tuples(of_numpy.arrays(np.float32, (5, 6), elements=scores_of), of_numpy.arrays(np.bool_, (5, 6))),
        min_size=1,
        max_size=4,
    )
)
def test_any_scores_give_the_figures_of_the_slow_reference(drawn: Sequence[tuple[NDArray, NDArray]]) -> None:
    pictures = [ScoredPicture(scores, mask) for scores, mask in drawn]
    total = sum(int(mask.sum()) for _, mask in drawn)
    if total == 0 or total == 30 * len(drawn):
        for measure in (localise, exact_localisation):
            with pytest.raises(MetricError):
                measure(pictures)
    else:
        check(pictures)


@pytest.mark.parametrize(
    ("scale", "offset", "dtype"),
    [
        (1.0, 0.0, "float32"),
        (1e-30, 0.0, "float32"),
        (3.0, -35.0, "float32"),
        (1.0, 0.0, "float16"),
        (1.0, 1e9, "float64"),
        (1e-12, 1.0, "float64"),
        (1e30, 0.0, "float32"),
        (1e-42, 0.0, "float32"),
        (1e-100, 0.0, "float64"),
    ],
)
def test_scores_of_any_size_are_told_apart(scale: float, offset: float, dtype: str) -> None:
    check(made(seed=1, scale=scale, offset=offset, dtype=dtype))


def test_what_may_be_off_is_known_and_bounds_what_is() -> None:
    pictures = made(seed=2, size=128, number=8)
    streamed, exact = localise(pictures), exact_localisation(pictures)
    differences = [abs(streamed.aupro[limit] - exact.aupro[limit]) for limit in FPR_LIMITS]
    assert max(*differences, abs(streamed.auroc - exact.auroc)) <= streamed.off_by <= 1e-6


@pytest.mark.parametrize(("change", "dtype"), [(0.0, "float16"), (1e4, "float32")])
def test_ties_leave_no_doubt(change: float, dtype: str) -> None:
    pictures = [
        ScoredPicture(np.round(each.scores + change, 1).astype(dtype), each.mask) for each in made(seed=7, size=64)
    ]
    streamed, exact = localise(pictures), exact_localisation(pictures)
    assert streamed.off_by <= 1e-6 and abs(streamed.auroc - exact.auroc) < 1e-9


def test_heavy_tails_and_one_outlier_cost_no_digits() -> None:
    pictures = [ScoredPicture(picture.scores**9, picture.mask) for picture in made(seed=3)]
    pictures[0].scores[0, 0] = 1e35
    pictures[1].scores[0, 0] = -1e35
    check(pictures)


def test_worked_by_hand() -> None:
    mask = np.array([[1, 0, 0, 0], [0, 1, 0, 1]], bool)  # by a corner: two regions and not three
    scores = np.array([[9, 2, 8, 1], [1, 7, 1, 0]], np.float32)
    found = localise([ScoredPicture(scores, mask)], limits=(0.2, 1.0))
    assert found.num_regions == 2 and found.num_defective == 3 and found.num_background == 5
    # Thresholds 9, 8, 7: overlap 1/4 at rate 0, the same at 1/5, and 1/2 there.
    assert found.aupro[0.2] == pytest.approx(0.25)
    assert found.aupro[1.0] == pytest.approx(0.2 * 0.25 + 0.8 * 0.5 + 0, abs=1e-6)
    assert found.auroc == pytest.approx((5 + 4 + 0) / 15)


def test_every_region_counts_alike_and_pixels_of_normal_pictures_are_other_pixels() -> None:
    scores = np.zeros((40, 40), np.float32)
    mask = np.zeros((40, 40), bool)
    mask[:20, :20] = mask[35, 35] = True
    scores[:20, :20] = 1.0  # the large region is found, that of one pixel is not
    defective = ScoredPicture(scores, mask)
    assert localise([defective]).aupro[0.01] == pytest.approx(0.5, abs=0.01)
    alarms = ScoredPicture(np.full((40, 40), 2.0, np.float32), None)
    assert localise([defective, alarms]).aupro[0.3] == 0
    quiet = ScoredPicture(np.full((40, 40), -2.0, np.float32), None)
    assert localise([defective, quiet]).aupro[0.3] > localise([defective]).aupro[0.3]


def test_the_best_is_one_and_scores_that_say_nothing_are_at_chance() -> None:
    mask = np.zeros((16, 16), bool)
    mask[3:6, 3:9] = True
    best = localise([ScoredPicture(mask.astype(np.float32), mask)])
    assert best.auroc == 1 and set(best.aupro.values()) == {1.0}
    same = localise([ScoredPicture(np.full((16, 16), 7.0), mask)])
    assert same.auroc == pytest.approx(0.5) and same.aupro[0.3] == pytest.approx(0.15)


def test_the_order_of_pictures_changes_nothing() -> None:
    pictures = made(seed=4)
    there, back = localise(pictures), localise(pictures[::-1])
    assert there.aupro == pytest.approx(back.aupro, abs=1e-12) and there.auroc == back.auroc


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_numbers_are_refused(value: float) -> None:
    pictures = made(seed=5)
    pictures[2].scores[1, 1] = value
    with pytest.raises(MetricError, match="not finite"):
        localise(pictures)


def test_a_mask_of_another_size_is_refused_and_nothing_is_no_figure() -> None:
    with pytest.raises(MetricError, match="mask"):
        localise([ScoredPicture(np.zeros((4, 4)), np.ones((4, 5), bool))])
    for measure in (localise, exact_localisation):
        with pytest.raises(MetricError):
            measure([])


def test_intervals_hold_the_figures_and_views_of_a_sample_are_drawn_together() -> None:
    pictures = made(seed=6, number=24)
    found = localise(pictures)
    alone = localisation_intervals(pictures, groups=[str(n) for n in range(24)], found=found, seed=0, num_draws=100)
    assert alone is not None and alone.num_groups == 12
    assert alone.auroc.value == found.auroc and alone.auroc.low < found.auroc < alone.auroc.high
    for limit, estimate in alone.aupro.items():
        assert estimate.value == found.aupro[limit] and 0 <= estimate.low < estimate.high <= 1
    again = localisation_intervals(pictures, groups=[str(n) for n in range(24)], found=found, seed=0, num_draws=100)
    assert again == alone
    few = localisation_intervals(pictures, groups=["a", "b", "c"] * 8, found=found, seed=0, num_draws=100)
    assert few is None
