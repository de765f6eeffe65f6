"""Figures of many values at once against those of one at a time, and what is not known, left open or alike."""

import numpy as np
import pytest
from numpy.typing import NDArray

from weldcache.metrics.classes import class_figures
from weldcache.metrics.multilabel import MultilabelFigures, multilabel_figures
from weldcache.metrics.ranking import auroc, average_precision

SAMPLES, VALUES = 200, 6


def draw(seed: int, *, skill: float = 1.0, samples: int = SAMPLES) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Chances, some of them equal, and what is true, of which a tenth is not known."""
    generator = np.random.default_rng(seed)
    prevalence = np.linspace(0.1, 0.8, VALUES)
    truth = (generator.random((samples, VALUES)) < prevalence).astype(np.int8)
    told = skill * truth + generator.normal(size=truth.shape)
    truth[generator.random(truth.shape) < 0.1] = -1
    return np.round(1 / (1 + np.exp(1 - told)), 2), truth


def judged(
    chances: NDArray[np.float64], truth: NDArray[np.int8], groups: list[str] | None = None, seed: int = 0
) -> MultilabelFigures:
    return multilabel_figures(
        chances,
        truth,
        usual=np.zeros(truth.shape[1], dtype=bool),
        groups=groups or [""] * len(truth),
        generator=np.random.default_rng(seed),
    )


def test_each_value_has_the_figures_that_it_has_alone() -> None:
    chances, truth = draw(0)
    found = judged(chances, truth)
    for place in range(VALUES):
        known = truth[:, place] >= 0
        told, true = chances[known, place], truth[known, place]
        assert found.auroc[place] == pytest.approx(auroc(told, true), abs=1e-12)
        assert found.ap[place] == pytest.approx(average_precision(told, true), abs=1e-12)
        assert found.f1[place] == pytest.approx(class_figures(true, (told >= 0.5).astype(int))[1].f1)
        assert found.accuracy[place] == pytest.approx(np.mean((told >= 0.5) == true))
        assert found.usual_accuracy[place] == pytest.approx(1 - found.prevalence[place])
        assert found.usual_accuracy[place] == pytest.approx(np.mean(true == 0))
        assert found.num_known[place] == known.sum()
    assert found.means["auroc"].value == pytest.approx(found.auroc.mean())


def test_the_interval_is_the_jackknife_over_parts_of_whole_groups() -> None:
    """With as many groups as parts, leaving out a part is leaving out a group, in whatever order they are dealt."""
    chances, truth = draw(1)
    groups = [f"group {place % 20}" for place in range(SAMPLES)]
    found = judged(chances, truth, groups)
    without = []
    for group in range(20):
        rest = np.arange(SAMPLES) % 20 != group
        each = [
            average_precision(column[known], true[known])
            for column, true in zip(chances[rest].T, truth[rest].T, strict=True)
            for known in [true >= 0]
        ]
        without.append(np.mean(each))
    mean = found.means["ap"]
    deviation = np.sqrt(19 / 20 * np.square(np.array(without) - np.mean(without)).sum())
    # On the logit scale, to first order of the deviation.
    assert mean.high - mean.low == pytest.approx(2 * 2.093 * deviation, rel=0.02)
    assert mean.low < mean.value < mean.high
    assert judged(chances, truth, groups, seed=5).means["ap"].low == pytest.approx(mean.low)


def test_intervals_cover_the_truth() -> None:
    """In 19 of 20 draws or so: of what chance gives, and with a model that is worth something."""
    for skill, true in ((0.0, 0.5), (1.0, 0.7602)):  # Phi(1 / sqrt 2)
        means = [judged(*draw(seed, skill=skill)).means["auroc"] for seed in range(60)]
        assert sum(mean.contains(true) for mean in means) >= 52


def test_what_all_samples_have_or_none_is_open_and_in_no_mean() -> None:
    chances, truth = draw(2)
    truth[:, 0], truth[:, 1], truth[:, 2] = 0, 1, -1
    found = judged(chances, truth)
    assert found.ranked.tolist() == [False] * 3 + [True] * 3
    assert np.isnan(found.ap[:3]).all() and np.isnan(found.f1[:3]).all() and np.isnan(found.accuracy[2])
    assert found.num_known[2] == 0 and np.isnan(found.prevalence[2])
    assert found.means["f1"].value == pytest.approx(found.f1[3:].mean())
    assert judged(chances, np.zeros_like(truth)).means == {}
    assert judged(chances[:0], truth[:0]).means == {}
