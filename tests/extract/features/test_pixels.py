"""Pixels: means of what they cover, absent views zero and marked, and only what is set changes the fingerprint."""

from pathlib import Path

import cv2
import numpy as np

from weldcache.extract.features.pixels import PixelsEncoder
from weldcache.extract.features.settings import PixelsSettings
from weldcache.extract.sources.source import Sample


def _sample(folder: Path, picture: np.ndarray) -> Sample:
    path = folder / "part_2.png"
    cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return Sample("a", "train", "a", {"image": (path,)})


def test_each_pixel_is_the_mean_of_what_it_covers_and_absent_views_are_marked(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, size=(12, 20, 3), dtype=np.uint8)
    encoder = PixelsEncoder("pixels", PixelsSettings(num_views=3, width=5, height=2))
    prepared = encoder.reader(_sample(tmp_path, picture))
    values, present = prepared.tensors["values"].numpy(), prepared.tensors["views_present"].tolist()
    assert values.shape == encoder.specs[0].arrays[0].shape == (3, 30) and present == [0, 1, 0]
    expected = picture.reshape(2, 6, 5, 4, 3).mean(axis=(1, 3)) / 255
    np.testing.assert_allclose(values[1], expected.ravel(), atol=1e-6)
    assert not values[[0, 2]].any() and prepared.notes


def test_crop_and_masks_are_those_of_photographs(tmp_path: Path) -> None:
    picture = np.full((8, 8, 3), 200, dtype=np.uint8)
    picture[:, 4:] = 0
    settings = PixelsSettings(num_views=2, width=1, height=1, crop=(0.0, 0.0, 0.5, 1.0))
    encoder = PixelsEncoder("pixels", settings)
    values = encoder.reader(_sample(tmp_path, picture)).tensors["values"].numpy()
    np.testing.assert_allclose(values[1], 200 / 255, atol=1e-6)
    described = encoder.specs[0].made_by["decoding"]
    assert isinstance(described, dict) and described["crop"] == [0.0, 0.0, 0.5, 1.0] and "masks" not in described
