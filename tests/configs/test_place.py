"""Places of stores: folders and URLs of buckets, and no URL that could hold a secret."""

from pathlib import Path

import pytest

from weldcache.configs.place import BucketUrl, place_of, require_folder
from weldcache.errors import SettingsError
from weldcache.settings import Settings, load_settings, settings_from_saved, to_yaml


@pytest.mark.parametrize("text", ["s3://key:SECRET@team/x", "s3://team/x?X-Amz-Signature=SECRET", "s3://team/x#SECRET"])
def test_a_url_that_may_hold_a_secret_is_refused_without_saying_it(text: str) -> None:
    with pytest.raises(SettingsError, match="credentials") as caught:
        place_of(text)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("text", ["https://team/x", "s3://team", "s3://team/../x", "s3://team/a b", "file://host/x"])
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        place_of(text)


def test_places_are_written_as_they_are_read(tmp_path: Path) -> None:
    assert place_of("s3://team/a/b/") == BucketUrl("s3", "team", "a/b")
    assert str(place_of("gs://team/a/b")) == "gs://team/a/b"
    assert place_of(f"file://{tmp_path}") == place_of(str(tmp_path)) == tmp_path


def test_a_setting_is_a_place_however_it_is_saved(tmp_path: Path) -> None:
    settings = load_settings(overrides=["cache.path=s3://team/x/features.zarr"], folder=tmp_path)
    assert settings.cache.path == BucketUrl("s3", "team", "x/features.zarr")
    for again in (
        settings_from_saved(to_yaml(settings).encode(), origin="saved"),
        Settings.model_validate(settings.model_dump()),
        Settings.model_validate(settings.model_dump(mode="json")),
    ):
        assert again.cache == settings.cache
    here = load_settings(overrides=["cache.path=features.zarr"], folder=tmp_path)
    assert here.cache.path == Path("features.zarr").absolute()


def test_a_secret_in_a_setting_is_refused_without_saying_it(tmp_path: Path) -> None:
    (tmp_path / "weldcache.yaml").write_text("cache:\n  path: s3://key:SECRET@team/x\n")
    for overrides in ([], ["cache.path=s3://key:SECRET@team/x"]):
        with pytest.raises(SettingsError, match="credentials") as caught:
            load_settings(overrides=overrides, folder=tmp_path)
        assert "SECRET" not in str(caught.value)


def test_what_needs_a_folder_says_how_to_get_one(tmp_path: Path) -> None:
    assert require_folder(tmp_path, what="extracts into") == tmp_path
    with pytest.raises(SettingsError, match="weldcache mirror FOLDER s3://team/x"):
        require_folder(BucketUrl("s3", "team", "x"), what="extracts into")
