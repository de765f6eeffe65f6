"""Preprocessing: values from the model's folder, worked by hand; published ones where it has none."""

import copy
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weldcache.errors import BackboneError
from weldcache.extract.backbones.preprocessing import (
    IMAGE_FILES,
    VIDEO_FILES,
    ClipPreparation,
    PhotographPreparation,
    PixelPreprocessing,
    check_divides,
    read_pixel_preprocessing,
)
from weldcache.extract.decode.decoded import Photographs, VideoClip


def _read(folder: Path, *, files: tuple[str, ...] = IMAGE_FILES, size: int | None = None) -> PixelPreprocessing:
    return read_pixel_preprocessing(folder, files=files, size=size, default_size=224)


def _write(folder: Path, values: object, *, name: str = "preprocessor_config.json") -> None:
    (folder / name).write_text(json.dumps(values))


def test_normalisation_by_hand() -> None:
    picture = np.empty((2, 2, 3), dtype=np.uint8)
    picture[:] = (255, 51, 0)
    prepared = PixelPreprocessing(2, mean=(0.5, 0.1, 0.2), std=(0.25, 0.5, 0.1))(picture)
    assert prepared.shape == (3, 2, 2)
    np.testing.assert_allclose(prepared[:, 0, 0], [(1 - 0.5) / 0.25, (0.2 - 0.1) / 0.5, (0 - 0.2) / 0.1], rtol=1e-5)


def test_values_of_the_folder_are_applied(tmp_path: Path) -> None:
    _write(
        tmp_path,
        {
            "size": {"height": 64, "width": 64},
            "image_mean": [0, 0.5, 1],
            "image_std": [1, 2, 4],
            "rescale_factor": 0.01,
        },
    )
    pixels = _read(tmp_path)
    assert pixels == PixelPreprocessing(64, mean=(0.0, 0.5, 1.0), std=(1.0, 2.0, 4.0), rescale_factor=0.01)
    grey = np.full((10, 10, 3), 100, dtype=np.uint8)
    np.testing.assert_allclose(pixels(grey)[:, 5, 5], [1.0, 0.25, 0.0], atol=1e-6)


def test_published_values_without_a_file(tmp_path: Path) -> None:
    pixels = _read(tmp_path)
    assert pixels.size == 224
    assert pixels.mean == (0.485, 0.456, 0.406)
    assert pixels.std == (0.229, 0.224, 0.225)
    assert pixels.rescale_factor == 1 / 255


@pytest.mark.parametrize(
    ("values", "side"),
    [
        ({"size": {"shortest_edge": 256}, "crop_size": {"height": 192, "width": 192}, "do_center_crop": True}, 192),
        ({"size": {"shortest_edge": 256}, "crop_size": 192}, 192),
        ({"size": {"shortest_edge": 256}, "crop_size": 192, "do_center_crop": False}, 256),
        ({"size": 96}, 96),
        ({}, 224),
    ],
)
def test_input_side(values: dict[str, object], side: int, tmp_path: Path) -> None:
    _write(tmp_path, values)
    assert _read(tmp_path).size == side
    assert _read(tmp_path, size=112).size == 112


def test_switches(tmp_path: Path) -> None:
    _write(tmp_path, {"do_normalize": False, "do_rescale": False, "image_mean": [1, 1, 1]})
    pixels = _read(tmp_path)
    assert (pixels.mean, pixels.std, pixels.rescale_factor) == ((0, 0, 0), (1, 1, 1), 1)


def test_a_video_model_prefers_its_video_file(tmp_path: Path) -> None:
    _write(tmp_path, {"size": 32})
    assert _read(tmp_path, files=VIDEO_FILES).size == 32
    _write(tmp_path, {"size": 64}, name="video_preprocessor_config.json")
    assert _read(tmp_path, files=VIDEO_FILES).size == 64


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": {"height": 10, "width": 20}}, "not one side of a square"),
        ({"size": "big"}, "not one side of a square"),
        ({"image_mean": [0.5]}, "image_mean must be three numbers"),
        ({"image_mean": [0.5, "x", 1]}, "expected a number, got 'x'"),
        ({"image_std": [1, 0, 1]}, "expected a number above 0"),
        ({"rescale_factor": True}, "expected a number, got True"),
    ],
)
def test_senseless_values_are_named(values: dict[str, object], message: str, tmp_path: Path) -> None:
    _write(tmp_path, values)
    with pytest.raises(BackboneError, match=f"preprocessor_config.json: .*{message}"):
        _read(tmp_path)


def test_the_whole_seam_is_kept() -> None:
    picture = np.zeros((90, 200, 3), dtype=np.uint8)
    picture[:, :6] = picture[:, -6:] = 255  # a centre crop to a square would lose both ends
    prepared = PixelPreprocessing(32)(picture)
    assert (prepared[:, :, 0] > 0).all()
    assert (prepared[:, :, -1] > 0).all()
    assert PixelPreprocessing(32).to_manifest()["resize"] == "whole picture to a square, no crop"


def test_absent_views_are_zeros(generator: np.random.Generator) -> None:
    view = generator.integers(0, 256, (30, 40, 3), dtype=np.uint8)
    prepared = PhotographPreparation(PixelPreprocessing(16))(Photographs((None, view)))
    assert prepared.shape == (2, 3, 16, 16)
    assert (prepared[0] == 0).all()
    np.testing.assert_array_equal(prepared[1].numpy(), PixelPreprocessing(16)(view))


def test_frames_keep_their_order(generator: np.random.Generator) -> None:
    frames = generator.integers(0, 256, (4, 30, 40, 3), dtype=np.uint8)
    prepared = ClipPreparation(PixelPreprocessing(16))(VideoClip(frames, np.arange(4.0)))
    assert prepared.shape == (4, 3, 16, 16)
    for index, frame in enumerate(frames):
        np.testing.assert_array_equal(prepared[index].numpy(), PixelPreprocessing(16)(frame))


def test_preparations_travel_to_workers() -> None:
    for preparation in (ClipPreparation(PixelPreprocessing(16)), PhotographPreparation(PixelPreprocessing(16))):
        assert copy.deepcopy(preparation) == preparation
        assert pickle.loads(pickle.dumps(preparation)) == preparation


@given(size=st.integers(1, 600), patch=st.sampled_from([14, 16]))
def test_size_must_be_whole_patches(size: int, patch: int) -> None:
    if size % patch == 0:
        check_divides(size, patch=patch, model="m")
    else:
        with pytest.raises(BackboneError, match=rf"size = {size} is not a multiple of {patch}; \d+ is"):
            check_divides(size, patch=patch, model="m")
