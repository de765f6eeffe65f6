"""Patch tokens of photographs near a plane, some photographs missing: what the detectors of vectors are tried on."""

import numpy as np
import torch

from weldcache.train.types import Batch

ARRAY = "image/block_4/patch_tokens"
VIEWS = "image/block_4/views_present"
SHAPES = {ARRAY: (3, 5, 8), VIEWS: (3,)}


def patches(num: int, *, seed: int, unusual: bool = False) -> Batch:
    """Rows whose patches lie near a plane; every patch of unusual ones lies off it. Padding is far off."""
    rng = np.random.default_rng(seed)
    plane, beyond = np.split(np.linalg.qr(np.random.default_rng(7).normal(size=(8, 3)))[0].T, [2])
    values = 2 + rng.normal(size=(num, 1, 1, 2)) @ plane + 0.05 * rng.normal(size=(num, 3, 5, 8))
    if unusual:
        values = values + 2 * beyond
    views = np.column_stack([np.ones(num), rng.integers(0, 2, size=(num, 2))]).astype(np.uint8)
    values[views == 0] = 100.0
    return Batch({ARRAY: torch.from_numpy(values).half(), VIEWS: torch.from_numpy(views)})
