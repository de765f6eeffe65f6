"""Targets and splits are kept with a store's rows, change as a whole, and stores of former schemas tell the same."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from weldcache.cache.describe import describe_store
from weldcache.cache.exchange import export_hdf5, import_hdf5
from weldcache.cache.following import disagreements
from weldcache.cache.index import Index
from weldcache.cache.splits import LEFT_OUT, Split
from weldcache.cache.store import FeatureStore
from weldcache.cache.store_tables import store_tables
from weldcache.cache.targets import LABEL, TargetSpec, target_of
from weldcache.errors import FingerprintError, NotFoundError, StoreError
from weldcache.tests.toy import index_of

MakeIndex = Callable[..., Index]
ANGLES = TargetSpec("angles", "float32", (2,), unit="degree")
POINTS = TargetSpec("points", "int16", (None,), classes=("ground", "car"))


def with_targets(index: Index, *, angle: float | None = 3.5) -> Index:
    """The index with angles and labels of points beside what it has; nothing is known of the second row."""
    keys = index.keys.tolist()
    angles = target_of(
        ANGLES, [None if row == 1 or angle is None else [angle, row] for row in range(len(keys))], keys=keys
    )
    points = target_of(POINTS, [None if row == 1 else [1] * row for row in range(len(keys))], keys=keys)
    return replace(index, targets={**index.targets, "angles": angles, "points": points})


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory, make_index: MakeIndex) -> Path:
    path = tmp_path_factory.mktemp("pristine") / "rich.zarr"
    return FeatureStore.create(path, index=with_targets(make_index(4))).path


@pytest.fixture
def rich(pristine: Path, tmp_path: Path) -> FeatureStore:
    return FeatureStore.open(Path(shutil.copytree(pristine, tmp_path / "rich.zarr")))


def test_any_targets_are_kept_and_told(rich: FeatureStore, tmp_path: Path) -> None:
    export_hdf5(rich, tmp_path / "rich.h5")
    for store in (FeatureStore.open(rich.path), import_hdf5(tmp_path / "rich.h5", tmp_path / "again.zarr")):
        targets = store.index.targets
        assert {name: target.spec for name, target in targets.items() if name != "class"} == {
            "label": LABEL,
            "angles": ANGLES,
            "points": POINTS,
        }
        np.testing.assert_array_equal(targets["angles"].values, [[3.5, 0], [np.nan] * 2, [3.5, 2], [3.5, 3]])
        assert targets["points"].values.tolist() == [[-1] * 3, [-1] * 3, [1, 1, -1], [1, 1, 1]]
        assert targets["points"].lengths is not None and targets["points"].lengths.tolist() == [0, -1, 2, 3]
        description = describe_store(store)
        assert description["targets"]["angles"]["unit"] == "degree"
        assert any("angles, points" in str(part) for part in store_tables(description, details=False))


def test_targets_change_nothing_of_what_was_made(rich: FeatureStore, tmp_path: Path, make_index: MakeIndex) -> None:
    bare = FeatureStore.create(tmp_path / "bare.zarr", index=make_index(4))
    bare.add_splits([Split("mine", np.array(["train", "val", "test", "train"]))])
    assert rich.fingerprint == bare.fingerprint
    assert rich.index.attributes.keys() == bare.index.attributes.keys() == {"CURRENT_A", "STEEL_TYPE"}


def test_corrected_targets_are_refused_and_taken_over_on_request(rich: FeatureStore, make_index: MakeIndex) -> None:
    asked = with_targets(make_index(4), angle=4.5)
    with pytest.raises(FingerprintError, match="day/002: angles"):
        rich.follow(asked)
    rich.follow(asked, relabel=True)
    assert FeatureStore.open(rich.path).index.targets["angles"].values[3].tolist() == [4.5, 3]
    with pytest.raises(FingerprintError, match="only the cache has the target angles"):
        rich.follow(make_index(4))
    rich.follow(make_index(4), relabel=True)
    assert FeatureStore.open(rich.path).index.targets.keys() == {"label", "class"}


def test_a_target_that_is_said_for_the_first_time_is_taken_over_by_itself(
    tmp_path: Path, make_index: MakeIndex
) -> None:
    store = FeatureStore.create(tmp_path / "bare.zarr", index=make_index(4))
    fingerprint = store.fingerprint
    store.follow(with_targets(make_index(4)))
    held = FeatureStore.open(store.path)
    assert held.fingerprint == fingerprint
    assert (
        held.index.targets["angles"].values[3].tolist()
        == with_targets(make_index(4)).targets["angles"].values[3].tolist()
    )


def test_rows_join_with_their_targets_and_classes(rich: FeatureStore, make_index: MakeIndex) -> None:
    grown = with_targets(make_index(6))
    rich.follow(grown)
    points = FeatureStore.open(rich.path).index.targets["points"]
    assert (
        points.values.shape == (6, 5) and points.lengths is not None and points.lengths.tolist() == [0, -1, 2, 3, 4, 5]
    )
    others = index_of(
        keys=["day/005", "new"],
        splits=["train"] * 2,
        groups=["day"] * 2,
        class_names=["good", "crack"],
        labels=[0, 1],
        attributes={"CURRENT_A": [105.0, 1.0], "STEEL_TYPE": ["S355"] * 2},
    )
    rich.follow(others, relabel=True)
    index = FeatureStore.open(rich.path).index
    assert index.class_names.tolist() == ["good"] * 6 + ["crack"] and index.labels.tolist() == [0] * 6 + [1]
    assert index.parts.tolist() == [LEFT_OUT] * 5 + ["train"] * 2
    rich.follow(others)


def test_what_is_not_known_stays_so(tmp_path: Path) -> None:
    index = index_of(
        keys=["a", "b", "c"],
        splits=["train"] * 3,
        groups=[""] * 3,
        class_names=["good", "unknown", "odd"],
        labels=[0, -1, -1],
        attributes={},
    )
    store = FeatureStore.create(tmp_path / "s.zarr", index=index)
    read = FeatureStore.open(store.path).index
    assert read.labels.tolist() == [0, -1, -1] and read.class_names.tolist() == ["good", "unknown", "odd"]
    assert describe_store(store)["labels"]["unknown"] == {"rows": 2, "classes": ["odd", "unknown"]}


def test_a_split_is_opened_by_its_name_and_follows_who_is_left_out(store: FeatureStore, make_index: MakeIndex) -> None:
    parts = np.array(["test", "train", "val", "train", "train"])
    store.add_splits([Split("mine", parts, {"seed": 3})])
    mine = FeatureStore.open(store.path, split="mine")
    assert mine.index.parts.tolist() == parts.tolist() and mine.split == "mine"
    assert store.index.parts.tolist() == ["train"] * 5 and list(store.splits()) == ["official", "mine"]
    known = mine.split_hash
    store.follow(make_index(7).select(np.array([0, 2, 3, 4, 5, 6])))
    mine = FeatureStore.open(store.path, split="mine")
    assert mine.index.parts.tolist() == ["test", LEFT_OUT, "val", "train", "train", LEFT_OUT, LEFT_OUT]
    assert mine.split_hash == known  # over what was assigned, whatever joined or left the store
    store.add_splits([Split("mine", np.array(["train"] * 7))])
    assert FeatureStore.open(store.path, split="mine").split_hash != known
    with pytest.raises(NotFoundError, match="mine and official"):
        FeatureStore.open(store.path, split="other")


def test_a_split_does_not_depend_on_the_order_of_rows() -> None:
    keys, parts = np.array(["a", "b", "c"]), np.array(["train", "test", LEFT_OUT])
    assert Split("one", parts[::-1]).hash_of(keys[::-1]) == Split("two", parts).hash_of(keys)
    assert Split("one", parts).hash_of(np.array(["a", "b", "d"])) == Split("one", parts).hash_of(keys)
    assert Split("one", parts).hash_of(np.array(["a", "d", "c"])) != Split("one", parts).hash_of(keys)


@pytest.mark.parametrize(
    "edit",
    [
        lambda told: told["attributes"].update(parts=["test", "train"]),
        lambda told: told["attributes"].update(parts=["test"]),
        lambda told: told["attributes"].update(hash="0"),
        lambda told: told["attributes"].update(more=1),
        lambda told: told.update(data_type="uint8"),
    ],
)
def test_an_edited_split_is_refused(store: FeatureStore, edit: Callable[[dict[str, object]], None]) -> None:
    store.add_splits([Split("mine", np.array(["train", "test"] * 2 + ["train"]))])
    path = store.path / "splits/mine/zarr.json"
    told = json.loads(path.read_text())
    edit(told)
    path.write_text(json.dumps(told))
    FeatureStore.open(store.path)
    with pytest.raises(StoreError, match="splits/mine"):
        FeatureStore.open(store.path, split="mine")


@pytest.mark.parametrize("schema_version", [2, 3])
def test_a_store_of_a_former_schema_tells_the_same(tmp_path: Path, make_index: MakeIndex, schema_version: int) -> None:
    index = make_index(4)
    store = FeatureStore.create(tmp_path / "former.zarr", index=index, schema_version=schema_version)
    assert sorted(path.name for path in (store.path / "index").iterdir() if path.is_dir()) == [
        *("attributes", "class_names", "keys", "labels", "sessions", "splits")
    ]
    read = FeatureStore.open(store.path).index
    assert not disagreements(read, index) and read.targets["class"].spec == index.targets["class"].spec
    assert read.targets["label"].values.dtype == np.int8
    note = describe_store(store)["schema_note"]
    if schema_version == 3:
        assert "weldcache extract" in note
        store.add_splits([Split("mine", np.array(["train"] * 4))])
        renewed = FeatureStore.open(store.path)
        assert renewed.schema_version == 4 and not disagreements(renewed.index, index)
        assert list(renewed.splits()) == ["official", "mine"] and describe_store(renewed)["schema_note"] is None
    else:
        assert "--cache" in note
        with pytest.raises(StoreError, match="schema version 2"):
            store.follow(make_index(5))
