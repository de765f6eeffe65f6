"""Preprocessing: values from the model's folder, worked by hand; published ones where it has none."""

import copy
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
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
    resize_antialiased,
)
from weldcache.extract.decode.decoded import Photographs, VideoClip


def _read(folder: Path, *, files: tuple[str, ...] = IMAGE_FILES, size: int | None = None) -> PixelPreprocessing:
    return read_pixel_preprocessing(folder, files=files, size=size, default_size=224)


def _write(folder: Path, values: object, *, name: str = "preprocessor_config.json") -> None:
    (folder / name).write_text(json.dumps(values))


def _prepare(picture: np.ndarray, pixels: PixelPreprocessing) -> np.ndarray:
    """A picture through both halves: what is done in the workers, and what on the device."""
    return pixels.normalise(torch.from_numpy(pixels.resize(picture))).numpy()


def test_normalisation_by_hand() -> None:
    picture = np.empty((2, 2, 3), dtype=np.uint8)
    picture[:] = (255, 51, 0)
    prepared = _prepare(picture, PixelPreprocessing(2, mean=(0.5, 0.1, 0.2), std=(0.25, 0.5, 0.1)))
    assert prepared.shape == (3, 2, 2)
    np.testing.assert_allclose(prepared[:, 0, 0], [(1 - 0.5) / 0.25, (0.2 - 0.1) / 0.5, (0 - 0.2) / 0.1], rtol=1e-5)


def test_every_byte_value_as_in_float64() -> None:
    every = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(2, 3, 16, 16)
    pixels = PixelPreprocessing(16)
    before = every.clone()
    normalised = pixels.normalise(every)
    assert normalised.dtype == torch.float32
    assert torch.equal(every, before)
    mean, std = torch.tensor(pixels.mean).double(), torch.tensor(pixels.std).double()
    expected = (every.double() / 255 - mean[:, None, None]) / std[:, None, None]
    torch.testing.assert_close(normalised, expected.float(), atol=2e-6, rtol=0)


@given(batch=st.lists(st.integers(0, 3), max_size=3), seed=st.integers(0, 2**32 - 1))
def test_both_halves_are_the_formula_over_the_whole(batch: list[int], seed: int) -> None:
    pixels = PixelPreprocessing(4, mean=(0.1, 0.5, 0.9), std=(0.2, 1.0, 3.0), rescale_factor=0.01)
    values = np.random.default_rng(seed).integers(0, 256, (*batch, 3, 4, 4), dtype=np.uint8)
    std = np.array(pixels.std, dtype=np.float32)[:, None, None]
    scale, shift = np.float32(pixels.rescale_factor) / std, np.array(pixels.mean, np.float32)[:, None, None] / std
    normalised = pixels.normalise(torch.from_numpy(values)).numpy()
    np.testing.assert_allclose(normalised, values.astype(np.float32) * scale - shift, atol=2e-6)


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
    np.testing.assert_allclose(_prepare(grey, pixels)[:, 5, 5], [1.0, 0.25, 0.0], atol=1e-6)


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
    prepared = PixelPreprocessing(32).resize(picture)
    assert (prepared[:, :, 0] > 0).all()
    assert (prepared[:, :, -1] > 0).all()
    assert PixelPreprocessing(32).to_manifest()["resize"] == "whole picture to a square, no crop"


def test_absent_views_are_black(generator: np.random.Generator) -> None:
    view = generator.integers(0, 256, (30, 40, 3), dtype=np.uint8)
    prepared = PhotographPreparation(PixelPreprocessing(16))(Photographs((None, view)))
    assert prepared.shape == (2, 3, 16, 16)
    assert (prepared[0] == 0).all()
    assert prepared.dtype == torch.uint8
    np.testing.assert_array_equal(prepared[1].numpy(), PixelPreprocessing(16).resize(view))


def test_frames_keep_their_order(generator: np.random.Generator) -> None:
    frames = generator.integers(0, 256, (4, 30, 40, 3), dtype=np.uint8)
    prepared = ClipPreparation(PixelPreprocessing(16))(VideoClip(frames, np.arange(4.0)))
    assert prepared.shape == (4, 3, 16, 16)
    assert prepared.dtype == torch.uint8
    for index, frame in enumerate(frames):
        np.testing.assert_array_equal(prepared[index].numpy(), PixelPreprocessing(16).resize(frame))


def test_resize_is_channels_first(generator: np.random.Generator) -> None:
    picture = generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    resized = PixelPreprocessing(16).resize(picture)  # at its own size nothing changes but the order of axes
    np.testing.assert_array_equal(resized, picture.transpose(2, 0, 1))
    assert resized.flags.c_contiguous


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


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)


def test_shrinking_by_whole_factors_is_the_mean_of_each_block(noise: np.ndarray) -> None:
    blocks = noise.reshape(20, 3, 45, 2, 3).mean(axis=(1, 3))
    assert np.abs(resize_antialiased(noise, height=20, width=45) - blocks).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("height", [20, 224])
def test_fine_stripes_become_grey_even_where_the_other_axis_grows(height: int) -> None:
    stripes = np.zeros((60, 900, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    resized = resize_antialiased(stripes, height=height, width=224)
    assert resized.shape == (height, 224, 3)
    assert np.abs(resized.astype(int) - 127).max() < 40


def test_growing_stays_within_the_values_of_the_picture() -> None:
    edge = np.full((10, 10, 3), 60, dtype=np.uint8)
    edge[:, 5:] = 190
    grown = resize_antialiased(edge, height=37, width=41)
    assert (grown.min(), grown.max()) == (60, 190)


def test_the_same_size_is_the_same_picture(noise: np.ndarray) -> None:
    np.testing.assert_array_equal(resize_antialiased(noise, height=60, width=90), noise)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (900, 2000), (7, 501)])
def test_any_shape_becomes_the_one_asked_for(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 99, dtype=np.uint8)
    resized = resize_antialiased(image, height=32, width=32)
    assert resized.shape == (32, 32, 3)
    assert resized.dtype == np.uint8
    assert (resized == 99).all()
