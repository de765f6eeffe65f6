"""Late fusion of scores, by hand."""

import pytest
import torch
from torch import nn

from weldcache.train.nn.late_fusion import LateFusion


def test_equal_and_unscaled_until_told() -> None:
    model = LateFusion([nn.Linear(1, 1), nn.Linear(1, 1)])
    assert model(torch.tensor([[1.0, 3.0], [-2.0, 2.0]])).tolist() == [2.0, 0.0]


def test_standardised_and_weighted_by_hand() -> None:
    model = LateFusion([nn.Identity(), nn.Identity(), nn.Identity()])
    model.use(mean=[1.0, 10.0, -1.0], std=[2.0, 5.0, 0.5], weight=[0.5, 0.25, 0.25])
    scores = torch.tensor([[3.0, 20.0, -1.0], [1.0, 0.0, 1.0]])
    assert model(scores).tolist() == pytest.approx([0.5 * 1 + 0.25 * 2 + 0.25 * 0, 0.5 * 0 + 0.25 * -2 + 0.25 * 4])


def test_a_row_does_not_depend_on_the_others() -> None:
    model = LateFusion([nn.Identity(), nn.Identity(), nn.Identity()])
    model.use(mean=[0.3, 0.1, 7.7], std=[0.9, 1.7, 0.3], weight=[0.2, 0.3, 0.5])
    scores = torch.randn(257, 3)
    assert torch.equal(model(scores), torch.cat([model(row) for row in scores.split(1)]))


def test_members_and_numbers_are_in_the_state() -> None:
    names = set(LateFusion([nn.Linear(2, 1), nn.Identity()]).state_dict())
    assert names == {"mean", "std", "weight", "members.0.weight", "members.0.bias"}
