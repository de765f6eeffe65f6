"""The resize keeps what pictures hold: means where it shrinks, values where it grows, nothing aliased."""

import numpy as np
import pytest

from weldcache.extract.decode.resize import resize_antialiased


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)


def test_shrinking_by_whole_factors_is_the_mean_of_each_block(noise: np.ndarray) -> None:
    blocks = noise.reshape(20, 3, 45, 2, 3).mean(axis=(1, 3))
    assert np.abs(resize_antialiased(noise, height=20, width=45) - blocks).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("height", [20, 224])
def test_fine_stripes_become_grey_even_where_the_other_axis_grows(height: int) -> None:
    stripes = np.zeros((60, 900, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    resized = resize_antialiased(stripes, height=height, width=224)
    assert resized.shape == (height, 224, 3)
    assert np.abs(resized.astype(int) - 127).max() < 40


def test_growing_stays_within_the_values_of_the_picture() -> None:
    edge = np.full((10, 10, 3), 60, dtype=np.uint8)
    edge[:, 5:] = 190
    grown = resize_antialiased(edge, height=37, width=41)
    assert (grown.min(), grown.max()) == (60, 190)


def test_the_same_size_is_the_same_picture(noise: np.ndarray) -> None:
    np.testing.assert_array_equal(resize_antialiased(noise, height=60, width=90), noise)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (900, 2000), (7, 501)])
def test_any_shape_becomes_the_one_asked_for(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 99, dtype=np.uint8)
    resized = resize_antialiased(image, height=32, width=32)
    assert resized.shape == (32, 32, 3)
    assert resized.dtype == np.uint8
    assert (resized == 99).all()
