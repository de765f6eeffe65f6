"""Maps as files: overlays on the original pictures, scores of pixels and steps as plain .npy, and a table of them.

maps.json           what each file is, and the scale of the colours
00001_<name>.png    the picture, upright and whole, with the strangest places coloured
00001_<name>.npy    a score for each of its pixels, float32 (height, width), NaN outside what the model was shown
00001_<feature>_times.npy   of a film, sound or series: float64 (2, steps), seconds and scores
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from ...atomic import new_folder, write_json
from ...errors import DecodeError, NotFoundError
from ...extract.decode.image import decode_photographs
from .localiser import Localiser
from .maps import ColourScale, PictureMap, SampleMaps

_VERSION = 1
_STRONGEST = 0.65  # of what a place shows is its colour; the rest is the picture
_LONGEST = 60  # characters of a name
_ODD = re.compile(r"[^A-Za-z0-9._-]+")


def overlay(
    picture: UInt8[np.ndarray, "height width 3"], each: PictureMap, *, scale: ColourScale
) -> UInt8[np.ndarray, "height width 3"]:
    """The picture in RGB with its strangest places coloured, from violet to yellow."""
    left, top, right, bottom = each.box
    strength = scale.shares(each.on_pixels())
    colours = cv2.applyColorMap(np.rint(255 * strength).astype(np.uint8), cv2.COLORMAP_PLASMA)[..., ::-1]
    share = _STRONGEST * strength[..., np.newaxis]
    drawn = picture.copy()
    part = drawn[top:bottom, left:right]
    drawn[top:bottom, left:right] = np.rint(part * (1 - share) + colours * share).astype(np.uint8)
    return drawn


def on_whole_picture(each: PictureMap, *, height: int, width: int) -> Float32[np.ndarray, "height width"]:
    """Scores of all pixels of the picture, NaN where the model was not shown it."""
    left, top, right, bottom = each.box
    whole = np.full((height, width), np.nan, dtype=np.float32)
    whole[top:bottom, left:right] = each.on_pixels()
    return whole


def export_maps(localiser: Localiser, keys: Sequence[str], folder: Path, *, run_name: str) -> int:
    """Write the maps of the samples of these keys into a new folder, which appears whole; how many maps there are.

    Raises:
        OutputExistsError: if something is at `folder` already.
        NotFoundError: if there is no map at all, in words.
        OSError: if the disk is full or fails.
    """
    row_of = localiser.scorer.store.index.row_of()
    maps = localiser(np.array([row_of[key] for key in keys], dtype=np.int64))
    with new_folder(folder) as temporary:
        num_maps = write_maps(temporary, dict(zip(keys, maps, strict=True)), root=localiser.root, run_name=run_name)
        if not num_maps:
            raise NotFoundError(
                f"There are no maps of {run_name}: its model looks at nothing that has places, or the files that the "
                f"features were made from are not in {localiser.root} any more."
            )
    return num_maps


def write_maps(folder: Path, samples: Mapping[str, SampleMaps], *, root: Path, run_name: str) -> int:
    """Write the maps of samples, by their keys, into an empty folder; how many maps there are. Files are numbered by
    the sample, from 1. `root` is the folder in which the pictures lie.

    Raises:
        OSError: if the disk is full or fails.
    """
    scale = ColourScale.of(samples.values())
    told: dict[str, list[dict[str, object]]] = {"pictures": [], "times": []}
    for number, (key, sample) in enumerate(samples.items(), start=1):
        for each in sample.pictures:
            name = f"{number:05d}_{_plain(f'{each.feature}{each.view + 1}_{Path(each.file).stem}')}"
            overlaid = _write_picture(folder, name, each, root / each.file, scale=scale)
            told["pictures"].append(
                {
                    "key": key,
                    "file": each.file,
                    "feature": each.feature,
                    "view": each.view,
                    "box": list(each.box),
                    "grid": list(each.scores.shape),
                    "lowest": float(each.scores.min()),
                    "highest": float(each.scores.max()),
                    "overlay": overlaid,
                    "scores": f"{name}.npy",
                }
            )
        for over_time in sample.times:
            name = f"{number:05d}_{_plain(over_time.feature)}_times.npy"
            np.save(folder / name, np.stack([over_time.seconds, over_time.scores]))
            told["times"].append({"key": key, "feature": over_time.feature, "scores": name})
    write_json(
        folder / "maps.json",
        {"version": _VERSION, "run": run_name, "colours": {"from": scale.low, "to": scale.high}, **told},
    )
    return len(told["pictures"]) + len(told["times"])


def _write_picture(folder: Path, name: str, each: PictureMap, path: Path, *, scale: ColourScale) -> str | None:
    """Scores, and the overlay where the picture can be decoded; the name of that file."""
    try:
        (picture,) = decode_photographs([path], num_views=1).views
    except DecodeError:
        picture = None
    height, width = (each.box[3], each.box[2]) if picture is None else picture.shape[:2]
    np.save(folder / f"{name}.npy", on_whole_picture(each, height=height, width=width))
    if picture is None:
        return None
    _, encoded = cv2.imencode(".png", np.ascontiguousarray(overlay(picture, each, scale=scale)[..., ::-1]))
    (folder / f"{name}.png").write_bytes(encoded.tobytes())
    return f"{name}.png"


def _plain(name: str) -> str:
    """A name that no file system stumbles over."""
    return _ODD.sub("_", name)[:_LONGEST]
