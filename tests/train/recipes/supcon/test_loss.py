"""The supervised contrastive loss against a slow reference, numbers by hand, and its gradient."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from weldcache.train.recipes.supcon.loss import supervised_contrast


def unit_vectors(num: int, *, width: int = 5, seed: int = 0) -> Tensor:
    vectors = torch.from_numpy(np.random.default_rng(seed).normal(size=(num, width)))
    return torch.nn.functional.normalize(vectors, dim=1)


def one_hot(classes: list[int], *, num: int = 3) -> Tensor:
    known = torch.tensor([float(each >= 0) for each in classes]).double()
    return torch.nn.functional.one_hot(torch.tensor(classes).clamp(min=0), num).double() * known.unsqueeze(1)


def slowly(vectors: Tensor, classes: list[int], *, temperature: float, beta: float = 0.0) -> float:
    """Equation 2 of Khosla et al. word for word; negatives as Robinson et al. weigh them, by loops."""
    rows = [row for row, each in enumerate(classes) if each >= 0]
    lost = []
    for anchor in rows:
        others = [row for row in rows if row != anchor]
        exponential = {row: math.exp(float(vectors[anchor] @ vectors[row]) / temperature) for row in others}
        positives = [row for row in others if classes[row] == classes[anchor]]
        negatives = [row for row in others if classes[row] != classes[anchor]]
        hardness = {row: exponential[row] ** beta for row in negatives}
        mean = sum(hardness.values()) / max(1, len(negatives))
        below = sum(exponential[row] for row in positives)
        below += sum(hardness[row] / mean * exponential[row] for row in negatives)
        if positives:
            lost.append(-sum(math.log(exponential[row] / below) for row in positives) / len(positives))
    return sum(lost) / len(lost)


@pytest.mark.parametrize("classes", [[0, 0, 1, 1, 2, 2, 0], [0, 0, 1, 2, 2, 2, 2], [0, 0, -1, 1, 1, -1, 2]])
@pytest.mark.parametrize("beta", [0.0, 0.5, 2.0])
def test_it_is_the_equation(classes: list[int], beta: float) -> None:
    vectors = unit_vectors(len(classes))
    found = supervised_contrast(vectors, one_hot(classes), temperature=0.5, hard_negatives=beta)
    assert float(found) == pytest.approx(slowly(vectors, classes, temperature=0.5, beta=beta), rel=1e-9)


def test_by_hand() -> None:
    """Two of a class at one place, one of another opposite: -log(e / (e + 1/e)) for either; the third has no like."""
    vectors = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    found = supervised_contrast(vectors, one_hot([0, 0, 1]).float(), temperature=1.0)
    assert float(found) == pytest.approx(-math.log(math.e / (math.e + 1 / math.e)), rel=1e-6)


@pytest.mark.parametrize("classes", [[0, 1, 2], [-1, -1, -1], [0, -1, -1]])
@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_where_nothing_is_alike_it_is_nothing_and_has_a_gradient(classes: list[int], beta: float) -> None:
    vectors = unit_vectors(3).requires_grad_()
    found = supervised_contrast(vectors, one_hot(classes), temperature=0.07, hard_negatives=beta)
    (gradient,) = torch.autograd.grad(found, vectors)
    assert float(found.detach()) == 0 and not gradient.any()


def test_half_of_each_of_two_classes_lies_between_both() -> None:
    vectors, whole = unit_vectors(6), one_hot([0, 0, 1, 1, 0, 1])
    mixed = whole.clone()
    mixed[0] = (whole[0] + whole[2]) / 2
    lost = [
        float(supervised_contrast(vectors, classes, temperature=0.5))
        for classes in (whole, mixed, one_hot([1, 0, 1, 1, 0, 1]))
    ]
    assert min(lost[0], lost[2]) < lost[1] < max(lost[0], lost[2])


def test_harder_negatives_count_more() -> None:
    """The one at a right angle pushes less, and the one nearby more, than where both count alike."""
    vectors = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.8, -0.6], [0.0, 1.0]], requires_grad=True)
    pushed = []
    for beta in (0.0, 2.0):
        lost = supervised_contrast(vectors, one_hot([0, 0, 1, 1]).float(), temperature=0.5, hard_negatives=beta)
        pushed.append(lost.item())
    assert pushed[1] > pushed[0]
