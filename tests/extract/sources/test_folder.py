"""Pictures in folders: what is a class, a sample, a view, a split and a mask."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from weldcache.errors import NotFoundError, SettingsError
from weldcache.extract.sources.folder import FolderSettings, FolderSource
from weldcache.extract.sources.source import Sample, Source
from weldcache.testing.sources import SourceContract

Touch = Callable[..., None]


def source(root: Path, **given: Any) -> FolderSource:
    return FolderSource(FolderSettings(root=root, **{"val_fraction": 0.25, "test_fraction": 0.25, **given}))


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def mvtec(root: Path) -> None:
    touch(root, *(f"train/good/{n:03d}.png" for n in range(8)), *(f"test/good/{n:03d}.png" for n in range(3)))
    touch(root, *(f"test/scratch/{n:03d}.png" for n in range(3)))
    touch(root, *(f"ground_truth/scratch/{n:03d}_mask.png" for n in range(2)))


def good_and_defects(root: Path) -> None:
    touch(root, *(f"good/{n}.jpg" for n in range(8)), "defects/hole/a.bmp", "defects/hole/b.tif", "defects/odd.webp")


def by_key(root: Path) -> dict[str, Sample]:
    return {sample.key: sample for sample in source(root).samples()}


class TestMvtec(SourceContract):
    def make(self, root: Path) -> Source:
        mvtec(root)
        return source(root)


class TestGoodAndDefects(SourceContract):
    def make(self, root: Path) -> Source:
        good_and_defects(root)
        return source(root)


def test_mvtec_folders_say_split_class_and_mask(tmp_path: Path) -> None:
    mvtec(tmp_path)
    samples = by_key(tmp_path)
    scratch = samples["test/scratch/001.png"]
    assert (scratch.split, dict(scratch.targets)) == ("test", {"class": "scratch", "label": 1})
    assert scratch.files == {"image": (tmp_path / "test/scratch/001.png",)}
    assert scratch.masks == {scratch.files["image"][0]: tmp_path / "ground_truth/scratch/001_mask.png"}
    assert samples["test/scratch/002.png"].masks == {}
    assert dict(samples["test/good/000.png"].targets) == {"class": "good", "label": 0}
    label, kind = source(tmp_path).targets()
    assert (label.classes, kind.classes) == (("normal", "defect"), ("good", "scratch"))


def test_validation_is_drawn_from_train_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mvtec(tmp_path)
    drawn = {sample.key for sample in source(tmp_path).samples() if sample.split == "val"}
    assert 0 < len(drawn) < 8 and all(key.startswith("train/good/") for key in drawn)
    said = capsys.readouterr().err
    assert f"{len(drawn)} picture" in said and "of 8" in said and "data.split_seed" in said
    other = {sample.key for sample in source(tmp_path, split_seed=1).samples() if sample.split == "val"}
    assert 0 < len(other) < 8 and other != drawn
    kept = Counter(sample.split for sample in source(tmp_path, val_fraction=0.0).samples())
    assert kept == {"train": 8, "test": 6}


@pytest.mark.parametrize("name", ["val", "valid", "Validation"])
def test_a_validation_split_that_is_there_is_taken(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    mvtec(tmp_path)
    touch(tmp_path, f"{name}/good/a.png")
    assert [sample.key for sample in source(tmp_path).samples() if sample.split == "val"] == [f"{name}/good/a.png"]
    assert capsys.readouterr().err == ""


def test_splits_are_drawn_where_there_are_none(tmp_path: Path) -> None:
    good_and_defects(tmp_path)
    samples = by_key(tmp_path)
    assert {key: dict(samples[key].targets)["class"] for key in samples if key.startswith("defects")} == {
        "defects/hole/a.bmp": "hole",
        "defects/hole/b.tif": "hole",
        "defects/odd.webp": "defects",
    }
    assert {sample.targets["label"] for sample in samples.values() if sample.split == "train"} == {0}
    assert {sample.split for sample in samples.values() if sample.targets["label"] == 0} == {"train", "val", "test"}
    assert {samples[f"defects/hole/{name}"].split for name in ("a.bmp", "b.tif")} == {"val", "test"}
    with pytest.raises(SettingsError, match=r"data\.val_fraction"):
        source(tmp_path, val_fraction=0.0, test_fraction=0.0).samples()


def test_a_folder_of_several_pictures_is_one_sample(tmp_path: Path) -> None:
    touch(tmp_path, *(f"train/good/p{n}/{view}.png" for n in range(4) for view in ("left", "right")))
    touch(tmp_path, "test/dent/p9/left.png", "ground_truth/dent/p9/left.png")
    samples = by_key(tmp_path)
    assert len(samples) == 5
    assert [path.name for path in samples["train/good/p0"].files["image"]] == ["left.png", "right.png"]
    (mask,) = samples["test/dent/p9"].masks.values()
    assert mask == tmp_path / "ground_truth/dent/p9/left.png"


@pytest.mark.parametrize("normal", ["good", "OK", "Normal", "i.O.", "正常"])
def test_folders_that_mean_normal(tmp_path: Path, normal: str) -> None:
    touch(tmp_path, *(f"train/{normal}/{n}.png" for n in range(4)), "test/not ok/a.png")
    labels = {sample.targets["class"]: sample.targets["label"] for sample in source(tmp_path).samples()}
    assert labels == {normal: 0, "not ok": 1}


def test_classes_of_which_none_is_normal_have_no_label(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    touch(tmp_path, *(f"{bird}/{n}.png" for bird in ("finch", "owl") for n in range(4)))
    samples = source(tmp_path).samples()
    assert all(dict(sample.targets).keys() == {"class"} for sample in samples)
    assert "data.normal_classes" in capsys.readouterr().err
    assert {(sample.split, sample.targets["class"]) for sample in samples} == {
        (split, bird) for split in ("train", "val", "test") for bird in ("finch", "owl")
    }


def test_an_unknown_class_stays_unknown(tmp_path: Path) -> None:
    mvtec(tmp_path)
    touch(tmp_path, "test/unknown/a.png")
    assert by_key(tmp_path)["test/unknown/a.png"].targets == {}


def test_what_is_no_picture_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mvtec(tmp_path)
    touch(tmp_path, "train/good/notes.txt", "train/good/._000.png", "train/good/film.GIF")
    (tmp_path / "test/good/gone.png").symlink_to(tmp_path / "nowhere")
    assert len(source(tmp_path).samples()) == 14
    said = capsys.readouterr().err
    assert "train/good/notes.txt is no picture" in said and "test/good/gone.png is a link to nothing" in said
    assert "train/good/film.GIF is of a format that is not read (save it as PNG)" in said
    assert "._000.png" not in said


def test_a_mask_of_no_picture_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mvtec(tmp_path)
    touch(tmp_path, "ground_truth/scratch/099_mask.png")
    assert sum(bool(sample.masks) for sample in source(tmp_path).samples()) == 2
    said = capsys.readouterr().err
    assert "ground_truth/scratch/099_mask.png is a mask of no picture" in said and "000_mask.png" not in said


def test_pictures_of_one_name_in_two_formats_are_both_views(tmp_path: Path) -> None:
    touch(tmp_path, *(f"train/good/p{n}/a.{suffix}" for n in range(4) for suffix in ("jpg", "png")))
    assert [path.name for path in by_key(tmp_path)["train/good/p0"].files["image"]] == ["a.jpg", "a.png"]


def test_no_picture_at_all_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "train/good/a.txt")
    with pytest.raises(NotFoundError, match=r"no pictures \(\.jpg"):
        source(tmp_path).samples()
