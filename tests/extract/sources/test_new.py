"""Samples that no data set has: what files, folders, manifests and tables mean, by the source of a model's training."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from weldcache.errors import NotFoundError, SourceError
from weldcache.extract.settings import DataSettings
from weldcache.extract.sources.folder import FolderSettings, FolderSource
from weldcache.extract.sources.new import NewSamples, new_samples
from weldcache.extract.sources.open import AutoSettings
from weldcache.extract.sources.source import Source
from weldcache.extract.sources.table import TableSettings
from weldcache.extract.sources.welds.classes import WeldsSettings
from weldcache.extract.sources.welds.manifest import ManifestSource


def _touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def _keys(settings: DataSettings, *paths: Path, num_views: int = 1) -> list[str]:
    found = new_samples(settings, paths, num_views=num_views)
    for sample in found.listed:
        assert sample.targets == {} and sample.attributes == {}
        assert all(path.is_relative_to(found.root) for files in sample.files.values() for path in files)
    return [sample.key for sample in found.listed]


def test_pictures_are_samples_wherever_they_lie_in_a_folder(tmp_path: Path) -> None:
    _touch(tmp_path, "a.png", "b.JPG", "day/c.png", "day/d.png", "notes.txt", ".hidden.png")
    settings = FolderSettings()
    assert _keys(settings, tmp_path) == ["a.png", "b.JPG", "day/c.png", "day/d.png"]
    assert _keys(settings, tmp_path / "day/c.png", tmp_path / "a.png") == ["c.png", "a.png"]
    (told,) = new_samples(settings, [tmp_path], num_views=1).told
    assert "notes.txt" in told and isinstance(new_samples(settings, [tmp_path], num_views=1), Source)


def test_where_several_views_are_looked_at_a_folder_of_so_many_pictures_is_one_sample(tmp_path: Path) -> None:
    _touch(tmp_path, "p1/left.png", "p1/right.png", "p2/left.png", "many/1.png", "many/2.png", "many/3.png")
    settings = FolderSettings()
    assert _keys(settings, tmp_path, num_views=2) == ["many/1.png", "many/2.png", "many/3.png", "p1", "p2"]
    found = new_samples(settings, [tmp_path / "p1"], num_views=2)
    assert [sample.key for sample in found.listed] == ["p1"] and len(found.listed[0].files["image"]) == 2


def test_a_folder_laid_out_as_a_data_set_gives_the_keys_of_one(tmp_path: Path) -> None:
    _touch(tmp_path, "train/good/a.png", "test/good/b.png", "test/stain/c.png", "test/stain/d/1.png")
    _touch(tmp_path, "ground_truth/stain/c_mask.png")
    settings = FolderSettings(root=tmp_path)
    assert _keys(settings, tmp_path) == sorted(sample.key for sample in FolderSource(settings).samples())
    assert _keys(settings, tmp_path / "test") == ["good/b.png", "stain/c.png", "stain/d"]


def test_equal_names_in_two_folders_are_told_apart_by_whole_paths(tmp_path: Path) -> None:
    _touch(tmp_path, "one/a.png", "two/a.png")
    assert _keys(FolderSettings(), tmp_path / "one", tmp_path / "two") == [
        f"{tmp_path}/one/a.png",
        f"{tmp_path}/two/a.png",
    ]
    assert _keys(FolderSettings(), tmp_path / "one", tmp_path / "one") == ["a.png"]
    assert _keys(FolderSettings(), tmp_path / "one", tmp_path / "one/a.png") == [f"{tmp_path}/one/a.png"]


def test_what_is_not_there_or_no_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"gone\.png"):
        new_samples(FolderSettings(), [tmp_path / "gone.png"], num_views=1)
    with pytest.raises(SourceError, match=r"notes\.txt"):
        new_samples(FolderSettings(), [_touch(tmp_path, "notes.txt") / "notes.txt"], num_views=1)


def test_a_table_needs_no_column_but_keys_and_streams(tmp_path: Path) -> None:
    _touch(tmp_path, "pictures/a.png", "tables/unused")
    settings = TableSettings(
        table="tables/all.csv", key="id", split="fold", class_name="kind", group="lot", streams={"image": "photo"}
    )
    table = tmp_path / "tables" / "all.csv"
    table.write_text("id,photo,kind\na,pictures/a.png,good\nb,,scratch\n")
    for path in (table, tmp_path):
        found = new_samples(settings, [path], num_views=1)
        assert [sample.key for sample in found.listed] == ["a", "b"] and found.root == tmp_path
        assert found.listed[0].files["image"] == (tmp_path / "pictures/a.png",)
        assert "empty" in (found.listed[1].why_absent("image") or "")
        assert "kind" in found.told[0] and "fold" not in found.told[0]
    (tmp_path / "one.csv").write_text("id,photo\nz,pictures/a.png\n")
    assert _keys(settings, tmp_path / "one.csv") == ["z"]
    (tmp_path / "two.csv").write_text("id,photo\nz,\n")
    with pytest.raises(SourceError, match=r"called.*z"):
        new_samples(settings, [tmp_path / "one.csv", tmp_path / "two.csv"], num_views=1)
    (tmp_path / "bad.csv").write_text("id\nz\n")
    with pytest.raises(SourceError, match="photo"):
        new_samples(settings, [tmp_path / "bad.csv"], num_views=1)


@pytest.mark.parametrize("settings", [WeldsSettings(), AutoSettings()])
def test_recorded_runs_are_found_by_manifest_and_by_folder(
    settings: WeldsSettings, synthetic: Path, weld_keys: Callable[..., list[str]], tmp_path: Path
) -> None:
    keys = weld_keys(synthetic, "test")
    by_key = {sample.key: sample for sample in ManifestSource(synthetic).samples()}
    found = new_samples(settings, [synthetic], num_views=5)
    assert {sample.key: sample.files for sample in found.listed} == {key: by_key[key].files for key in by_key}
    assert "CATEGORY" in found.told[0] and found.noun == "weld" and found.formats["sensor"].clock == "Time"
    (single,) = new_samples(settings, [synthetic / keys[0]], num_views=5).listed
    assert single.key == keys[0].split("/")[1] and single.files == by_key[keys[0]].files
    session = synthetic / keys[0].split("/")[0]
    assert _keys(settings, session, num_views=5) == [
        key.split("/")[1] for key in sorted(by_key) if key.startswith(f"{session.name}/")
    ]
    (tmp_path / "manifest.csv").write_text("SUBDIRS,REMARK\nday/run-1,new\n")
    _touch(tmp_path, "day/run-1/x.avi")
    (listed,) = new_samples(settings, [tmp_path], num_views=5).listed
    assert listed.key == "day/run-1" and listed.why_absent("audio") and listed.why_absent("video") is None
    shutil.rmtree(tmp_path / "day")
    (gone,) = new_samples(settings, [tmp_path], num_views=5).listed
    assert not gone.files


def test_auto_takes_for_pictures_what_holds_no_recordings(tmp_path: Path) -> None:
    _touch(tmp_path, "a.png")
    found = new_samples(AutoSettings(), [tmp_path], num_views=1)
    assert (found.noun, [sample.key for sample in found.listed]) == ("picture", ["a.png"])
    with pytest.raises(SourceError, match="a file alone"):
        new_samples(WeldsSettings(), [tmp_path / "a.png"], num_views=1)


def test_what_lies_in_no_folder_of_recordings_is_told(tmp_path: Path) -> None:
    _touch(tmp_path, "day/run-1/x.avi", "day/run-1/notes.txt", "day/loose.png", "junk/b.png", ".hidden")
    found = new_samples(AutoSettings(), [tmp_path], num_views=1)
    assert [sample.key for sample in found.listed] == ["day/run-1"]
    (told,) = found.told
    assert "day/loose.png" in told and "junk/b.png" in told and "notes" not in told and "hidden" not in told
    assert new_samples(AutoSettings(), [tmp_path / "day/run-1"], num_views=1).told == []


class Packaged(DataSettings):
    """The section of a source that says nothing of new samples."""

    source: str = "packaged"


def test_a_source_that_lists_no_new_ones_opens_a_data_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _touch(tmp_path, "good/a.png", "good/b.png", "good/c.png", "stain/d.png")
    monkeypatch.setattr(
        "weldcache.extract.sources.new.SOURCES.code",
        lambda _: lambda given: FolderSource(FolderSettings(root=given.root)),
    )
    found: NewSamples = new_samples(Packaged(root=Path("elsewhere")), [tmp_path], num_views=1)
    assert [sample.key for sample in found.listed] == ["good/a.png", "good/b.png", "good/c.png", "stain/d.png"]
    assert not any(sample.targets for sample in found.listed) and "label" in found.told[0]
    with pytest.raises(SourceError, match="no folder"):
        new_samples(Packaged(), [tmp_path / "good/a.png"], num_views=1)
