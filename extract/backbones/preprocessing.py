"""From decoded pictures to a vision model's input: resize in the decode workers, rescale and normalise on the device.

Between the two a pixel is a byte a channel, a quarter of what it is as a float32.

The values are those of the model's own preprocessor file, and the published ones where it has none. One thing is not
the model's own: its centre crop. A photograph of something long is 2000x900 and a centre crop to a square would cut
away half of it, so the whole picture is resized to the model's square input; the aspect ratio changes, by the same
factor for every sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from ...documents import Json
from ...errors import BackboneError
from ..decode.decoded import Photographs, VideoClip
from ..decode.media import memory_told
from .checkpoint import read_json_object

IMAGE_FILES = ("preprocessor_config.json",)
VIDEO_FILES = ("video_preprocessor_config.json", "preprocessor_config.json")

# Names what `resize_antialiased` does, for manifests: features made by another resize must not pass for these.
INTERPOLATION = "opencv: area where an axis shrinks, linear where it grows"

# ImageNet's channel statistics, with which V-JEPA 2, DINOv2 and DINOv3 were all trained.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
EIGHT_BIT = 1 / 255
PUBLISHED_IMAGE_SIZE = 224  # of DINOv2 and DINOv3

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class PixelPreprocessing:
    """Resize to `size` x `size`, then (pixel * rescale_factor - mean) / std for each channel of RGB, in float32."""

    size: int
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    rescale_factor: float = EIGHT_BIT

    def resize(self, picture: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "3 size size"]:
        """The picture at the model's size, channels first: the half that is done in the decode workers."""
        resized = resize_antialiased(picture, height=self.size, width=self.size)
        return np.ascontiguousarray(resized.transpose(2, 0, 1))

    def normalise(self, pixels: UInt8[Tensor, "*batch 3 size size"]) -> Float32[Tensor, "*batch 3 size size"]:
        """Pixels as a model sees them, on the device on which they are: the half that follows the transport."""
        values = pixels.to(torch.float32)
        # Python numbers, a channel at a time: a tensor of them would have to be sent, and a GPU would wait for it.
        for channel, mean, std in zip(values.unbind(dim=-3), self.mean, self.std, strict=True):
            channel.mul_(self.rescale_factor / std).sub_(mean / std)
        return values

    def to_manifest(self) -> dict[str, Json]:
        """What was applied, as plain JSON values."""
        return {
            "size": self.size,
            "resize": "whole picture to a square, no crop",
            "interpolation": INTERPOLATION,
            "rescale_factor": self.rescale_factor,
            "mean": list(self.mean),
            "std": list(self.std),
        }


@dataclass(frozen=True)
class ClipPreparation:
    """Frames of a clip to a video model's size; they stay 8-bit until they are on the device."""

    pixels: PixelPreprocessing

    def __call__(self, decoded: VideoClip) -> UInt8[Tensor, "time 3 size size"]:
        """All frames, in order."""
        side = self.pixels.size
        prepared = np.empty((len(decoded.frames), 3, side, side), dtype=np.uint8)
        for index, frame in enumerate(decoded.frames):
            prepared[index] = self.pixels.resize(frame)
        return torch.from_numpy(prepared)


@dataclass(frozen=True)
class PhotographPreparation:
    """Photographs of a sample to an image model's size; they stay 8-bit until they are on the device."""

    pixels: PixelPreprocessing

    def __call__(self, decoded: Photographs) -> UInt8[Tensor, "views 3 size size"]:
        """All views, in order; one that was not taken is black, and its features are for the caller to mask."""
        side = self.pixels.size
        prepared = np.zeros((len(decoded.views), 3, side, side), dtype=np.uint8)
        for index, view in enumerate(decoded.views):
            if view is not None:
                prepared[index] = self.pixels.resize(view)
        return torch.from_numpy(prepared)


def read_pixel_preprocessing(
    folder: Path, *, files: Sequence[str], size: int | None, default_size: int
) -> PixelPreprocessing:
    """The values of the first of `files` in `folder`.

    `size` overrides the file's; `default_size` stands where neither says one. Raises BackboneError for values that
    make no sense.
    """
    path = next((folder / name for name in files if (folder / name).is_file()), None)
    if path is None:
        return PixelPreprocessing(size or default_size)
    values = read_json_object(path)
    normalises = values.get("do_normalize") is not False
    rescales = values.get("do_rescale") is not False
    return PixelPreprocessing(
        size=size or _input_side(values, path=path) or default_size,
        mean=_triple(values, "image_mean", default=IMAGENET_MEAN, path=path) if normalises else (0.0, 0.0, 0.0),
        std=_triple(values, "image_std", default=IMAGENET_STD, path=path) if normalises else (1.0, 1.0, 1.0),
        rescale_factor=_positive(values.get("rescale_factor", EIGHT_BIT), path=path) if rescales else 1.0,
    )


def stated_pixel_preprocessing(
    folder: Path,
    *,
    files: Sequence[str],
    key: str,
    size: int | None,
    normalisation: tuple[Triple, Triple] | None,
) -> PixelPreprocessing:
    """As `read_pixel_preprocessing`, for a model of which nothing is known that neither its files nor settings say.

    `normalisation` is the mean and standard deviation that the settings at `key` state, and overrides the files'.

    Raises:
        BackboneError: as `read_pixel_preprocessing`; or if neither says what pixels the model takes.
    """
    path = next((folder / name for name in files if (folder / name).is_file()), None)
    values = {} if path is None else read_json_object(path)
    if normalisation is None and values.get("do_normalize") is not False:
        absent = [name for name in ("image_mean", "image_std") if values.get(name) is None]
        if absent:
            lack = f"says no {absent[0]}" if path else "missing"
            raise BackboneError(
                f"{path or folder / files[0]}: {lack}, so that it is not known what pixels the model takes; take "
                f"the model with it, or state {key}.mean and {key}.std, three numbers each."
            )
    if size is None and (path is None or _input_side(values, path=path) is None):
        raise BackboneError(f"{folder}: does not say the size of its pictures; state {key}.size in pixels.")
    read = read_pixel_preprocessing(folder, files=files, size=size, default_size=PUBLISHED_IMAGE_SIZE)
    return read if normalisation is None else PixelPreprocessing(read.size, *normalisation)


def check_divides(size: int, *, patch: int, model: str) -> None:
    """Raise BackboneError unless a side of `size` pixels is a whole number of patches."""
    if size % patch:
        raise BackboneError(
            f"{model}: cuts its input into patches of {patch} px, and size = {size} is not a multiple of {patch}; "
            f"{max(patch, round(size / patch) * patch)} is."
        )


def _input_side(values: dict[str, Json], *, path: Path) -> int | None:
    """Side of the model's input: that of the crop where the model was trained on one, else that of the resize."""
    crops = values.get("do_center_crop") is not False and values.get("crop_size") is not None
    stated = values.get("crop_size") if crops else values.get("size")
    sides = list(stated.values()) if isinstance(stated, dict) else [stated]
    if stated is None:
        return None
    if any(side != sides[0] for side in sides) or not isinstance(sides[0], int) or sides[0] <= 0:
        raise BackboneError(f"{path}: the input size {stated} is not one side of a square; state the size setting.")
    return sides[0]


def _triple(values: dict[str, Json], name: str, *, default: Triple, path: Path) -> Triple:
    stated = values.get(name)
    if stated is None:
        return default
    if not isinstance(stated, list) or len(stated) != 3:
        raise BackboneError(f"{path}: {name} must be three numbers, one a channel, got {stated}.")
    if name == "image_std":
        red, green, blue = (_positive(value, path=path) for value in stated)
    else:
        red, green, blue = (_number(value, path=path) for value in stated)
    return red, green, blue


def _number(value: Json, *, path: Path) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BackboneError(f"{path}: expected a number, got {value!r}.")
    return float(value)


def _positive(value: Json, *, path: Path) -> float:
    number = _number(value, path=path)
    if number <= 0:
        raise BackboneError(f"{path}: expected a number above 0, got {value!r}.")
    return number


def resize_antialiased(
    image: UInt8[np.ndarray, "height_in width_in 3"], *, height: int, width: int
) -> UInt8[np.ndarray, "height width 3"]:
    """The whole image at `height` x `width` pixels; the aspect ratio is the caller's concern.

    An axis that shrinks is averaged over the pixels it covers, so nothing aliases; one that grows is interpolated
    linearly, which never overshoots.
    """
    resized = _resize(image, height=min(height, image.shape[0]), width=min(width, image.shape[1]))
    return _resize(resized, height=height, width=width)


def _resize(image: UInt8[np.ndarray, "..."], *, height: int, width: int) -> UInt8[np.ndarray, "..."]:
    if image.shape[:2] == (height, width):
        return image
    # OpenCV turns "area" into "linear", without antialiasing, as soon as one axis grows: hence one kind at a time.
    shrinks = height <= image.shape[0] and width <= image.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    with memory_told():
        return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), dtype=np.uint8)
