"""Scores of samples that lack something on the scale of those that lack nothing: by hand, and on scores by design."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weldcache.evaluate.variants import Variant
from weldcache.evaluate.whole_scale import Scale, on_whole_scale, rescaled, scale_of, variants_to_measure

WHOLE, NOTHING, IMAGE, AUDIO = Variant("averaged"), frozenset[str](), frozenset({"image"}), frozenset({"audio"})
NO_IMAGE = Variant("averaged", IMAGE)
# Mean 4 and deviation 2; with photographs hidden mean 1 and deviation 0.5.
NORMALS = {WHOLE: np.tile([2.0, 6.0], 5), NO_IMAGE: np.tile([0.5, 1.5, 1.5, 0.5], 3)}


def test_numbers_by_hand() -> None:
    assert scale_of(NORMALS[WHOLE]) == Scale(4.0, 2.0)
    assert scale_of(NORMALS[NO_IMAGE]) == Scale(1.0, 0.5)
    scores = np.array([1.0, 1.75, 1.75, 0.1])
    placed, on_scale = on_whole_scale(scores, WHOLE, lacking=[IMAGE, IMAGE, NOTHING, NOTHING], normals=NORMALS)
    assert placed.tolist() == [4.0, 7.0, 1.75, 0.1]  # 4 + 2 (1.75 - 1) / 0.5
    assert on_scale.all()
    assert scores.tolist() == [1.0, 1.75, 1.75, 0.1]


def test_what_the_variant_hides_counts_as_lacking() -> None:
    both = Variant("averaged", AUDIO | IMAGE)
    normals = {**NORMALS, both: np.tile([10.0, 20.0], 5)}  # mean 15, deviation 5
    placed, _ = on_whole_scale(np.array([1.5, 20.0, 1.5]), NO_IMAGE, lacking=[NOTHING, AUDIO, IMAGE], normals=normals)
    assert placed.tolist() == [6.0, 6.0, 6.0]


@pytest.mark.parametrize("alike", [[], [0.7] * 10, [0.1, 0.1 + 1e-9] * 5, [0.1, 0.9, 0.5] * 3])
def test_where_it_cannot_be_done_scores_stay(alike: list[float]) -> None:
    assert scale_of(np.array(alike)) is None
    scores = np.array([1.0, 2.0])
    for broken in (WHOLE, NO_IMAGE):
        normals = {**NORMALS, broken: np.array(alike)}
        placed, on_scale = on_whole_scale(scores, WHOLE, lacking=[IMAGE, NOTHING], normals=normals)
        assert placed.tolist() == scores.tolist()
        assert on_scale.tolist() == [False, True]


def test_what_has_to_be_measured() -> None:
    raw = Variant("raw")
    assert variants_to_measure([WHOLE, raw, NO_IMAGE], lacking=[NOTHING, NOTHING]) == ()
    found = variants_to_measure([WHOLE, raw], lacking=[NOTHING, IMAGE, IMAGE])
    assert set(found) == {WHOLE, raw, NO_IMAGE, Variant("raw", IMAGE)} and len(found) == 4
    # A sample without audio has neither where photographs are hidden as well.
    found = variants_to_measure([WHOLE, NO_IMAGE], lacking=[NOTHING, AUDIO])
    assert set(found) == {WHOLE, NO_IMAGE, Variant("averaged", AUDIO), Variant("averaged", AUDIO | IMAGE)}


def test_the_same_normals_have_like_quantiles_with_and_without() -> None:
    """Distances of a prediction from a photograph, and without one only the prediction's spread, as was seen."""
    generator = np.random.default_rng(0)
    seen, hidden = generator.normal(2.65, 0.12, 2000), generator.normal(1.0, 0.04, 2000)
    normals = {WHOLE: seen[:500], NO_IMAGE: hidden[:500]}
    placed, _ = on_whole_scale(hidden[500:], WHOLE, lacking=[IMAGE] * 1500, normals=normals)
    shares = [0.05, 0.25, 0.5, 0.75, 0.95]
    np.testing.assert_allclose(np.quantile(placed, shares), np.quantile(seen[500:], shares), atol=0.03)
    assert np.quantile(hidden, 0.95) < np.quantile(
        seen, 0.001
    )  # before, a threshold on the one says nothing of the other


finite = st.floats(-100, 100, width=32)


@given(st.lists(finite, min_size=10, max_size=20), st.lists(finite, min_size=10, max_size=20))
def test_the_normals_themselves_come_to_the_wanted_scale_in_their_order(
    first: list[float], second: list[float]
) -> None:
    found, wanted = scale_of(np.array(first)), scale_of(np.array(second))
    if found is None or wanted is None:
        return
    placed = rescaled(np.array(first), found=found, wanted=wanted)
    assert placed.mean() == pytest.approx(wanted.mean, abs=1e-6 * (abs(wanted.mean) + wanted.deviation))
    assert placed.std() == pytest.approx(wanted.deviation, rel=1e-6)
    assert (np.diff(placed[np.argsort(first, kind="stable")]) >= 0).all()
