"""Where the pictures of a data set are defective, as it lies there now: a store holds no masks."""

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from ...errors import BadInputError, DecodeError
from ...extract.decode.image import decode_photographs
from ...extract.settings import DataSettings
from ...extract.sources.open import open_source


@dataclass(frozen=True)
class MaskFiles:
    """The masks of a data set.

    Attributes:
        of: by the key of the sample, the mask of each picture that has one, by the picture's path below the root.
        reason: why there are none, as a sentence; "" where there are some.
    """

    of: Mapping[str, Mapping[str, Path]]
    reason: str = ""


def find_masks(data: DataSettings, *, written: Sequence[Path]) -> MaskFiles:
    """The masks that a data set's source tells of, without what weldcache has `written` itself."""
    # What the source has to say of the data set, extraction has said.
    try:
        with redirect_stderr(io.StringIO()):
            samples = open_source(data, written=written).samples()
    except BadInputError as error:
        return MaskFiles({}, f"the data set in {data.root} cannot be listed any more: {error}")
    root = data.root
    found = {
        sample.key: {picture.relative_to(root).as_posix(): mask for picture, mask in sample.masks.items()}
        for sample in samples
        if sample.masks
    }
    return MaskFiles(found, "" if found else "the data set has no masks")


def read_mask(path: Path) -> Bool[np.ndarray, "height width"]:
    """Which pixels are defective: all that are not black.

    Raises:
        DecodeError: if it cannot be decoded.
    """
    (picture,) = decode_photographs([path], num_views=1).views
    if picture is None:
        raise DecodeError(f"{path}: the mask cannot be read.")
    return np.asarray(picture.any(axis=-1))
