"""How fast are the figures of localisation and of ranking, beside the algorithms that they stand for?

Maps of 80 pictures of 256 x 256 pixels, half of them with one to three defective regions, on smooth backgrounds:

- ours: AUPRO up to four false-positive rates, and pixel AUROC, in bins, reading the pictures twice or more;
- one sort of all pixels for all of these figures, as `exact_localisation` does it;
- AUPRO as MVTec's evaluation code computes it, by a sort of all pixels, and scikit-learn's AUROC of all pixels.

The first is held to differ from the second by less than 1e-6, on several maps: of other sizes, rounded so that many
pixels tie, and far from [0, 1]. Memory is the most that Python and NumPy held at a time while pictures were made one
after another.

Then the interval of an AUROC of 1,000 samples: ours by its formula, beside 2,000 draws of a bootstrap that calls
scikit-learn for each, which is what a script by hand does.
"""

import argparse
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from harness import measure_in_turns, ratio_of_medians, report
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from weldcache.metrics.localisation import FPR_LIMITS, Localisation, ScoredPicture, exact_localisation, localise
from weldcache.metrics.ranking import auroc_interval

TARGETS = {
    "localisation_vs_one_sort": 3.0,
    "localisation_vs_mvtec_and_sklearn": 3.0,
    "allowed_over_largest_difference": 1.0,
    "memory_one_sort_over_ours": 3.0,
    "interval_vs_sklearn_bootstrap": 10.0,
}
ALLOWED = 1e-6
OURS, ONE_SORT, PUBLISHED = "bins", "one sort", "MVTec's code and scikit-learn"
FORMULA, BOOTSTRAP = "interval by formula", "bootstrap with scikit-learn"


@dataclass(frozen=True)
class Pictures:
    """Pictures that are made anew whenever they are iterated over, so that none is held."""

    number: int
    side: int
    change: Callable[[NDArray[np.float32]], NDArray[np.float32]] = lambda scores: scores

    def __iter__(self) -> Iterator[ScoredPicture]:
        generator = np.random.default_rng(0)
        for index in range(self.number):
            grid = generator.normal(0, 1, (16, 16)).astype(np.float32)
            mask = np.zeros((self.side, self.side), np.uint8)
            for _ in range(generator.integers(1, 4) if index % 2 else 0):
                row, column = generator.integers(0, int(self.side * 0.86), 2)
                size = generator.integers(max(1, self.side // 50), self.side // 7)
                mask[row : row + size, column : column + size] = 1
            scores = cv2.resize(grid, (self.side, self.side), interpolation=cv2.INTER_LINEAR)
            scores = scores + 2 * cv2.GaussianBlur(mask.astype(np.float32), (0, 0), self.side / 64)
            yield ScoredPicture(self.change(scores.astype(np.float32)), mask.astype(bool))


def mvtec_aupro(pictures: Sequence[ScoredPicture], *, limits: Sequence[float]) -> dict[float, float]:
    """As in MVTec AD's pro_curve_util.py and generic_util.py (trapezoid), written anew."""
    ok = np.zeros((len(pictures), *pictures[0].scores.shape), np.uint32)
    share = np.zeros(ok.shape, np.float64)
    num_ok, num_regions = 0, 0
    structure = np.ones((3, 3), dtype=int)
    for index, picture in enumerate(pictures):
        labeled, number = ndimage.label(np.asarray(picture.mask), structure)
        num_regions += number
        ok[index] = labeled == 0
        num_ok += int(ok[index].sum())
        for region in range(1, number + 1):
            inside = labeled == region
            share[index][inside] = 1.0 / inside.sum()
    scores = np.stack([picture.scores for picture in pictures]).ravel()
    order = np.argsort(scores)[::-1]
    ordered = scores[order]
    fprs = np.cumsum(ok.ravel()[order].astype(np.uint64)) / num_ok
    overlap = np.cumsum(share.ravel()[order]) / num_regions
    kept = np.append(np.diff(ordered) != 0, True)
    fprs, overlap = np.concatenate([[0.0], fprs[kept]]), np.concatenate([[0.0], overlap[kept]])
    return {limit: _trapezoid(fprs, overlap, most=limit) / limit for limit in limits}


def _trapezoid(x: NDArray[np.float64], y: NDArray[np.float64], *, most: float) -> float:
    inside = x <= most
    area = float(np.sum(0.5 * (y[inside][1:] + y[inside][:-1]) * np.diff(x[inside])))
    after = int(np.searchsorted(x, most, side="right"))
    if after < len(x) and x[after - 1] < most:
        at = y[after - 1] + (y[after] - y[after - 1]) * (most - x[after - 1]) / (x[after] - x[after - 1])
        area += 0.5 * (at + y[after - 1]) * (most - x[after - 1])
    return area


def published(pictures: Sequence[ScoredPicture]) -> tuple[dict[float, float], float]:
    """All figures by the algorithms that were published."""
    masks = np.concatenate([np.asarray(picture.mask).ravel() for picture in pictures])
    scores = np.concatenate([picture.scores.ravel() for picture in pictures])
    return mvtec_aupro(pictures, limits=FPR_LIMITS), float(roc_auc_score(masks, scores))


def largest_difference(first: Localisation, second: Localisation) -> float:
    """Of any figure."""
    return max(
        abs(first.auroc - second.auroc), *(abs(first.aupro[limit] - second.aupro[limit]) for limit in FPR_LIMITS)
    )


def peak(run: Callable[[], object]) -> int:
    """Bytes that it held at most."""
    tracemalloc.start()
    run()
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return held


def bootstrap(scores: NDArray[np.float64], labels: NDArray[np.int64], *, num_draws: int) -> tuple[float, float]:
    """A percentile interval, as it is done by hand."""
    generator = np.random.default_rng(0)
    draws = (generator.integers(0, len(scores), len(scores)) for _ in range(num_draws))
    low, high = np.quantile([roc_auc_score(labels[rows], scores[rows]) for rows in draws], [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="few pictures and draws; its figures mean little")
    small = parser.parse_args().small
    made = Pictures(number=8 if small else 80, side=64 if small else 256)
    held = list(made)
    others = {
        "as they are": made,
        "of 1,024 pixels": Pictures(number=2 if small else 8, side=128 if small else 1024),
        "rounded to tenths": Pictures(made.number, made.side, lambda scores: np.round(scores, 1)),
        "around 10,000": Pictures(made.number, made.side, lambda scores: scores + np.float32(1e4)),
        "to the ninth power": Pictures(made.number, made.side, lambda scores: scores**9),
    }
    differences = {}
    for name, pictures in others.items():
        found = localise(pictures)
        differences[name] = largest_difference(found, exact_localisation(pictures))
        print(f"maps {name:20} difference {differences[name]:.1e}, known to be at most {found.off_by:.1e}")
    seconds = measure_in_turns(
        {
            OURS: lambda: localise(held),
            ONE_SORT: lambda: exact_localisation(held),
            PUBLISHED: lambda: published(held),
        },
        num_rounds=2 if small else 7,
    )
    theirs = published(held)
    assert max(abs(theirs[0][limit] - localise(held).aupro[limit]) for limit in FPR_LIMITS) < ALLOWED
    memory = {OURS: peak(lambda: localise(made)), ONE_SORT: peak(lambda: exact_localisation(made))}
    print(", ".join(f"{name}: {most / 1e6:,.0f} MB at most" for name, most in memory.items()))
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], 500)
    scores = generator.normal(labels * 1.2, 1)
    num_draws = 50 if small else 2000
    more = measure_in_turns(
        {
            FORMULA: lambda: auroc_interval(scores, labels),
            BOOTSTRAP: lambda: bootstrap(scores, labels, num_draws=num_draws),
        },
        num_rounds=2 if small else 3,
    )
    estimate, drawn = auroc_interval(scores, labels), bootstrap(scores, labels, num_draws=num_draws)
    print(f"{FORMULA}: {estimate.low:.4f} to {estimate.high:.4f}; {BOOTSTRAP}: {drawn[0]:.4f} to {drawn[1]:.4f}")
    ratios = {
        "localisation_vs_one_sort": ratio_of_medians(seconds, slow=ONE_SORT, fast=OURS),
        "localisation_vs_mvtec_and_sklearn": ratio_of_medians(seconds, slow=PUBLISHED, fast=OURS),
        "allowed_over_largest_difference": ALLOWED / max(*differences.values(), 1e-15),
        "memory_one_sort_over_ours": memory[ONE_SORT] / memory[OURS],
        "interval_vs_sklearn_bootstrap": ratio_of_medians(more, slow=BOOTSTRAP, fast=FORMULA),
    }
    report("metrics", seconds={**seconds, **more}, ratios=ratios, targets=TARGETS)


if __name__ == "__main__":
    main()
