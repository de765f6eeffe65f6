"""Settings to source."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from weldcache.errors import NotFoundError, SettingsError, SourceError
from weldcache.extract.sources.folder import FolderSource
from weldcache.extract.sources.open import open_source
from weldcache.extract.sources.source import Source
from weldcache.extract.sources.welds.folders import FolderSource as WeldFolders
from weldcache.extract.sources.welds.manifest import ManifestSource
from weldcache.settings import Settings, load_settings


def opened(root: Path, **given: Any) -> Source:
    data = {"source": "auto", "root": root, **given}
    return open_source(Settings.model_validate({"data": data}).data)


@pytest.fixture
def both(tmp_path: Path) -> Path:
    (tmp_path / "manifest.csv").touch()
    (tmp_path / "good_weld").mkdir()
    return tmp_path


def test_auto_takes_the_manifest_if_there_is_one(both: Path) -> None:
    assert opened(both) == ManifestSource(both)
    (both / "manifest.csv").unlink()
    assert opened(both, val_fraction=0.1, test_fraction=0.3, split_seed=5) == WeldFolders(
        both, val_fraction=0.1, test_fraction=0.3, split_seed=5
    )


def test_a_named_layout_is_taken(both: Path) -> None:
    assert isinstance(opened(both, layout="folders"), WeldFolders)
    assert isinstance(opened(both, layout="manifest"), ManifestSource)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"neither manifest\.csv, good_weld/, good/ nor train/"),
        ({"source": "welds"}, r"holds neither manifest\.csv nor good_weld/"),
        ({"source": "welds", "layout": "manifest"}, r"holds no manifest\.csv"),
        ({"source": "welds", "layout": "folders"}, "holds no good_weld/"),
    ],
)
def test_nothing_found_says_what_to_do(tmp_path: Path, given: dict[str, str], message: str) -> None:
    with pytest.raises(NotFoundError, match=rf"{message}.*data\.root.*weldcache synth"):
        opened(tmp_path, **given)


def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"There is no folder .*nowhere"):
        opened(tmp_path / "nowhere")


def test_the_other_layout_is_not_taken_instead(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    make_run("good_weld/s/10-04-22-0001-00")
    with pytest.raises(NotFoundError, match=r"holds no manifest\.csv"):
        opened(tmp_path, source="welds", layout="manifest")


@pytest.mark.parametrize("told", ["train", "Validation", "good", "OK"])
def test_pictures_in_folders_are_known_by_their_names(
    tmp_path: Path, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / told).mkdir()
    assert isinstance(opened(tmp_path), FolderSource)
    assert f"has the folder {told}/, so data.source is folder" in capsys.readouterr().err
    assert isinstance(opened(tmp_path, source="folder"), FolderSource)
    assert capsys.readouterr().err == ""


def test_how_classes_are_read_is_taken_from_the_settings(both: Path) -> None:
    given: dict[str, Any] = {"normal_classes": ["fine"], "unlabelled": "leave_out", "run_codes": "ignore"}
    expected = ManifestSource(both, normal_classes=("fine",), unlabelled="leave_out", run_codes="ignore")
    assert opened(both, **given) == expected


def test_a_folder_that_may_not_be_listed_is_named(both: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "iterdir", Mock(side_effect=PermissionError(13, "Permission denied", str(both))))
    with pytest.raises(SourceError, match=rf"{both} cannot be listed \(Permission denied\)"):
        opened(both)


def test_a_source_that_is_chosen_knows_its_own_settings_alone() -> None:
    for source, unknown in (("folder", "run_codes"), ("welds", "streams"), ("table", "layout")):
        with pytest.raises(SettingsError, match=f"data.{unknown}"):
            load_settings(overrides=[f"data.source={source}", f"data.{unknown}=x"])


def test_what_weldcache_wrote_into_the_data_sets_folder_is_passed_over_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("good/1.png", "good/notes.txt", "runs/first/report.html", "cache.zarr/zarr.json", "other/readme.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    settings = load_settings(folder=tmp_path, overrides=["data.source=folder", f"data.root={tmp_path}"]).data
    source = open_source(settings, written=[tmp_path / "runs", tmp_path / "good" / ".." / "cache.zarr"])
    assert [sample.key for sample in source.samples()] == ["good/1.png"]
    said = capsys.readouterr().err
    assert "good/notes.txt" in said and "other/readme.md" in said and "runs" not in said and "zarr" not in said


def test_the_root_stays_when_another_source_is_chosen(tmp_path: Path) -> None:
    (tmp_path / "weldcache.yaml").write_text("data: {root: pictures, val_fraction: 0.3}")
    data = load_settings(folder=tmp_path, overrides=["data.source=folder"]).data
    assert (data.source, data.root) == ("folder", tmp_path / "pictures")
