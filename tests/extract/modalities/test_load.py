"""Settings to encoders: those asked for, with all that changes their numbers in their description."""

from pathlib import Path

import numpy as np
import pytest

from weldcache.configs.load import load_settings
from weldcache.configs.schema import Settings
from weldcache.errors import BackboneError
from weldcache.extract.modalities.load import load_encoders, load_text_vector
from weldcache.extract.modalities.modality import Encoder, Reader


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
        assert encoder.spec.name == name


def test_the_description_names_libraries_and_not_python(settings: Settings) -> None:
    for encoder in load_encoders(settings).values():
        libraries = encoder.spec.made_by["libraries"]
        assert isinstance(libraries, dict)
        assert {"torch", "transformers", "numpy"} <= libraries.keys()
        assert "python" not in libraries  # which changes no number, and would part equal caches


def test_loading_twice_is_the_same(settings: Settings) -> None:
    first, second = (
        {name: encoder.spec.to_manifest() for name, encoder in load_encoders(settings).items()} for _ in range(2)
    )
    assert first == second
    one, other = load_text_vector(settings), load_text_vector(settings)
    np.testing.assert_array_equal(one.vector, other.vector)
    assert one.made_by == other.made_by


def test_another_prompt_is_another_vector(settings: Settings) -> None:
    text = settings.text.model_copy(update={"prompt": "a weld full of pores"})
    other = load_text_vector(settings.model_copy(update={"text": text}))
    mine = load_text_vector(settings)
    assert (other.vector != mine.vector).any() and other.made_by != mine.made_by


def test_a_block_that_the_model_lacks_is_refused(settings: Settings) -> None:
    image = settings.image.model_copy(update={"blocks": (2, 99)})
    with pytest.raises(BackboneError, match=r"image\.blocks"):
        load_encoders(settings.model_copy(update={"image": image}))
