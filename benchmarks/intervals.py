"""How often do 95 % intervals of the AUROC hold the truth, where samples come in groups that resemble each other?

Scores are normal, defects shifted so that the true AUROC is 0.90; a share of the variance is common to each group (its
correlation). For groups of one class, of both, and of unequal sizes four intervals are held against the truth on the
same draws: DeLong's on the logit scale, which takes samples as independent; the one that weldcache gives
(`metrics.clustered`); Obuchowski's variance as published, with as many degrees of freedom as there are groups less two;
and the percentile bootstrap over groups (left out with `--resamples 0`). Printed is the share of intervals that hold
0.90, and their mean width.

    python benchmarks/intervals.py --draws 1000 --resamples 200

Ratios are the coverages, lowest over all shapes and correlations; a target is what the interval promises, less what a
simulation of this size leaves open.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from harness import describe_machine, print_json
from numpy.typing import NDArray
from scipy.stats import norm, t

from weldcache.metrics.clustered import group_parts, grouped_auroc
from weldcache.metrics.estimate import Estimate
from weldcache.metrics.ranking import auroc, logit_interval

AUROC = 0.90
CORRELATIONS = (0.0, 0.2, 0.5)
Sizes = Sequence[tuple[int, int]]
"""Of each group its numbers of normals and of defects."""

_UNEQUAL = (2, 4, 6, 8, 10, 12, 14, 16, 18, 20)
SHAPES: Mapping[str, Sizes] = {
    "6 + 20 groups of 20": [(20, 0)] * 6 + [(0, 20)] * 20,
    "12 + 80 groups of 10": [(10, 0)] * 12 + [(0, 10)] * 80,
    "20 + 100 groups of 6": [(6, 0)] * 20 + [(0, 6)] * 100,
    "4 + 12 groups of 10": [(10, 0)] * 4 + [(0, 10)] * 12,
    "20 groups of 5 and 5": [(5, 5)] * 20,
    "8 groups of 5 and 5": [(5, 5)] * 8,
    "4 + 6 of one class, 6 of both": [(8, 0)] * 4 + [(0, 8)] * 6 + [(4, 4)] * 6,
    "10 + 20 groups of 2 to 20": [(size, 0) for size in _UNEQUAL] + [(0, size) for size in (*_UNEQUAL, *_UNEQUAL)],
    "a group of 60 beside 20 + 20": [(60, 0)] + [(1, 0)] * 20 + [(0, 5)] * 20,
}
TARGETS = {"clustered": 0.90}


@dataclass(frozen=True)
class Draw:
    """Scores and labels of one simulated data set, and the group of each sample by its number."""

    scores: NDArray[np.float64]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]


def main() -> None:
    """Simulate every shape at every correlation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=1000, help="data sets of each shape and correlation")
    parser.add_argument("--resamples", type=int, default=200, help="bootstraps of each data set")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(describe_machine())
    print(f"true AUROC {AUROC}, {options.draws} draws, {options.resamples} resamples; coverage (mean width)")
    lowest: dict[str, float] = {}
    generator = np.random.default_rng(options.seed)
    for name, sizes in SHAPES.items():
        for correlation in CORRELATIONS:
            found = _simulate(sizes, correlation, generator, draws=options.draws, resamples=options.resamples)
            told = "  ".join(f"{kind} {share:.3f} ({width:.3f})" for kind, (share, width) in found.items())
            print(f"{name:30}  correlation {correlation:.1f}  {told}", flush=True)
            for kind, (share, _) in found.items():
                lowest[kind] = min(share, lowest.get(kind, 1.0))
    print_json("intervals", ratios=lowest, targets=TARGETS)


def _simulate(
    sizes: Sizes, correlation: float, generator: np.random.Generator, *, draws: int, resamples: int
) -> dict[str, tuple[float, float]]:
    """By the kind of interval, how often it holds the truth and how wide it is in the mean."""
    held: dict[str, list[tuple[bool, float]]] = {}
    for _ in range(draws):
        draw = _drawn(sizes, correlation, generator)
        for kind, interval in _intervals(draw, generator, resamples=resamples).items():
            held.setdefault(kind, []).append((interval.contains(AUROC), interval.high - interval.low))
    return {
        kind: (float(np.mean([hit for hit, _ in all_of])), float(np.mean([width for _, width in all_of])))
        for kind, all_of in held.items()
    }


def _drawn(sizes: Sizes, correlation: float, generator: np.random.Generator) -> Draw:
    normals, defects = np.array(sizes).T
    labels = np.concatenate([np.repeat([0, 1], pair) for pair in sizes])
    groups = np.repeat(np.arange(len(sizes)), normals + defects)
    common, own = generator.normal(size=len(sizes)), generator.normal(size=len(labels))
    shift = np.sqrt(2) * norm.ppf(AUROC)
    scores = np.sqrt(correlation) * common[groups] + np.sqrt(1 - correlation) * own + shift * labels
    return Draw(scores, labels.astype(np.int64), groups)


def _intervals(draw: Draw, generator: np.random.Generator, *, resamples: int) -> dict[str, Estimate]:
    names = [str(number) for number in draw.groups]
    ours = grouped_auroc(draw.scores, draw.labels, groups=names)
    parts = group_parts(draw.scores[np.newaxis], draw.labels, groups=names)
    published = ours.independent
    if 0 < ours.value < 1:
        error = float(np.sqrt(parts.covariance[0, 0]))
        degrees = parts.num_defect_groups + parts.num_normal_groups - 2
        published = logit_interval(ours.value, standard_error=error, quantile=float(t.ppf(0.975, degrees)))
    found = {"independent": ours.independent, "clustered": ours, "published": published}
    if resamples:
        found["bootstrap"] = _bootstrapped(draw, ours.value, generator, resamples=resamples)
    return found


def _bootstrapped(draw: Draw, value: float, generator: np.random.Generator, *, resamples: int) -> Estimate:
    """Groups drawn anew with replacement, as many of each kind (of normals, of defects, of both) as there are."""
    rows = [np.flatnonzero(draw.groups == number) for number in range(int(draw.groups.max()) + 1)]
    kinds = np.array([set(draw.labels[of].tolist()) == {0, 1} for of in rows]) * 2 + np.array(
        [draw.labels[of[0]] for of in rows]
    )
    found = []
    for _ in range(resamples):
        chosen = np.concatenate(
            [generator.choice(np.flatnonzero(kinds == kind), np.count_nonzero(kinds == kind)) for kind in set(kinds)]
        )
        picked = np.concatenate([rows[number] for number in chosen])
        found.append(auroc(draw.scores[picked], draw.labels[picked]))
    low, high = np.quantile(found, [0.025, 0.975])
    return Estimate(value, low=min(float(low), value), high=max(float(high), value))


if __name__ == "__main__":
    main()
