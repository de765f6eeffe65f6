"""ModelNet40 in both layouts: what is listed, what is drawn, and what is refused by name."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from weldcache.errors import NotFoundError, SourceError
from weldcache.extract.decode import cloud_geometry
from weldcache.extract.sources.modelnet import source
from weldcache.extract.sources.modelnet.source import ModelnetSettings, ModelnetSource
from weldcache.extract.sources.new import new_samples
from weldcache.extract.sources.source import Sample
from weldcache.testing.sources import SourceContract

Listed = Callable[..., list[Sample]]


def write(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def meshes(root: Path, class_name: str, *, train: int = 4, test: int = 2) -> None:
    write(root, *(f"{class_name}/train/{class_name}_{number:04d}.off" for number in range(1, train + 1)))
    write(root, *(f"{class_name}/test/{class_name}_{number:04d}.off" for number in range(train + 1, train + test + 1)))


@pytest.fixture
def listed(tmp_path: Path) -> Listed:
    def of(**settings: object) -> list[Sample]:
        return list(ModelnetSource(ModelnetSettings.model_validate({"root": tmp_path, **settings})).samples())

    return of


class TestContract(SourceContract):
    def make(self, root: Path) -> ModelnetSource:
        for name in ("glass_box", "chair", "radio"):
            meshes(root, name)
        return ModelnetSource(ModelnetSettings(root=root, copies=3))


def test_copies_of_an_object_are_one_group_and_say_how_they_are_turned(tmp_path: Path, listed: Listed) -> None:
    meshes(tmp_path, "glass_box", train=10)
    samples = listed(copies=12, rotations="even", kappa=5)
    assert len(samples) == 12 * 12 and len({sample.group for sample in samples}) == 12
    of_one = [sample for sample in samples if sample.group == "glass_box_0001"]
    assert [sample.targets["orientation"] for sample in of_one] == [30 * copy for copy in range(12)]
    assert [sample.vectors["points"] for sample in of_one] == [(0, 0, 30 * copy) for copy in range(12)]
    assert {sample.files["points"] for sample in of_one} == {(tmp_path / "glass_box/train/glass_box_0001.off",)}
    assert {(sample.targets["symmetry"], sample.targets["concentration"]) for sample in samples} == {(4, 5)}
    for sample in samples:
        assert (sample.split == "test") == ("/test/" in sample.key)


def test_drawn_angles_are_the_same_for_a_name_and_differ_between_objects(tmp_path: Path, listed: Listed) -> None:
    meshes(tmp_path, "chair")
    first, again = ({each.key: each.targets["orientation"] for each in listed(copies=5)} for _ in range(2))
    assert first == again and len(set(first.values())) == len(first)


def test_validation_takes_whole_objects_of_train_of_each_class(tmp_path: Path, listed: Listed) -> None:
    for name in ("chair", "table"):
        meshes(tmp_path, name, train=20)
    samples = listed(copies=2)
    validated = {sample.group for sample in samples if sample.split == "val"}
    assert {name.rpartition("_")[0] for name in validated} == {"chair", "table"} and len(validated) < 20
    assert not validated & {sample.group for sample in samples if sample.split != "val"}
    assert {sample.split for sample in listed(val_fraction=0)} == {"train", "test"}


def test_of_a_class_without_a_symmetry_no_orientation_is_known(
    tmp_path: Path, listed: Listed, capsys: pytest.CaptureFixture[str]
) -> None:
    meshes(tmp_path, "radio")
    assert all(sample.targets.keys() == {"class"} for sample in listed())
    assert "data.symmetry" in capsys.readouterr().err
    assert all(sample.targets["symmetry"] == 1 for sample in listed(symmetry={"radio": 1}))


@pytest.mark.parametrize("degrees", [0.0, 30.0, 180.0, 350.0])
def test_whatever_stands_upright_in_a_file_a_sample_is_the_same(degrees: float) -> None:
    """A thing in a mesh, and the same in resampled points, where z is -y and y is z."""
    mesh = np.random.default_rng(0).normal(size=(20, 3))
    resampled = np.stack([mesh[:, 0], mesh[:, 2], -mesh[:, 1]], axis=1)
    of_mesh, of_resampled = (
        cloud_geometry.turned(points, source._upright(degrees, vertical=vertical))
        for points, vertical in ((mesh, "z"), (resampled, "y"))
    )
    np.testing.assert_allclose(of_resampled, of_mesh, atol=1e-12)


def test_resampled_points_are_set_upright_and_split_by_their_lists(tmp_path: Path, listed: Listed) -> None:
    write(tmp_path, *(f"chair/chair_{number:04d}.txt" for number in range(1, 11)))
    drawn = listed(copies=1)
    assert {sample.split for sample in drawn} == {"train", "val", "test"} and drawn[0].key == "chair/chair_0001"
    assert {sample.vectors["points"] for sample in drawn} == {
        source._upright(float(sample.targets["orientation"]), vertical="y") for sample in drawn
    }
    assert {sample.vectors["points"][:2] for sample in listed(copies=1, vertical="z")} == {(0.0, 0.0)}
    train, test = ([f"chair_{number:04d}" for number in numbers] for numbers in (range(1, 8), range(8, 11)))
    lists = [tmp_path / f"modelnet40_{split}.txt" for split in ("train", "test")]
    for path, names in zip(lists, (train, test), strict=True):
        path.write_text("\ufeff" + "\r\n".join([*names, "desk_0001" if path is lists[0] else ""]))
    assert {sample.group for sample in listed() if sample.split == "test"} == set(test)
    lists[1].write_text("\n".join(test[1:]))
    with pytest.raises(SourceError, match="chair_0008 in no list"):
        listed()
    lists[1].write_text("\n".join([*test, "chair_0099"]))
    with pytest.raises(SourceError, match="lacks chair_0099"):
        listed()
    lists[1].write_text("\n".join([*test, "chair_0001"]))
    with pytest.raises(SourceError, match=r"chair_0001 is in modelnet40_train\.txt"):
        listed()
    lists[0].unlink()
    with pytest.raises(SourceError, match=r"modelnet40_train\.txt cannot be read"):
        listed()


def test_what_is_cut_mixed_or_misplaced_is_named(
    tmp_path: Path, listed: Listed, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotFoundError, match=r"chair_0001|class"):
        listed()
    meshes(tmp_path, "chair")
    with pytest.raises(NotFoundError, match="sofa"):
        listed(classes=["sofa"])
    monkeypatch.setattr(source, "_NUM_CLASSES", 1)
    with pytest.raises(SourceError, match=r"4 of 9,843 in train and 2 of 2,468 in test"):
        listed()
    monkeypatch.undo()
    write(tmp_path, "table/table_0001.txt")
    with pytest.raises(SourceError, match=r"two releases.*chair_0005\.off.*table_0001\.txt"):
        listed()
    assert len(listed(classes=["chair"], copies=1)) == 6
    write(tmp_path, "chair/train/table_0003.off")
    with pytest.raises(SourceError, match=r"table_0003\.off is not called chair_"):
        listed(classes=["chair"])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda chair: shutil.rmtree(chair / "test"), r"chair has no shapes in test.*data\.classes"),
        (lambda chair: [path.unlink() for path in chair.rglob("*.off")], r"chair has no shapes in train and test"),
        (lambda chair: (chair / "train/chair_0009.off").mkdir(), r"chair_0009\.off is a folder"),
    ],
)
def test_a_class_of_which_a_part_was_not_copied_is_named(
    change: Callable[[Path], object], named: str, tmp_path: Path, listed: Listed
) -> None:
    for name in ("chair", "table"):
        meshes(tmp_path, name)
    change(tmp_path / "chair")
    with pytest.raises(SourceError, match=named):
        listed()
    assert len(listed(classes=["table"], copies=1)) == 6


def test_resampled_points_that_are_cut_are_told_by_their_size(tmp_path: Path, listed: Listed) -> None:
    (tmp_path / "chair").mkdir()
    for number in range(1, 9):
        (tmp_path / f"chair/chair_{number:04d}.txt").write_text("0.1,0.2,0.3,0,0,1\n" * (100 if number != 5 else 70))
    with pytest.raises(SourceError, match=r"chair_0005 is far shorter"):
        listed()


def test_folders_that_hold_no_shapes_are_passed_over(tmp_path: Path, listed: Listed) -> None:
    meshes(tmp_path, "chair")
    write(tmp_path, "runs/train/best.safetensors", "features.zarr/zarr.json", "notes/readme.txt")
    assert len(listed(copies=1)) == 6


def test_new_shapes_are_not_turned(tmp_path: Path) -> None:
    write(tmp_path, "new/a.off", "new/deeper/b.TXT", "new/notes.md")
    settings = ModelnetSettings(root=tmp_path, copies=12)
    found = new_samples(settings, [tmp_path / "new"], num_views=1)
    assert [sample.key for sample in found.listed] == ["a.off", "deeper/b.TXT"]
    mesh, resampled = found.listed
    assert not mesh.vectors and not mesh.targets and not resampled.targets
    assert resampled.vectors["points"] == pytest.approx((90, 0, 0))  # set upright, as those of the store are
    assert [sample.key for sample in new_samples(settings, [tmp_path / "new/a.off"], num_views=1).listed] == ["a.off"]
    with pytest.raises(SourceError, match=r"notes\.md is no shape"):
        new_samples(settings, [tmp_path / "new/notes.md"], num_views=1)
