"""`weldcache config`: what is printed is what runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from weldcache.settings import load_settings, preset_names


def test_presets_are_listed_with_a_word_each(weldcache: Callable[..., Any], tmp_path: Path) -> None:
    outcome = weldcache("config", "list", folder=tmp_path)
    rows = [line.split() for line in outcome.raw_out.splitlines() if len(line.split()) > 5]
    assert outcome.code == 0
    names = [row[0] for row in rows]
    assert names == preset_names() and {"demo", "demo-random", "anovox", "pictures", "v5"} <= set(names)


def test_what_is_shown_loads_back_equal(weldcache: Callable[..., Any], synthetic: Path, tmp_path: Path) -> None:
    outcome = weldcache("config", "show", "--set", "train.lr=0.5", folder=synthetic)
    assert outcome.code == 0
    shown = yaml.safe_load(outcome.raw_out)
    assert shown["train"]["lr"] == 0.5 and shown["features"]["video"]["model"] == "demo"
    assert shown["data"]["root"] == str(synthetic)  # the folder's weldcache.yaml says `root: .`
    (tmp_path / "shown.yaml").write_text(outcome.raw_out)
    expected = load_settings(overrides=["train.lr=0.5"], folder=synthetic)
    assert load_settings(str(tmp_path / "shown.yaml"), folder=tmp_path) == expected


def test_the_preset_of_pictures_shows_what_pictures_have_alone(weldcache: Callable[..., Any], tmp_path: Path) -> None:
    outcome = weldcache("config", "show", "--config", "pictures", folder=tmp_path)
    shown = yaml.safe_load(outcome.raw_out)
    assert list(shown["features"]) == ["image", "pixels"] and "weld" not in outcome.raw_out.replace("weldcache", "")


def test_a_feature_that_is_null_is_taken_out_and_may_come_back(tmp_path: Path) -> None:
    (tmp_path / "weldcache.yaml").write_text("features: {audio: null, text: null, none_such: null}")
    features = load_settings(folder=tmp_path, overrides=["features.video=null", "features.text.kind=text"]).features
    assert {"audio", "video", "none_such"}.isdisjoint(features) and {"image", "text"} <= features.keys()


def test_a_setting_is_explained(weldcache: Callable[..., Any], synthetic: Path) -> None:
    outcome = weldcache("config", "explain", "train.epochs", folder=synthetic)
    assert outcome.code == 0
    assert "Epochs at most." in outcome.out and "default: 100" in outcome.out and "here: 3" in outcome.out


def test_a_section_is_explained_setting_by_setting(weldcache: Callable[..., Any], tmp_path: Path) -> None:
    outcome = weldcache("config", "explain", "features.audio", folder=tmp_path)
    assert all(
        name in outcome.out
        for name in ("features.audio.model", "features.audio.revision", "features.audio.max_seconds")
    )
    assert "train." not in outcome.out


@pytest.mark.parametrize(
    ("key", "nearest"), [("train.lrr", "train.lr"), ("features.video.frames", "features.video.num_frames")]
)
def test_an_unknown_setting_is_answered_with_the_nearest(
    weldcache: Callable[..., Any], tmp_path: Path, key: str, nearest: str
) -> None:
    outcome = weldcache("config", "explain", key, folder=tmp_path)
    assert outcome.code == 2
    assert f"There is no setting {key}. Did you mean {nearest}?" in outcome.err
