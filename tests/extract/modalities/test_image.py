"""Photographs: each view at its place, absent ones zero and marked, whatever the backbone makes of a blank."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from weldcache.configs.schema import CacheSettings, ImageSettings
from weldcache.extract.backbones.spec import BackboneSpec
from weldcache.extract.decode.decoded import Photographs
from weldcache.extract.modalities.image import ImageEncoder
from weldcache.extract.sample import Sample


def mean_of_each_view(decoded: Photographs) -> Tensor:
    """As if every picture were its mean brightness; a view that is not there is blank."""
    means = [0.0 if view is None else float(view.mean()) for view in decoded.views]
    return torch.tensor(means)[:, None, None, None].expand(-1, 3, 2, 2)


@dataclass
class Telling:
    """A backbone whose tokens of block b are the picture's brightness + 1000 b, blank pictures too."""

    spec = BackboneSpec("dinov3", "telling", "local", "0" * 64, True, "float32", {}, {})
    preparation = staticmethod(mean_of_each_view)
    num_patches = 4
    dim = 3

    def __call__(self, batch: Tensor) -> dict[str, Tensor]:
        told = batch[:, 0, 0, 0][:, None] + torch.tensor([1000.0, 2000.0])
        return {"patch_tokens": told[:, :, None, None].expand(-1, -1, 4, 3), "cls": told[:, :, None].expand(-1, -1, 3)}


@pytest.fixture
def encoder() -> ImageEncoder:
    return ImageEncoder(
        Telling(), settings=ImageSettings(blocks=(2, 5), num_views=5), cache=CacheSettings(dtype="float32")
    )


@pytest.fixture
def photographs(tmp_path: Path) -> Callable[..., Sample]:
    """A weld with these views, view v being of brightness 40 v."""

    def make(views: Sequence[int], *, name: str = "weld") -> Sample:
        paths = []
        for view in views:
            paths.append(tmp_path / f"{name}_view{view}.jpg")
            cv2.imwrite(str(paths[-1]), np.full((20, 30 + view, 3), 40 * view, np.uint8))
        return Sample("day/0", "train", "good", "day", 0, {"image": tuple(paths)})

    return make


def test_an_absent_view_is_zero_and_marked_and_said(encoder: ImageEncoder, photographs: Callable[..., Sample]) -> None:
    prepared = encoder.reader(photographs([1, 2, 4, 5]))
    assert len(prepared.notes) == 1 and "view 3" in prepared.notes[0]
    (features,) = encoder.encode([prepared])
    np.testing.assert_array_equal(features["views_present"], [1, 1, 0, 1, 1])
    brightness = np.array([40, 80, 0, 160, 200])
    for place, block in enumerate((1000, 2000)):
        expected = np.where(brightness > 0, brightness + block, 0)
        np.testing.assert_allclose(features["cls"][place, :, 0], expected, atol=2)  # JPEG is not exact
        np.testing.assert_allclose(features["patch_tokens"][place, :, 3, 2], expected, atol=2)
    assert (np.asarray(features["patch_tokens"])[:, 2] == 0).all()


def test_each_weld_keeps_its_own_views_in_a_batch(encoder: ImageEncoder, photographs: Callable[..., Sample]) -> None:
    prepared = [encoder.reader(photographs(views, name=str(views))) for views in ([1, 2, 3, 4, 5], [2, 5], [5])]
    together = encoder.encode(prepared)
    assert [features["views_present"].tolist() for features in together] == [
        [1, 1, 1, 1, 1],
        [0, 1, 0, 0, 1],
        [0, 0, 0, 0, 1],
    ]
    for item, features in zip(prepared, together, strict=True):
        (alone,) = encoder.encode([item])
        for name in alone:
            np.testing.assert_array_equal(features[name], alone[name])


def test_arrays_are_as_announced(encoder: ImageEncoder, photographs: Callable[..., Sample]) -> None:
    (features,) = encoder.encode([encoder.reader(photographs([1, 2, 3, 4, 5]))])
    assert {array.name: array.shape for array in encoder.spec.arrays} == {
        name: values.shape for name, values in features.items()
    }
    assert encoder.spec.arrays[0].attributes == {"blocks": [2, 5]}
