"""Settings to encoders: those asked for, with all that changes their numbers in their description."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedModel

from weldcache.errors import BackboneError, SettingsError
from weldcache.extract.features.kind import Constant, Encoder, Reader
from weldcache.extract.request import LoadedFeatures, load_features
from weldcache.extract.sides import num_workers
from weldcache.extract.sources.welds.manifest import ManifestSource
from weldcache.settings import Settings, load_settings


@pytest.fixture
def settings_with(tmp_path: Path, synthetic: Path) -> Callable[..., Settings]:
    """The demo's settings with overrides, beside demo backbones that are there already."""
    shutil.copytree(synthetic / "demo_backbones", tmp_path / "demo_backbones", copy_function=os.link)

    def settings_with(*overrides: str) -> Settings:
        return load_settings(
            "demo-random", overrides=[f"cache.path={tmp_path / 'f.zarr'}", *overrides], folder=tmp_path
        )

    return settings_with


@pytest.fixture
def settings(settings_with: Callable[..., Settings]) -> Settings:
    return settings_with()


def loaded(settings: Settings) -> LoadedFeatures:
    return load_features(settings, settings.asked_features, ManifestSource(settings.data.root))


def test_encoders_are_those_asked_for_in_that_order(settings_with: Callable[..., Settings]) -> None:
    made = loaded(settings_with("extract.features=[sensor, audio]"))
    assert list(made.encoders) == ["sensor", "audio"] and not made.constants
    for name, encoder in made.encoders.items():
        assert isinstance(encoder, Encoder) and isinstance(encoder.reader, Reader)
        assert [spec.name for spec in encoder.specs] == [name]


def test_the_description_names_libraries_and_not_python(settings: Settings) -> None:
    for name, encoder in loaded(settings).encoders.items():
        for spec in encoder.specs:
            libraries = spec.made_by["libraries"]
            assert isinstance(libraries, dict)
            assert "python" not in libraries  # which changes no number, and would part equal caches
            assert ("torch" in libraries) == (name != "sensor") and ("soundfile" in libraries) == (name == "audio")


def test_loading_twice_is_the_same(settings: Settings) -> None:
    first, second = (loaded(settings) for _ in range(2))
    for name, encoder in first.encoders.items():
        assert [spec.to_manifest() for spec in encoder.specs] == [
            spec.to_manifest() for spec in second.encoders[name].specs
        ]
    one, other = first.constants["text"], second.constants["text"]
    np.testing.assert_array_equal(one.vector(), other.vector())
    assert isinstance(one, Constant) and one.name == "text/prompt" and one.made_by == other.made_by


def test_another_prompt_is_another_vector(settings_with: Callable[..., Settings]) -> None:
    asked = "extract.features=[text]"
    mine = loaded(settings_with(asked)).constants["text"]
    other = loaded(settings_with(asked, "features.text.prompt=full of pores")).constants["text"]
    assert (other.vector() != mine.vector()).any() and other.made_by != mine.made_by


def test_a_block_that_the_model_lacks_is_refused(settings_with: Callable[..., Settings]) -> None:
    with pytest.raises(BackboneError, match=r"features\.image asks for \[2, 99\]"):
        loaded(settings_with("features.image.blocks=[2,99]"))


def test_two_features_of_one_kind_lie_side_by_side(settings_with: Callable[..., Settings]) -> None:
    """Each with its own backbone, stored under its own name."""
    cells = ("features.cells.kind=photographs", "features.cells.model=demo-dinov2", "features.cells.blocks=[3]")
    encoders = loaded(settings_with(*cells, "features.cells.size=112")).encoders
    assert list(encoders) == ["video", "audio", "image", "sensor", "cells"]
    made_by = {spec.name: spec.made_by for name in ("image", "cells") for spec in encoders[name].specs}
    families = {name: made["backbone"]["family"] for name, made in made_by.items()}
    assert families == {"image/block_2": "dinov3", "image/block_4": "dinov3", "cells/block_3": "dinov2"}
    assert encoders["cells"].reader.stream == encoders["image"].reader.stream == "image"


def test_features_that_look_through_one_model_share_its_weights(
    settings_with: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    from_pretrained, folders = PreTrainedModel.from_pretrained, []
    monkeypatch.setattr(
        PreTrainedModel,
        "from_pretrained",
        classmethod(lambda cls, folder, **k: folders.append(folder) or from_pretrained.__func__(cls, folder, **k)),
    )
    cells = ("features.cells.kind=photographs", "features.cells.model=demo", "features.cells.size=64")
    asked = "extract.features=[image, frames, cells]"
    for encoder in loaded(settings_with(*cells, "features.cells.blocks=[6]", asked)).encoders.values():
        encoder.load()
    assert len(folders) == 1


def test_a_feature_that_nobody_describes_cannot_be_asked_for(settings_with: Callable[..., Settings]) -> None:
    with pytest.raises(SettingsError, match=r"extract.features names imge, .* Did you mean image\?"):
        settings_with("extract.features=[imge]")


@pytest.mark.parametrize(("setting", "expected"), [(0, 0), (3, 3)])
def test_workers_are_as_many_as_set(settings: Settings, setting: int, expected: int) -> None:
    assert num_workers(settings.extract.model_copy(update={"workers": setting})) == expected


def test_automatic_workers_leave_the_backbones_half_the_cores(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cores, expected in ((1, 1), (2, 1), (8, 4), (200, 32)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)), raising=False)
        assert num_workers(settings.extract.model_copy(update={"workers": "auto"})) == expected
