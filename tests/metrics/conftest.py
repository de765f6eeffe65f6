"""Score and label arrays for the metrics' tests."""

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from numpy.typing import NDArray

Scored = tuple[NDArray[np.float64], NDArray[np.int64]]


def _arrays(pairs: list[tuple[float, int]]) -> Scored:
    values = [(0.0, 0), (1.0, 1), *pairs] if len({label for _, label in pairs}) < 2 else pairs
    return np.array([score for score, _ in values]), np.array([label for _, label in values], dtype=np.int64)


@pytest.fixture(scope="session")
def scored_samples() -> SearchStrategy[Scored]:
    """Scores between 20 and 50, half of the time on a coarse grid with many ties, and labels of both classes."""
    scores = st.one_of(st.floats(20, 50, allow_nan=False, width=32), st.integers(20, 26).map(float))
    return st.lists(st.tuples(scores, st.integers(0, 1)), min_size=2, max_size=60).map(_arrays)
