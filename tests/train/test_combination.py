"""How scores become one: units from normals, weights as given, and as separate validation best."""

from itertools import product

import numpy as np
import pytest

from weldcache.errors import MetricError, SettingsError, TrainingError
from weldcache.metrics.ranking import auroc
from weldcache.train.combination import fit_weights, parse_weighting, require_convex, weigh

NAMES = ["first", "second"]
LABELS = np.array([0, 0, 0, 1, 1], dtype=np.uint8)
SCORES = np.array([[1.0, 10.0], [2.0, 40.0], [3.0, 40.0], [7.0, 10.0], [0.0, 100.0]])


def test_units_are_those_of_the_normals() -> None:
    found = weigh(SCORES, LABELS, names=NAMES, weighting="equal")
    assert found.mean == pytest.approx((2.0, 30.0))
    assert found.std == pytest.approx((np.sqrt(2 / 3), np.sqrt(200)))
    assert (found.weight, found.step) == ((0.5, 0.5), None)
    moved = SCORES.copy()
    moved[LABELS == 1] += 1e6  # defects have no part in it
    assert weigh(moved, LABELS, names=NAMES, weighting="equal") == found


def test_given_weights_are_taken() -> None:
    assert weigh(SCORES, LABELS, names=NAMES, weighting=(0.37, 0.63)).weight == (0.37, 0.63)


def test_a_score_without_spread_is_refused() -> None:
    flat = SCORES.copy()
    flat[:3, 1] = 4.0
    with pytest.raises(TrainingError, match="The run second gives all 3 validation normals one score"):
        weigh(flat, LABELS, names=NAMES, weighting="equal")
    with pytest.raises(TrainingError, match="1 normal sample"):
        weigh(SCORES[2:], LABELS[2:], names=NAMES, weighting="equal")
    broken = SCORES.copy()
    broken[4, 0] = np.nan
    with pytest.raises(MetricError):
        weigh(broken, LABELS, names=NAMES, weighting="fit")


def test_a_model_that_knows_nothing_gets_nothing() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 200).astype(np.uint8)
    knows = labels * 2.0 + rng.normal(size=400)
    combined = weigh(np.stack([rng.normal(size=400), knows], axis=1), labels, names=NAMES, weighting="fit")
    assert combined.step == 0.01
    assert combined.weight[0] < 0.2 and sum(combined.weight) == pytest.approx(1)


def test_two_that_know_different_things_are_better_together() -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], 300).astype(np.uint8)
    scores = labels[:, None] * np.array([1.0, 1.0]) + rng.normal(size=(600, 2))
    weights, _ = fit_weights(scores, labels)
    assert 0.3 < weights[0] < 0.7
    assert auroc(scores @ weights, labels) > max(auroc(scores[:, 0], labels), auroc(scores[:, 1], labels)) + 0.02


@pytest.mark.parametrize(("num_members", "parts"), [(2, 100), (3, 100), (4, 20), (5, 10)])
def test_no_multiple_of_the_step_is_better(num_members: int, parts: int) -> None:
    rng = np.random.default_rng(num_members)
    labels = rng.integers(0, 2, size=24).astype(np.uint8)
    scores = labels[:, None] * rng.uniform(0, 1, size=num_members) + rng.normal(size=(24, num_members))
    weights, step = fit_weights(scores, labels)
    assert step == 1 / parts
    # On a coarser grid, which is part of the finer one.
    coarse = parts // 5 if num_members < 4 else parts // 2
    others = [
        trial for trial in product(range(0, parts + 1, parts // coarse), repeat=num_members) if sum(trial) == parts
    ]
    best = max(auroc(scores @ (np.array(trial) / parts), labels) for trial in others)
    assert auroc(scores @ weights, labels) >= best


def test_of_equally_good_weights_the_evenest() -> None:
    labels = np.array([0, 0, 1, 1], dtype=np.uint8)
    same = np.array([[0.0, 0.0], [1.0, 1.0], [5.0, 5.0], [6.0, 6.0]])
    assert fit_weights(same, labels)[0] == (0.5, 0.5)


def test_fitting_takes_defects() -> None:
    with pytest.raises(SettingsError, match=r"--weights fit .* has normals alone"):
        weigh(SCORES[:3], LABELS[:3], names=NAMES, weighting="fit")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("equal", "equal"), ("fit", "fit"), ("0.37,0.63", (0.37, 0.63)), ("1, 0,0", (1.0, 0.0, 0.0))],
)
def test_weightings_are_read(text: str, expected: object) -> None:
    assert parse_weighting(text) == expected


@pytest.mark.parametrize("text", ["best", "0.5;0.5", "", "0.5,"])
def test_other_weightings_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="expected equal, fit, or a number for each run"):
        parse_weighting(text)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ((0.5, 0.5), "2 weights for 3 runs"),
        ((0.5, 0.6, -0.1), "between 0 and 1"),
        ((0.5, 0.2, 0.2), "sum to 1"),
        ((float("nan"), 0.5, 0.5), "between 0 and 1"),
    ],
)
def test_weights_that_are_not_convex_are_refused(weights: tuple[float, ...], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        require_convex(weights, num_members=3)
    require_convex((1 / 3, 1 / 3, 1 / 3), num_members=3)
