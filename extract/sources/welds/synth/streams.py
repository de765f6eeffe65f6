"""Independent random streams for each weld and purpose, so that any weld can be made alone, in any process, alike."""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a stream is for. The numbers are part of the data's identity: never renumber them, only add."""

    ROSTER = 0
    SESSION = 1
    RECORDING = 2
    NORMAL_STATE = 3
    DEFECT_STATE = 4
    SENSORS = 5
    AUDIO = 6
    VIDEO = 7
    PHOTOGRAPHS = 8
    SEAM = 9
    SEAM_DEFECTS = 10
    OTHER_NORMAL_STATE = 11


def stream(seed: int, *, purpose: Purpose, index: int = 0) -> np.random.Generator:
    """The generator for one purpose and one weld (or session) of the data set made from `seed`.

    Sources: `numpy.random.SeedSequence` with a spawn key, the tree that NumPy documents for parallel streams.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(purpose), index)))
