"""Settings of earlier versions: a person is told the new name, what a run saved is read as it was meant."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from weldcache.configs.moved import upgraded
from weldcache.errors import SettingsError
from weldcache.settings import Settings, load_settings, settings_from_record, settings_from_saved

_ASSETS = Path(__file__).parents[1] / "assets"


def saved(recipe: str, **model: object) -> dict[str, Any]:
    """The sections that recipes were set in by version 0.1, as its runs saved them."""
    return {
        "image": {"store_as": "image_dinov2"},
        "frames": {"store_as": "stills"},
        "model": {"d_model": 256, "blocks": [8, 12], "standardise": True, **model},
        "loss": {"gram": 0.0, "target": "ema"},
        "autoencoder": {"hidden": 32, "bottleneck": 8},
        "train": {"recipe": recipe, "epochs": 7, "feature_mask": 0.1, "noise": 0.0, "mixup": 0.3},
    }


@pytest.mark.parametrize(
    ("key", "now"),
    [
        ("model.gate=false", "recipe.gate"),
        ("loss.gram=0", "recipe.loss.gram"),
        ("autoencoder.hidden=8", "recipe.hidden"),
        ("train.recipe=video_ae", "recipe.name"),
        ("train.mixup=0.2", "recipe.mixup"),
    ],
)
def test_a_former_name_is_refused_with_the_new_one(tmp_path: Path, key: str, now: str) -> None:
    with pytest.raises(SettingsError, match=rf"{key.partition('=')[0]} is {now} now"):
        load_settings("demo-random", overrides=[key], folder=tmp_path)


def test_a_setting_that_the_recipe_does_not_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no setting recipe\.mixup"):
        load_settings("video_ae", overrides=["recipe.mixup=0.2"], folder=tmp_path)
    with pytest.raises(SettingsError, match=r"no setting recipe\.d_model"):
        load_settings("v5", overrides=["recipe.name=nearest", "recipe.d_model=8"], folder=tmp_path)


def test_what_a_run_saved_means_the_same() -> None:
    content = yaml.safe_dump(saved("causal_film", sensor_normalisation="weld")).encode()
    settings = settings_from_saved(content, origin="config.yaml")
    told = {"image": "image_dinov2", "d_model": 256, "blocks": [8, 12], "feature_mask": 0.1, "mixup": 0.3}
    for name, value in {**told, "sensor_normalisation": "sample", "standardise": True}.items():
        assert settings.recipe.model_dump(mode="json")[name] == value
    assert settings.recipe.model_dump()["loss"]["target"] == "ema" and settings.train.epochs == 7
    autoencoder = settings_from_record(saved("video_ae")).recipe.model_dump()
    assert autoencoder == {"name": "video_ae", "frames": "stills", "hidden": 32, "bottleneck": 8, "standardise": True}


def test_a_whole_file_of_an_earlier_version_is_what_the_same_command_gives_now(tmp_path: Path) -> None:
    content = (_ASSETS / "settings_of_an_earlier_version.yaml").read_bytes()
    then = settings_from_saved(content, origin="an earlier version").model_dump(mode="json")
    now = load_settings("demo-random", overrides=["train.epochs=2", "extract.features=null"], folder=tmp_path)
    expected = now.model_dump(mode="json")
    assert then["data"].pop("source") == "welds"
    assert then["extract"].pop("features") == ["video", "audio", "image", "sensor", "text"]
    del expected["extract"]["features"], then["train"]["monitor"], expected["train"]["monitor"]
    for section in ("features", "extract", "recipe", "train", "evaluate"):
        assert then[section] == expected[section]


def test_what_the_source_of_a_data_set_tells_is_said_of_no_feature(tmp_path: Path) -> None:
    limits = [100.0, 1000.0, 1000.0, 2000.0, 1e6, 1000.0]
    told = Settings().model_dump(mode="json")
    former = told | {"features": {name: dict(section) for name, section in told["features"].items()}}
    former["features"]["sensor"] |= {"limits": limits, "clock": "Time"}
    former["features"]["video"] |= {"sensor_limits": limits, "sampling": "arc_on"}
    now = settings_from_record(former).model_dump(mode="json")
    assert now["features"]["video"].pop("sampling") == "active" and told["features"]["video"].pop("sampling")
    assert now == told
    former["features"]["sensor"]["limits"] = [1.0, 2.0]
    former["features"]["other"] = {"kind": "series", "channels": list("abcdef"), "limits": limits}
    features = settings_from_record(former).model_dump()["features"]
    assert features["sensor"]["limits"] == (1.0, 2.0) and features["other"]["limits"] == tuple(limits)


def test_settings_of_this_version_stay() -> None:
    told = Settings().model_dump(mode="json")
    assert upgraded(told) == told
