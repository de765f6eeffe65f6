"""Photographs: each view at its place, absent ones zero and marked, whatever the backbone makes of a blank."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from weldcache.extract.backbones.spec import BackboneSpec
from weldcache.extract.decode.decoded import Photographs
from weldcache.extract.decode.image import MASK_COLOUR
from weldcache.extract.features.kind import Prepared
from weldcache.extract.features.photographs import PhotographsEncoder
from weldcache.extract.features.settings import PhotographsSettings
from weldcache.extract.sources.source import Sample


def mean_of_each_view(decoded: Photographs) -> Tensor:
    """As if every picture were its mean brightness; a view that is not there is blank."""
    means = [0.0 if view is None else float(view.mean()) for view in decoded.views]
    return torch.tensor(means).to(torch.uint8)[:, None, None, None].expand(-1, 3, 2, 2)


@dataclass
class Telling:
    """A backbone whose tokens of block b are the picture's brightness + 1000 b, blank pictures too."""

    asked: list[tuple[int, ...]] = field(default_factory=list)  # blocks of each call
    spec = BackboneSpec("dinov3", "telling", "local", "0" * 64, True, "float32", {}, {})
    preparation = staticmethod(mean_of_each_view)
    blocks = (2, 5)

    def shapes(self, block: int) -> dict[str, tuple[int, ...]]:
        return {"patch_tokens": (4, 3), "mean": (3,), "cls": (3,)}

    def load(self) -> None:
        """Nothing to load."""

    def flops(self, *, blocks: Sequence[int] | None = None) -> int:
        return max(blocks or self.blocks)

    def __call__(self, batch: Tensor, *, blocks: Sequence[int] | None = None) -> dict[int, dict[str, Tensor]]:
        chosen = tuple(blocks or self.blocks)
        self.asked.append(chosen)
        told = {block: batch[:, 0, 0, 0].float()[:, None] + 1000.0 * block for block in chosen}
        return {
            block: {
                "patch_tokens": values[:, :, None].expand(-1, 4, 3),
                "cls": values.expand(-1, 3),
                "mean": values.expand(-1, 3),
            }
            for block, values in told.items()
        }


BLOCKS = {"image/block_2": 2000, "image/block_5": 5000}


def encode(
    encoder: PhotographsEncoder, *prepared: Prepared, sets: Sequence[str] = tuple(BLOCKS)
) -> list[dict[str, Tensor]]:
    """Features of each weld, by `<set>/<array>`."""
    made = encoder.encode(prepared, feature_sets=frozenset(sets))
    return [
        {f"{name}/{array}": values[place] for name, arrays in made.items() for array, values in arrays.items()}
        for place in range(len(prepared))
    ]


@pytest.fixture
def backbone() -> Telling:
    return Telling()


@pytest.fixture
def encoder(backbone: Telling) -> PhotographsEncoder:
    return PhotographsEncoder(
        "image", PhotographsSettings(blocks=(2, 5), num_views=5), backbone=backbone, dtype="float32"
    )


@pytest.fixture
def photographs(tmp_path: Path) -> Callable[..., Sample]:
    """A weld with these views, view v being of brightness 40 v."""

    def make(views: Sequence[int], *, name: str = "weld") -> Sample:
        paths = []
        for view in views:
            paths.append(tmp_path / f"{name}_view{view}.jpg")
            picture = np.full((20, 30 + view, 3), 40 * view, np.uint8)
            picture[:10] += 12  # so that it shows something
            picture[10:] -= 12
            cv2.imwrite(str(paths[-1]), picture)
        return Sample("day/0", "train", "day", {"image": tuple(paths)})

    return make


def test_an_absent_view_is_zero_and_marked_and_said(
    encoder: PhotographsEncoder, photographs: Callable[..., Sample]
) -> None:
    prepared = encoder.reader(photographs([1, 2, 4, 5]))
    assert len(prepared.notes) == 1 and "view 3" in prepared.notes[0]
    (features,) = encode(encoder, prepared)
    brightness = np.array([40, 80, 0, 160, 200])
    for name, offset in BLOCKS.items():
        expected = np.where(brightness > 0, brightness + offset, 0)
        np.testing.assert_array_equal(features[f"{name}/views_present"], [1, 1, 0, 1, 1])
        np.testing.assert_allclose(features[f"{name}/cls"][:, 0], expected, atol=2)  # JPEG is not exact
        np.testing.assert_allclose(features[f"{name}/mean"][:, 1], expected, atol=2)
        np.testing.assert_allclose(features[f"{name}/patch_tokens"][:, 3, 2], expected, atol=2)
        assert (np.asarray(features[f"{name}/patch_tokens"])[2] == 0).all()


def test_each_weld_keeps_its_own_views_in_a_batch(
    encoder: PhotographsEncoder, photographs: Callable[..., Sample]
) -> None:
    prepared = [encoder.reader(photographs(views, name=str(views))) for views in ([1, 2, 3, 4, 5], [2, 5], [5])]
    together = encode(encoder, *prepared)
    assert [features["image/block_2/views_present"].tolist() for features in together] == [
        [1, 1, 1, 1, 1],
        [0, 1, 0, 0, 1],
        [0, 0, 0, 0, 1],
    ]
    for item, features in zip(prepared, together, strict=True):
        (alone,) = encode(encoder, item)
        for name in alone:
            np.testing.assert_array_equal(features[name], alone[name])


def test_only_the_blocks_that_are_lacking_are_asked_for(
    encoder: PhotographsEncoder, backbone: Telling, photographs: Callable[..., Sample]
) -> None:
    prepared = encoder.reader(photographs([1, 2, 3, 4, 5]))
    (features,) = encode(encoder, prepared, sets=["image/block_2"])
    assert backbone.asked == [(2,)]
    assert all(name.startswith("image/block_2/") for name in features)
    assert encoder.flops(prepared, feature_sets=frozenset({"image/block_2"})) == 5 * 2
    assert encoder.flops(prepared, feature_sets=frozenset(BLOCKS)) == 5 * 5


def test_arrays_are_as_announced(encoder: PhotographsEncoder, photographs: Callable[..., Sample]) -> None:
    (features,) = encode(encoder, encoder.reader(photographs([1, 2, 3, 4, 5])))
    assert {f"{spec.name}/{array.name}": array.shape for spec in encoder.specs for array in spec.arrays} == {
        name: tuple(values.shape) for name, values in features.items()
    }
    assert [spec.made_by["block"] for spec in encoder.specs] == [2, 5]
    first, second = ({**spec.made_by, "block": None} for spec in encoder.specs)
    assert first == second  # nothing but the block parts them, so another block leaves these as they are


def test_crop_and_masks_are_done_and_told(backbone: Telling, photographs: Callable[..., Sample]) -> None:
    settings = PhotographsSettings(blocks=(2,), crop=(0.0, 0.5, 1.0, 1.0), masks=((0.0, 0.5, 1.0, 1.0),))
    encoder = PhotographsEncoder("image", settings, backbone=backbone, dtype="float32")
    prepared = encoder.reader(photographs([1, 2, 3, 4, 5]))
    painted = round(float(np.mean(MASK_COLOUR)))
    assert (prepared.tensors["views"].int() - painted).abs().max() <= 1  # what is left of each picture is painted over
    decoding = encoder.specs[0].made_by["decoding"]
    assert decoding == {
        "num_views": 5,
        "crop": [0.0, 0.5, 1.0, 1.0],
        "masks": [[0.0, 0.5, 1.0, 1.0]],
        "mask_colour": list(MASK_COLOUR),
    }
