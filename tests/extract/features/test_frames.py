"""Video as frames: the film alone, evenly spread, each frame through the image backbone, averaged over its patches."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from transformers import DINOv3ViTModel

from weldcache.cache.status import Status
from weldcache.cache.store import FeatureStore
from weldcache.extract.backbones.load import BackboneLoader
from weldcache.extract.backbones.preprocessing import PixelPreprocessing
from weldcache.extract.backbones.spec import Placement
from weldcache.extract.features.frames import FramesEncoder, make
from weldcache.extract.features.kind import Tools
from weldcache.extract.features.settings import FramesSettings
from weldcache.extract.pipeline import extract
from weldcache.extract.request import load_features
from weldcache.extract.sources.open import open_source
from weldcache.extract.sources.source import Sample
from weldcache.extract.sources.welds.manifest import ManifestSource
from weldcache.settings import Settings, load_settings

FRAMES = (
    "extract.features=[frames,text]",
    "features.frames.model=demo",
    "features.frames.block=3",
    "features.frames.num_frames=6",
    "features.frames.size=64",
)
NUM_PREFIX = 5  # CLS and four registers


def settings_in(project: Path, *overrides: str) -> Settings:
    return load_settings(folder=project, overrides=[*FRAMES, *overrides])


def encoder_in(folder: Path) -> FramesEncoder:
    """The demo's encoder, storing in float32."""
    placement = Placement(device=torch.device("cpu"), dtype=torch.float32)
    settings = FramesSettings(model="demo", block=3, num_frames=6, size=64)
    loader = BackboneLoader(placement=placement, demo_folder=folder, demo_seed=0)
    return make("frames", settings, Tools(loader, "float32", ManifestSource(Path("nowhere"))))


def film_of(path: Path) -> list[np.ndarray]:
    """Every frame in RGB, decoded one after the other."""
    capture, frames = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG), []
    while True:
        read, picture = capture.read()
        if not read:
            capture.release()
            return frames
        frames.append(picture[:, :, ::-1])


@pytest.fixture
def weld(synthetic: Path) -> Sample:
    return open_source(load_settings(folder=synthetic).data).samples()[0]


@pytest.fixture
def demo_folder(synthetic: Path) -> Path:
    return synthetic / "demo_backbones"


@pytest.fixture
def project(synthetic: Path, copy_of: Callable[[Path], Path]) -> Path:
    return copy_of(synthetic)


def test_embeddings_are_the_mean_patches_of_evenly_spread_frames(weld: Sample, demo_folder: Path) -> None:
    encoder = encoder_in(demo_folder)
    prepared = encoder.reader(weld)
    made = encoder.encode([prepared, prepared], feature_sets=frozenset({"frames"}))["frames"]
    film = film_of(weld.files["video"][0])
    chosen = [film[round(position)] for position in np.linspace(0, len(film) - 1, 6)]
    preprocessing = PixelPreprocessing(64)
    pixels = preprocessing.normalise(torch.from_numpy(np.stack([preprocessing.resize(frame) for frame in chosen])))
    model = DINOv3ViTModel.from_pretrained(demo_folder / "demo-dinov3-seed0").eval()
    with torch.no_grad():
        patches = model(pixels, output_hidden_states=True).hidden_states[3][:, NUM_PREFIX:]
    assert made["embedding"].shape == (2, 6, 96) and made["embedding"].dtype == torch.float32
    torch.testing.assert_close(made["embedding"][0], patches.mean(dim=1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(made["embedding"][1], made["embedding"][0], atol=1e-5, rtol=1e-5)
    assert (patches.mean(dim=1)[0] - patches.mean(dim=1)[3]).abs().mean() > 1e-2  # a dark frame and a lit one
    first, last = prepared.tensors["arc_on"].tolist()
    assert 0 < first < last


def test_it_says_what_it_is_made_of(demo_folder: Path) -> None:
    (spec,) = encoder_in(demo_folder).specs
    assert {array.name: (array.shape, array.dtype) for array in spec.arrays} == {
        "embedding": ((6, 96), "float32"),
        "arc_on": ((2,), "float64"),
    }
    assert spec.made_by["block"] == 3
    assert spec.made_by["decoding"] == {"num_frames": 6, "sampling": "uniform"}
    backbone = spec.made_by["backbone"]
    assert isinstance(backbone, dict) and backbone["family"] == "dinov3"


def test_operations_are_those_of_all_frames(weld: Sample, demo_folder: Path) -> None:
    encoder = encoder_in(demo_folder)
    prepared = encoder.reader(weld)
    fewer = replace(prepared, tensors={**prepared.tensors, "frames": prepared.tensors["frames"][:2]})
    sets = frozenset({"frames"})
    assert encoder.flops(prepared, feature_sets=sets) == 3 * encoder.flops(fewer, feature_sets=sets) > 0


def test_frames_are_not_made_unasked(synthetic: Path) -> None:
    settings = load_settings(folder=synthetic)
    loaded = load_features(settings, settings.asked_features, open_source(settings.data))
    assert list(loaded.encoders) == ["video", "audio", "image", "sensor"] and list(loaded.constants) == ["text"]


def test_photographs_are_never_read(project: Path, weld_keys: Callable[..., list[str]]) -> None:
    """The original took the photographs, where there were any, for the film: the result for its own process."""
    first, second, third, *_ = weld_keys(project, "train")
    extract(settings_in(project, f"cache.path={project / 'untouched.zarr'}"), split="train")
    shutil.rmtree(project / first / "images")
    for path in (project / second / "images").iterdir():
        path.write_bytes(b"not a picture")
    next((project / third).glob("*.avi")).unlink()
    extract(settings_in(project), split="train")
    untouched, store = (FeatureStore.open(project / name) for name in ("untouched.zarr", "features.zarr"))
    rows = store.index.row_of()
    for key in (first, second):
        np.testing.assert_array_equal(
            store.read("frames/embedding", [rows[key]]), untouched.read("frames/embedding", [rows[key]])
        )
        ((source,),) = store.sources("frames", [rows[key]])
        assert source.path.endswith(".avi")
    # Without its film a weld has no frames, whatever photographs there are.
    assert any((project / third / "images").iterdir())
    assert store.status("frames")[rows[third]] == Status.ABSENT
    assert "no .avi" in store.notes("frames")[third]


def test_a_film_that_cannot_be_decoded_is_reported(project: Path, weld_keys: Callable[..., list[str]]) -> None:
    key = weld_keys(project, "train")[0]
    film = next((project / key).glob("*.avi"))
    film.write_bytes(film.read_bytes()[:3000])
    summary = extract(settings_in(project), split="train")
    assert summary.counts["frames"] == {"complete": 7, "unreadable": 1}
    assert [(note.key, list(note.statuses)) for note in summary.notes] == [(key, ["frames"])]


def test_every_command_of_stage_one_knows_frames(
    synthetic: Path, linked_copy_of: Callable[[Path], Path], weldcache: Callable[..., object]
) -> None:
    project = linked_copy_of(synthetic)
    next(project.glob("*/*/*.avi")).unlink()
    chosen = [argument for override in FRAMES for argument in ("--set", override)]
    told = json.loads(weldcache("plan", *chosen, "--json", folder=project).raw_out)
    assert told["rows"] == {"frames": {"train": 8, "val": 15, "test": 15}}
    assert told["rows_without_files"] == {"frames": 1}
    for command in (
        ["extract", *chosen],
        ["info"],
        ["verify", "--live", "2", *chosen],
        ["export", "--to", "frames.h5"],
        ["import", "frames.h5", "--cache", "again.zarr"],
    ):
        outcome = weldcache(*command, folder=project)
        assert outcome.code == 0, (command, outcome.out, outcome.err)
    store, again = (FeatureStore.open(project / name) for name in ("features.zarr", "again.zarr"))
    assert store.fingerprint == again.fingerprint
    assert np.count_nonzero(store.status("frames") == Status.ABSENT) == 1
