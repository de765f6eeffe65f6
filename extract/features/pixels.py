"""Pixels: photographs shrunken to a few numbers, which no backbone has seen."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from ...cache.arrays import ArraySpec
from ..sources.source import Sample
from .kind import OPENCV, Prepared, StoredAsRead, Tools
from .photographs import PicturesReader, describe_pictures
from .settings import PixelsSettings


@dataclass(frozen=True)
class PixelsReader(PicturesReader):
    """{"values": (views, numbers), from 0 to 1, "views_present": (views,)}; absent views are zeros, and marked."""

    settings: PixelsSettings

    def __call__(self, sample: Sample) -> Prepared:
        settings, photographs = self.settings, self.decoded(sample)
        values = np.zeros((settings.num_views, settings.height * settings.width * 3), dtype=np.float32)
        for row, view in zip(values, photographs.views, strict=True):
            if view is not None:
                # In floating point, in which a mean of many pixels is not rounded to one of 256 levels.
                whole = view.astype(np.float32) / 255
                row[:] = cv2.resize(whole, (settings.width, settings.height), interpolation=cv2.INTER_AREA).ravel()
        present = torch.from_numpy(photographs.present.astype(np.uint8))
        tensors = {"values": torch.from_numpy(values), "views_present": present}
        return Prepared(tensors, notes=photographs.notes, extents=photographs.extents)


class PixelsEncoder(StoredAsRead):
    """Rows of pixels from the top, each from the left, each red, green and blue: the mean of what it covers."""

    def __init__(self, name: str, settings: PixelsSettings) -> None:
        views, size = settings.num_views, [settings.height, settings.width, 3]
        arrays = [
            ArraySpec("values", (views, int(np.prod(size))), ("view", "dim"), "float32", attributes={"picture": size}),
            ArraySpec("views_present", (views,), ("view",), "uint8", distinct=False),
        ]
        decoding = {**describe_pictures(settings), "picture": size, "shrinking": "area"}
        super().__init__(name, PixelsReader(settings), arrays, decoding=decoding, decoders=[OPENCV])


def make(name: str, settings: PixelsSettings, tools: Tools) -> PixelsEncoder:
    return PixelsEncoder(name, settings)
