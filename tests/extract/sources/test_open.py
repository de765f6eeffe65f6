"""Settings to source."""

from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest

from weldcache.configs.schema import DataSettings
from weldcache.errors import NotFoundError, SourceError
from weldcache.extract.sources.folder import FolderSource
from weldcache.extract.sources.open import open_source
from weldcache.extract.sources.welds.folders import FolderSource as WeldFolders
from weldcache.extract.sources.welds.manifest import ManifestSource


@pytest.fixture
def both(tmp_path: Path) -> Path:
    (tmp_path / "manifest.csv").touch()
    (tmp_path / "good_weld").mkdir()
    return tmp_path


def test_auto_takes_the_manifest_if_there_is_one(both: Path) -> None:
    assert open_source(DataSettings(root=both)) == ManifestSource(both)
    (both / "manifest.csv").unlink()
    settings = DataSettings(root=both, val_fraction=0.1, test_fraction=0.3, split_seed=5)
    assert open_source(settings) == WeldFolders(both, val_fraction=0.1, test_fraction=0.3, split_seed=5)


def test_a_named_layout_is_taken(both: Path) -> None:
    assert isinstance(open_source(DataSettings(root=both, layout="folders")), WeldFolders)
    assert isinstance(open_source(DataSettings(root=both, layout="manifest")), ManifestSource)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"holds neither manifest\.csv, good_weld/, good/ nor train/"),
        ({"source": "welds"}, r"holds neither manifest\.csv nor good_weld/"),
        ({"source": "welds", "layout": "manifest"}, r"holds no manifest\.csv"),
        ({"source": "welds", "layout": "folders"}, "holds no good_weld/"),
        ({"source": "folder"}, "holds neither good/ nor train/"),
    ],
)
def test_nothing_found_says_what_to_do(tmp_path: Path, given: dict[str, str], message: str) -> None:
    with pytest.raises(NotFoundError, match=rf"{message}.*data\.root.*weldcache synth"):
        open_source(DataSettings.model_validate({"root": tmp_path, **given}))


def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"There is no folder .*nowhere"):
        open_source(DataSettings(root=tmp_path / "nowhere"))


def test_the_other_layout_is_not_taken_instead(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    make_run("good_weld/s/10-04-22-0001-00")
    with pytest.raises(NotFoundError, match=r"holds no manifest\.csv"):
        open_source(DataSettings(root=tmp_path, source="welds", layout="manifest"))


@pytest.mark.parametrize("told", ["train", "Validation", "good", "OK"])
def test_pictures_in_folders_are_known_by_their_names(
    tmp_path: Path, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / told).mkdir()
    assert isinstance(open_source(DataSettings(root=tmp_path)), FolderSource)
    assert f"has the folder {told}/, so data.source is folder" in capsys.readouterr().err
    assert isinstance(open_source(DataSettings(root=tmp_path, source="folder")), FolderSource)
    assert capsys.readouterr().err == ""


def test_how_classes_are_read_is_taken_from_the_settings(both: Path) -> None:
    given = {"root": both, "normal_classes": ["fine"], "unlabelled": "leave_out", "run_codes": "ignore"}
    expected = ManifestSource(both, normal_classes=("fine",), unlabelled="leave_out", run_codes="ignore")
    assert open_source(DataSettings.model_validate(given)) == expected


def test_a_folder_that_may_not_be_listed_is_named(both: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "iterdir", Mock(side_effect=PermissionError(13, "Permission denied", str(both))))
    with pytest.raises(SourceError, match=rf"{both} cannot be listed \(Permission denied\)"):
        open_source(DataSettings(root=both))
