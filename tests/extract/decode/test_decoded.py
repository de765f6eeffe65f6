"""The high one of two levels: where it starts and ends, and when there are not two."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weldcache.extract.decode.decoded import high_span


def two_levels(*, lengths: tuple[int, int, int], noise: float, seed: int = 0) -> np.ndarray:
    """0, then 1, then 0, with normal noise on it."""
    clean = np.repeat([0.0, 1.0, 0.0], lengths)
    return clean + noise * np.random.default_rng(seed).standard_normal(len(clean))


def test_by_hand() -> None:
    levels = np.array([1.0, 2, 1, 8, 9, 8, 9, 2, 1, 2])
    assert high_span(levels, hold=1, min_contrast=5.0) == (3, 6)
    assert high_span(levels, hold=2, min_contrast=5.0) == (3, 6)
    assert high_span(levels, hold=1, min_contrast=7.1) is None  # means are 1.5 and 8.5


@given(
    before=st.integers(3, 60),
    during=st.integers(5, 90),
    after=st.integers(3, 60),
    seed=st.integers(0, 2**16),
    scale=st.floats(0.5, 1e3),
    offset=st.floats(-1e3, 1e3),
)
def test_both_edges_are_found_whatever_the_scale(
    before: int, during: int, after: int, seed: int, scale: float, offset: float
) -> None:
    levels = two_levels(lengths=(before, during, after), noise=0.05, seed=seed) * scale + offset
    assert high_span(levels, hold=3, min_contrast=0.5 * scale) == (before, before + during - 1)


@given(place=st.integers(0, 23), length=st.integers(1, 3), reverse=st.booleans())
def test_a_flash_shorter_than_hold_does_not_count_even_at_the_ends(place: int, length: int, reverse: bool) -> None:
    levels = two_levels(lengths=(30, 40, 30), noise=0.01)
    levels[place : place + length] += 1
    assert high_span(levels[::-1] if reverse else levels, hold=4, min_contrast=0.5) == (30, 69)


@given(place=st.integers(34, 63), length=st.integers(1, 3))
def test_a_dip_shorter_than_hold_does_not_count(place: int, length: int) -> None:
    levels = two_levels(lengths=(30, 40, 30), noise=0.01)
    levels[place : place + length] -= 1
    assert high_span(levels, hold=4, min_contrast=0.5) == (30, 69)


def test_what_lasts_as_long_as_hold_counts() -> None:
    levels = two_levels(lengths=(30, 40, 30), noise=0.01)
    levels[10:14] += 1
    assert high_span(levels, hold=4, min_contrast=0.5) == (10, 69)


@pytest.mark.parametrize("hold", [1, 2, 6])
@pytest.mark.parametrize("seed", range(5))
def test_one_level_that_fluctuates_is_not_two(hold: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    assert high_span(generator.standard_normal(300), hold=hold, min_contrast=0.1) is None
    assert (
        high_span(np.linspace(0, 1, 300) + 0.05 * generator.standard_normal(300), hold=hold, min_contrast=0.1) is None
    )


@pytest.mark.parametrize("levels", [[], [1.0], [2.0] * 50])
def test_nothing_to_part(levels: list[float]) -> None:
    assert high_span(np.array(levels, dtype=np.float64), hold=3, min_contrast=0.0) is None


def test_a_level_may_reach_either_end() -> None:
    assert high_span(two_levels(lengths=(0, 50, 20), noise=0.05), hold=3, min_contrast=0.5) == (0, 49)
    assert high_span(two_levels(lengths=(20, 50, 0), noise=0.05), hold=3, min_contrast=0.5) == (20, 69)


@pytest.mark.parametrize("lead", [1, 2, 5])
def test_the_shortest_lead_is_seen(lead: int) -> None:
    levels = two_levels(lengths=(lead, 50, lead), noise=0.05)
    assert high_span(levels, hold=6, min_contrast=0.5) == (lead, lead + 49)
