"""Settings to encoders: those asked for, with all that changes their numbers in their description."""

import os
from pathlib import Path

import numpy as np
import pytest

from weldcache.configs.load import load_settings
from weldcache.configs.schema import Settings
from weldcache.errors import BackboneError
from weldcache.extract.features.load import load_encoders, load_text, num_workers
from weldcache.extract.features.modality import Encoder, Reader


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings("demo", overrides=[f"cache.path={tmp_path / 'f.zarr'}"], folder=tmp_path)


def test_encoders_are_those_asked_for_in_that_order(settings: Settings) -> None:
    chosen = settings.model_copy(
        update={"extract": settings.extract.model_copy(update={"modalities": ("sensor", "audio")})}
    )
    encoders = load_encoders(chosen)
    assert list(encoders) == ["sensor", "audio"]
    for name, encoder in encoders.items():
        assert isinstance(encoder, Encoder) and isinstance(encoder.reader, Reader)
        assert [spec.name for spec in encoder.specs] == [name]


def test_the_description_names_libraries_and_not_python(settings: Settings) -> None:
    for name, encoder in load_encoders(settings).items():
        for spec in encoder.specs:
            libraries = spec.made_by["libraries"]
            assert isinstance(libraries, dict)
            assert "python" not in libraries  # which changes no number, and would part equal caches
            assert ("torch" in libraries) == (name != "sensor") and ("soundfile" in libraries) == (name == "audio")


def test_loading_twice_is_the_same(settings: Settings) -> None:
    first, second = (
        [spec.to_manifest() for encoder in load_encoders(settings).values() for spec in encoder.specs] for _ in range(2)
    )
    assert first == second
    one, other = load_text(settings), load_text(settings)
    np.testing.assert_array_equal(one.vector(), other.vector())
    assert one.made_by == other.made_by


def test_another_prompt_is_another_vector(settings: Settings) -> None:
    text = settings.text.model_copy(update={"prompt": "a weld full of pores"})
    other = load_text(settings.model_copy(update={"text": text}))
    mine = load_text(settings)
    assert (other.vector() != mine.vector()).any() and other.made_by != mine.made_by


def test_a_block_that_the_model_lacks_is_refused(settings: Settings) -> None:
    image = settings.image.model_copy(update={"blocks": (2, 99)})
    with pytest.raises(BackboneError, match=r"image\.blocks"):
        load_encoders(settings.model_copy(update={"image": image}))


def test_features_are_stored_under_the_names_that_settings_give(settings: Settings) -> None:
    image = settings.image.model_copy(update={"store_as": "image_two"})
    encoders = load_encoders(settings.model_copy(update={"image": image}))
    assert [spec.name for spec in encoders["image"].specs] == ["image_two/block_2", "image_two/block_4"]


@pytest.mark.parametrize(("setting", "expected"), [(0, 0), (3, 3)])
def test_workers_are_as_many_as_set(settings: Settings, setting: int, expected: int) -> None:
    assert num_workers(settings.extract.model_copy(update={"workers": setting})) == expected


def test_automatic_workers_leave_the_backbones_half_the_cores(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cores, expected in ((1, 1), (2, 1), (8, 4), (200, 32)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)), raising=False)
        assert num_workers(settings.extract.model_copy(update={"workers": "auto"})) == expected
