"""Effective rank and spread of embeddings whose shape is known."""

import math

import pytest
import torch

from weldcache.train.validation import effective_rank, spread


def test_directions_of_equal_spread_count_fully() -> None:
    corners = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]])
    assert effective_rank(corners + 7.0) == pytest.approx(2.0, rel=1e-5)


def test_a_weaker_direction_counts_in_part() -> None:
    """Singular values 3 and 1 (up to a factor): shares 3/4 and 1/4."""
    rows = torch.tensor([[3.0, 0], [-3, 0], [0, 1], [0, -1]])
    expected = math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert effective_rank(rows) == pytest.approx(expected, rel=1e-6)


def test_a_line_has_rank_one(generator: torch.Generator) -> None:
    line = torch.randn(20, 1, generator=generator) * torch.randn(1, 8, generator=generator)
    assert effective_rank(line) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("rows", [1, 6])
def test_collapsed_embeddings_have_neither_rank_nor_spread(rows: int) -> None:
    constant = torch.full((rows, 5), 0.1)
    assert effective_rank(constant) == 0.0
    assert spread(constant) == {"effective_rank": 0.0, "std": 0.0, "std_min": 0.0, "std_max": 0.0}


def test_spread_is_told_by_its_mean_and_extremes_over_dimensions() -> None:
    found = spread(torch.tensor([[0.0, 5.0, 1.0], [2.0, 5.0, 5.0]]))
    assert (found["std"], found["std_min"], found["std_max"]) == pytest.approx((1.0, 0.0, 2.0))
    assert found["effective_rank"] == pytest.approx(1.0)
