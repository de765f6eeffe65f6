"""While tests run, an array of another shape than its annotation says is an error; mypy cannot see that."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from weldcache.metrics.ranking import RocCurve, auroc
from weldcache.train.nn.pooling import MeanPooling
from weldcache.wording import brief


def test_of_a_functions_arguments() -> None:
    with pytest.raises(TypeCheckError, match="scores"):
        auroc(np.zeros((2, 2)), np.array([0, 1]))
    with pytest.raises(TypeCheckError, match="labels"):
        auroc(np.zeros(3), np.array([0, 1]))  # one axis is called alike in both


def test_of_a_modules_forward() -> None:
    with pytest.raises(TypeCheckError, match="tokens"):
        MeanPooling()(torch.zeros(3, 4, dtype=torch.int64))


def test_of_a_dataclass() -> None:
    with pytest.raises(TypeCheckError, match="tpr"):
        RocCurve(fpr=np.zeros(3), tpr=np.zeros(2))


def test_what_names_no_shape_is_left_as_it_is() -> None:
    assert not hasattr(brief, "__wrapped__")


def test_of_the_calls_in_each_test_the_first_are_checked() -> None:
    for _ in range(20):
        MeanPooling()(torch.zeros(1, 4, 3))
    with pytest.raises(TypeCheckError, match="scores"):  # what was called that often is another
        auroc(np.zeros((2, 2)), np.array([0, 1]))


@pytest.mark.parametrize("again", [0, 1])
def test_each_test_begins_anew(again: int) -> None:
    for _ in range(10):
        with pytest.raises(TypeCheckError, match="scores"):
            auroc(np.zeros((2, 2)), np.array([0, 1]))


@given(number=st.integers(0, 1_000_000))
def test_every_example_of_hypothesis_is_checked(number: int) -> None:
    with pytest.raises(TypeCheckError, match="scores"):
        auroc(np.full((2, 2), number), np.array([0, 1]))
