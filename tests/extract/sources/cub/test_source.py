"""CUB-200-2011 as it lies on disk: every quirk of the layout, and every copy that is not whole."""

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from weldcache.errors import NotFoundError, SourceError
from weldcache.extract.sources.cub.source import CubSettings, CubSource
from weldcache.extract.sources.cub.synth import CubGenerator, CubPlan
from weldcache.extract.sources.new import new_samples
from weldcache.extract.sources.source import Sample
from weldcache.testing.sources import SourceContract

TABLES = "CUB_200_2011"
OF_IMAGES = f"{TABLES}/attributes/image_attribute_labels.txt"
NUM_ATTRIBUTES = 4 * 2 + 5 + 3 + 4


def few() -> CubPlan:
    """Six small pictures of each of six classes, with two parts in four colours."""
    plan = CubGenerator().plan_for_size("tiny", seed=3, plant=())
    return replace(plan, num_train=24, num_test=12, num_parts=2, num_colours=4, width=24, height=20)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("birds") / "data"
    CubGenerator().generate(out, plan=few(), workers=1, preset="pictures")
    return out


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "data"))


def source(root: Path, **settings: object) -> CubSource:
    return CubSource(CubSettings.model_validate({"root": root, **settings}))


def edit(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")


def told(samples: list[Sample]) -> list[tuple[object, ...]]:
    return [(each.key, each.split, each.targets, each.vectors, each.attributes) for each in samples]


class TestContract(SourceContract):
    def make(self, root: Path) -> CubSource:
        if not (root / TABLES).exists():
            CubGenerator().generate(root, plan=few(), workers=1, preset="pictures")
        return source(root)


def test_pictures_have_their_class_and_attributes_as_targets(made: Path) -> None:
    samples, targets = source(made).samples(), {spec.name: spec for spec in source(made).targets()}
    assert len(samples) == 36 and set(targets) == {"class", "attributes", "class_attributes"}
    assert targets["attributes"].shape == targets["class_attributes"].shape == (NUM_ATTRIBUTES,)
    assert targets["attributes"].value_names == targets["class_attributes"].value_names
    assert "has_size::very_large" in (targets["attributes"].value_names or ())
    names = targets["class"].classes
    assert names is not None and len(names) == 6
    for sample in samples:
        assert sample.key.startswith(f"{names[sample.targets['class']]}/")
        assert set(sample.targets["attributes"]) <= {-1, 0, 1}
        assert set(sample.attributes) == {"box_left", "box_top", "box_width", "box_height"}


def test_what_was_not_seen_or_is_a_guess_is_not_known_and_never_absent(made: Path) -> None:
    lines = [list(map(float, line.split()[:4])) for line in (made / OF_IMAGES).read_text().splitlines()]
    certainty = np.array([line[3] for line in lines]).reshape(36, -1)
    present = np.array([line[2] for line in lines]).reshape(36, -1)
    assert {1, 2, 3, 4} == set(certainty.ravel().tolist())
    for least in (2, 3, 4):
        found = np.array([sample.targets["attributes"] for sample in source(made, min_certainty=least).samples()])
        np.testing.assert_array_equal(found, np.where(certainty >= least, present, -1))
        oracle = np.array(
            [sample.vectors["oracle_attributes"] for sample in source(made, min_certainty=least).samples()]
        )
        np.testing.assert_array_equal(oracle, np.where(certainty >= least, present, 0.5))


def test_the_official_test_stays_and_validation_is_of_every_class_of_train(made: Path) -> None:
    official = {
        line.split()[1][:-4]: split.split()[1]
        for line, split in zip(
            (made / TABLES / "images.txt").read_text().splitlines(),
            (made / TABLES / "train_test_split.txt").read_text().splitlines(),
            strict=True,
        )
    }
    samples, others = source(made).samples(), source(made, split_seed=1).samples()
    for found in (samples, others):
        assert all((sample.split == "test") is (official[sample.key] == "0") for sample in found)
        classes = Counter(sample.targets["class"] for sample in found if sample.split == "val")
        assert classes == dict.fromkeys(range(6), 1)  # of four each
    assert [sample.split for sample in samples] != [sample.split for sample in others]
    assert {sample.split for sample in source(made, val_fraction=0.0).samples()} == {"train", "test"}
    half = Counter(
        sample.targets["class"] for sample in source(made, val_fraction=0.5).samples() if sample.split == "val"
    )
    assert half == dict.fromkeys(range(6), 2)


@pytest.mark.parametrize("quirk", ["crlf", "inside", "attributes", "folder", "long", "shuffled"])
def test_other_copies_of_the_same_are_read_alike(
    quirk: str, data: Path, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = data / TABLES
    if quirk == "crlf":
        for path in data.rglob("*.txt"):
            path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    elif quirk == "inside":
        (data / "attributes.txt").rename(tables / "attributes/attributes.txt")
    elif quirk == "attributes":  # in both places, and the same
        shutil.copy(data / "attributes.txt", tables / "attributes")
    elif quirk == "long":
        edit(
            data / OF_IMAGES,
            lambda lines: [f"{line} 0 7 1.5" if place < 5 else line for place, line in enumerate(lines)],
        )
    elif quirk == "shuffled":
        for path in (tables / "images.txt", data / OF_IMAGES):
            edit(path, lambda lines: lines[::-1])
    root = tables if quirk == "folder" else data
    found = source(root, **({"counts": "any"} if quirk == "folder" else {})).samples()
    assert told(list(found)) == told(list(source(made).samples()))
    if quirk == "long":
        assert "5 lines of image attributes with more fields" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("name", "change", "named"),
    [
        (OF_IMAGES, lambda lines: lines[:-7], r"image_attribute_labels\.txt.*wrong in 7 places"),
        (OF_IMAGES, lambda lines: [*lines[:-1], lines[-1][:-8]], r"line 720"),
        (OF_IMAGES, lambda lines: [*lines, lines[3]], r"picture 1 and attribute 4 it says it 2 times"),
        (OF_IMAGES, lambda lines: [*lines[:9], "1 10 yes 3 1.5", *lines[10:]], r"line 10: .*yes"),
        (OF_IMAGES, lambda lines: [*lines[:9], "1 10 1 5 1.5", *lines[10:]], r"line 10: .*certainty from 1 to 4"),
        (f"{TABLES}/images.txt", lambda lines: lines[:20], r"lists 20 pictures, and there should be 36"),
        (f"{TABLES}/images.txt", lambda lines: [line.split()[1] for line in lines], r"line 1: .*CUB-200 of 2010"),
        (f"{TABLES}/images.txt", lambda lines: [*lines[:-1], "37 a/b.jpg"], r"has no id 36"),
        (f"{TABLES}/images.txt", lambda lines: ["1 ../../a.jpg", *lines[1:]], r"the id 1 is"),
        (f"{TABLES}/image_class_labels.txt", lambda lines: ["9" * 5000 + " 1", *lines[1:]], r"line 1: "),
        (f"{TABLES}/image_class_labels.txt", lambda lines: [*lines[:20], "21"], r"line 21: '21' .*cut short"),
        (f"{TABLES}/bounding_boxes.txt", lambda lines: ["1 2.0 3.0 0 4.0", *lines[1:]], r"picture 1 has no width"),
        (f"{TABLES}/image_class_labels.txt", lambda lines: lines[:-1], r"image_class_labels\.txt has no id 36"),
        (f"{TABLES}/image_class_labels.txt", lambda lines: ["1 7", *lines[1:]], r"the id 1 stands 7"),
        (f"{TABLES}/image_class_labels.txt", lambda lines: ["1 4", *lines[1:]], r"picture 1 lies in 001.*mixed"),
        (f"{TABLES}/train_test_split.txt", lambda lines: [*lines, "37 1"], r"37 ids, and there are 36"),
        (f"{TABLES}/bounding_boxes.txt", lambda lines: ["1 2.0 3.0 4.0", *lines[1:]], r"the id 1 stands .*4 numbers"),
        (f"{TABLES}/classes.txt", lambda lines: lines[:5], r"lists 5 classes, and there should be 6"),
        (f"{TABLES}/classes.txt", lambda lines: [*lines[:5], "6 " + lines[0].split()[1]], r"twice"),
        ("attributes.txt", lambda lines: lines[:-1], r"lists 19 attributes, and there should be 20"),
        (
            f"{TABLES}/attributes/class_attribute_labels_continuous.txt",
            lambda lines: [*lines[:5], lines[5][:40]],
            r"line 6: .*20 numbers",
        ),
    ],
)
def test_a_table_that_is_cut_or_of_another_release_is_refused_by_name(
    name: str, change: Callable[[list[str]], list[str]], named: str, data: Path
) -> None:
    edit(data / name, change)
    with pytest.raises(SourceError, match=named):
        source(data).samples()


def test_what_is_not_there_is_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"images\.txt.*--field cub"):
        source(tmp_path).samples()
    picture = next((data / TABLES / "images").rglob("*.jpg"))
    picture.unlink()
    with pytest.raises(SourceError, match=rf"lacks 1 picture of 36: .*{picture.stem}"):
        source(data).samples()
    (data / "attributes.txt").unlink()
    with pytest.raises(NotFoundError, match=r"attributes\.txt"):
        source(data).samples()


def test_names_of_attributes_of_two_releases_are_told_apart(data: Path) -> None:
    shutil.copy(data / "attributes.txt", data / TABLES / "attributes")
    edit(data / "attributes.txt", lambda lines: [*lines[:3], "4 has_horns::two", *lines[4:]])
    with pytest.raises(SourceError, match="mixed"):
        source(data).samples()


def test_the_published_counts_are_asked_for_where_the_folder_does_not_say_its_own(data: Path) -> None:
    (data / "synth.json").unlink()
    with pytest.raises(SourceError, match=r"36 pictures, and there should be 11,788.*data\.counts=any"):
        source(data).samples()
    assert len(source(data, counts="any").samples()) == 36


def test_a_new_photograph_is_a_bird(made: Path) -> None:
    picture = next((made / TABLES / "images").rglob("*.jpg"))
    found = new_samples(CubSettings(root=made), [picture], num_views=1)
    assert found.noun == "bird" and [sample.files["image"] for sample in found.listed] == [(picture,)]
