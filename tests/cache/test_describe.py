"""What a store's description says is what is in the store."""

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from weldcache.cache.arrays import ArraySpec, FeatureSetSpec
from weldcache.cache.describe import describe_store
from weldcache.cache.index import Index
from weldcache.cache.status import SourceFile, Status
from weldcache.cache.store import FeatureStore
from weldcache.cache.store_tables import store_tables
from weldcache.cache.verification.outcome import Verification, row_digests
from weldcache.cache.writer import StoreWriter
from weldcache.documents import fingerprint, sealed
from weldcache.tests.toy import index_of

LONG_MODEL = "facebook/dinov3-vith16plus-pretrain-lvd1689m"
ARC_ON = ArraySpec("arc_on", (2,), ("bound",), "float64", allows_nan=True, distinct=False)


def backbone(model: str, *, random: bool) -> dict[str, Any]:
    return {"model": model, "random_weights": random}


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six welds of two classes; video of four, sensors of five, two image blocks of three, with a note on one view."""
    index = index_of(
        keys=[f"day/{row}" for row in range(6)],
        splits=["train", "train", "val", "test", "test", "test"],
        class_names=["good", "good", "good", "good", "burnthrough", "burnthrough"],
        groups=["day"] * 6,
        labels=[0, 0, 0, 0, 1, 1],
        attributes={},
    )
    store = FeatureStore.create(tmp_path_factory.mktemp("pristine") / "welds.zarr", index=index)
    store.set_noun("weld")
    video = {"backbone": backbone("demo-vjepa2", random=True), "decoding": {"num_frames": 16, "sampling": "arc_on"}}
    sensor = {"decoding": {"num_steps": 4, "channels": ["Pressure", "Feed"]}}
    image = {"backbone": backbone(LONG_MODEL, random=False), "decoding": {"crop": [0.1, 0, 0.9, 1], "num_views": 2}}
    tokens = ArraySpec("tokens", (8, 5), ("time", "dim"), "float16")
    store.add_feature_set(FeatureSetSpec("video", [tokens, ARC_ON], video))
    store.add_feature_set(FeatureSetSpec("sensor", [ARC_ON], sensor))
    for block in (10, 21):
        cls = ArraySpec("cls", (2, 3), ("view", "dim"), "bfloat16")
        store.add_feature_set(FeatureSetSpec(f"image/block_{block}", [cls], {**image, "block": block}))
    store.add_constant("text/prompt", np.ones(3, np.float32), made_by={"decoding": {"prompt": "a normal weld"}})
    store.set_batching({"group_size": 8})
    _write(store, "video", [0, 1, 2, 4], {"tokens": np.ones((4, 8, 5), "<f2")}, onsets=[2.0, 3.0, np.nan, 1.0])
    _write(store, "sensor", [0, 1, 2, 3, 4], {}, onsets=[1.0, 3.5, 1.0, 1.0, 2.5])
    StoreWriter(store).report("video", 3, Status.UNREADABLE, reason="film.avi cannot be decoded")
    StoreWriter(store).report("video", 5, Status.MISSING, reason="the backbone failed: out of memory")
    for block in (10, 21):
        _write(
            store,
            f"image/block_{block}",
            [0, 1, 2],
            {"cls": np.ones((3, 2, 3), "<u2")},
            notes=["", "view 2 is missing", ""],
        )
    return store.path


@pytest.fixture
def welds(pristine: Path, tmp_path: Path) -> FeatureStore:
    """A copy of them that a test may change."""
    return FeatureStore.open(Path(shutil.copytree(pristine, tmp_path / "welds.zarr")))


def _write(
    store: FeatureStore,
    name: str,
    rows: list[int],
    features: dict[str, Any],
    *,
    onsets: list[float] | None = None,
    notes: list[str] | None = None,
) -> None:
    if onsets is not None:
        features = {**features, "arc_on": np.array([[onset, onset + 9] for onset in onsets])}
    sources: list[list[Any]] = [[] for _ in rows]
    StoreWriter(store).write(name, rows, features, sources=sources, notes=notes or [""] * len(rows))


def test_rows_classes_and_bytes_are_counted(welds: FeatureStore) -> None:
    told = describe_store(welds)
    assert told["num_rows"] == 6
    assert told["classes"] == {
        "good": {"train": 2, "val": 1, "test": 1},
        "burnthrough": {"train": 0, "val": 0, "test": 2},
    }
    assert told["normal_classes"] == ["good"]
    video = told["feature_sets"]["video"]
    assert video["rows"] == {"missing": 1, "complete": 4, "absent": 0, "unreadable": 1}
    assert video["arrays"]["tokens"]["bytes"] == 4 * 8 * 5 * 2
    assert video["bytes"] == 4 * 8 * 5 * 2 + 4 * 2 * 8
    assert told["bytes"] == sum(entry["bytes"] for entry in told["feature_sets"].values())
    files = [path for path in welds.path.rglob("*") if path.is_file()]
    assert told["disk"] == {"bytes": sum(path.stat().st_blocks for path in files) * 512, "files": len(files)}
    assert told["health"]["num_complete"] == 3  # rows 0 to 2; row 4 has no photographs
    assert told["health"]["complete_share"] == 0.5


def test_a_store_without_labels_speaks_of_its_classes_alone(tmp_path: Path) -> None:
    index = index_of(
        keys=["a", "b", "c"],
        splits=["train"] * 3,
        groups=[""] * 3,
        class_names=["red", "blue", "red"],
        labels=[-1, -1, -1],
        attributes={},
    )
    index = replace(index, targets={"class": index.targets["class"]})
    told = describe_store(FeatureStore.create(tmp_path / "birds.zarr", index=index))
    assert told["labels"] == {} and told["classes"] == {"blue": {"train": 1}, "red": {"train": 2}}
    console = Console(file=io.StringIO(), width=80)
    console.print(*store_tables(told, details=True))
    printed = console.file.getvalue()
    assert "3 samples" in printed and "normal" not in printed and "defect" not in printed


def test_what_made_each_set_is_told_with_its_fingerprint(welds: FeatureStore) -> None:
    told = describe_store(welds)
    assert (told["fingerprint"], told["created"]) == (welds.fingerprint, welds.created)
    assert told["batching"] == {"group_size": 8} and told["random_backbones"] is True
    entry = told["feature_sets"]["image/block_21"]
    assert entry["made_by"]["block"] == 21 and entry["made_by"]["decoding"]["crop"] == [0.1, 0, 0.9, 1]
    assert entry["random_weights"] is False and told["feature_sets"]["video"]["random_weights"] is True
    assert entry["fingerprint"] == welds.fingerprint_of(["image/block_21"])
    cls = entry["arrays"]["cls"]
    assert (cls["shape"], cls["dims"], cls["dtype"]) == ([2, 3], ["view", "dim"], "bfloat16")
    made_of = {"made_by": entry["made_by"], "array": welds.manifest["features"]["image/block_21"]["arrays"]["cls"]}
    assert cls["fingerprint"] == fingerprint(made_of)
    assert cls["fingerprint"] != told["feature_sets"]["image/block_10"]["arrays"]["cls"]["fingerprint"]
    assert told["constants"]["text/prompt"]["made_by"] == {"decoding": {"prompt": "a normal weld"}}


def test_the_same_note_of_several_sets_is_told_once(welds: FeatureStore) -> None:
    assert describe_store(welds)["health"]["problems"] == [
        {
            "key": "day/1",
            "reason": "view 2 is missing",
            "feature_sets": {"image/block_10": "complete", "image/block_21": "complete"},
        },
        {"key": "day/3", "reason": "film.avi cannot be decoded", "feature_sets": {"video": "unreadable"}},
        {"key": "day/5", "reason": "the backbone failed: out of memory", "feature_sets": {"video": "missing"}},
    ]


def test_onset_offsets_are_those_of_the_welds_that_both_know(welds: FeatureStore) -> None:
    """video - sensor: 1.0, -0.5 and -1.5 s; one onset is NaN, two welds lack one of both."""
    (offset,) = describe_store(welds)["health"]["onset_offsets"]
    assert offset["feature_sets"] == ["video", "sensor"] and offset["num_rows"] == 3
    assert (offset["median"], offset["median_absolute"]) == (-0.5, 1.0)
    assert offset["p95_absolute"] == pytest.approx(1.45)


def test_onsets_that_nobody_knows_are_not_numbers(welds: FeatureStore) -> None:
    _write(welds, "sensor", list(range(6)), {}, onsets=[np.nan] * 6)
    (offset,) = describe_store(welds)["health"]["onset_offsets"]
    assert offset == {"feature_sets": ["video", "sensor"], "num_rows": 0}
    assert "unknown" in _shown(welds, width=80)


def test_blocks_of_rows_do_not_change_the_onsets(welds: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = describe_store(welds)["health"]["onset_offsets"]
    monkeypatch.setattr("weldcache.cache.describe._BLOCK_ROWS", 2)
    assert describe_store(welds)["health"]["onset_offsets"] == whole


def test_a_damaged_store_is_still_described(welds: FeatureStore) -> None:
    for chunk in ("features/sensor/arc_on/c.1.0", "problem/video/c.0"):
        path = welds.path / chunk
        path.write_bytes(b"x" + path.read_bytes()[1:])
    health = describe_store(welds)["health"]
    assert len(health["damage"]) == 2 and health["onset_offsets"] == []
    assert all(message in _shown(welds, width=1000) for message in health["damage"])


def test_the_last_verification_is_told(welds: FeatureStore) -> None:
    assert describe_store(welds)["health"]["verification"] is None
    assert "never verified" in _shown(welds, width=80)
    record = {
        "created": "2026-01-02T03:04:05+00:00",
        "fingerprint": welds.fingerprint,
        "findings": 3,
        "rows": 6,
        "live": None,
        **dict.fromkeys(("errors", "warnings", "notes", "mended"), 0),
    }
    digests = row_digests(welds)
    for change, words in (
        ({}, "6 rows: nothing wrong"),
        ({"errors": 2, "warnings": 1}, "2 errors, 1 warning;"),
        ({"fingerprint": "of another making"}, "before features were added"),
    ):
        attributes = sealed({**record, **change, "row_digests": digests})
        group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        (welds.path / "verification").mkdir(exist_ok=True)
        (welds.path / "verification/zarr.json").write_text(json.dumps(group))
        assert describe_store(welds)["health"]["verification"] == {
            **record,
            **change,
            "num_complete": 5,
            "num_changed": 0,
        }
        assert words in _shown(welds, width=80) and "verified 2026-01-02" in _shown(welds, width=80)


def test_rows_that_came_or_changed_since_do_not_pass_for_verified(welds: FeatureStore) -> None:
    def record(digests: dict[str, str]) -> None:
        Verification(welds.path, welds.fingerprint, 6, [], row_digests=digests).write_record()

    def changed() -> tuple[int, int]:
        told = describe_store(welds)["health"]["verification"]
        assert "row_digests" not in told
        return told["num_changed"], told["num_complete"]

    record(row_digests(welds))
    assert changed() == (0, 5) and "nothing wrong" in _shown(welds, width=80)
    _write(welds, "sensor", [5], {}, onsets=[1.0])
    assert changed() == (1, 6) and "1 of 6 complete rows have changed or come since" in _shown(welds, width=100)
    record(row_digests(welds))
    StoreWriter(welds).renew_sources("sensor", {0: [SourceFile("sensors.csv", 3, 2, "a")]})  # touched, with its bytes
    assert changed() == (0, 6)
    welds.forget("sensor", [0])
    _write(welds, "sensor", [0], {}, onsets=[1.25])
    assert changed() == (1, 6)
    text = welds.path / "digest/sensor/c.0"
    text.write_bytes(b"x" + text.read_bytes()[1:])
    assert changed() == (6, 6)
    for unreadable in ({}, {"sensor": "not base64"}):
        record(unreadable)
        assert changed() == (6, 6) and "nothing wrong" not in _shown(welds, width=80)


def test_like_notes_are_one_line_and_many_kinds_are_ten_and_a_count(
    make_index: Callable[..., Index], tmp_path: Path
) -> None:
    store = FeatureStore.create(tmp_path / "many.zarr", index=make_index(30))
    store.add_feature_set(FeatureSetSpec("video", [ARC_ON], {}))
    for row in range(13):
        StoreWriter(store).report("video", row, Status.ABSENT, reason=f"no film in day/{row:03d}")
    for row in range(13, 26):
        StoreWriter(store).report("video", row, Status.UNREADABLE, reason=f"fault of kind {chr(row + 60)}")
    shown = _shown(store, width=1000)
    assert "notes on 26 samples" in shown and "fault of kind I" in shown and "and 4 more; --json lists all" in shown
    for row in range(13, 26):
        StoreWriter(store).report("video", row, Status.MISSING, reason="")
    shown = _shown(store, width=1000)
    assert shown.count("no film") == 1 and "13 samples, video (absent)" in shown and "day/002 and 10 more" in shown
    assert len(describe_store(store)["health"]["problems"]) == 13


def test_welds_that_are_left_out_are_counted_and_nothing_else(make_index: Callable[..., Index], tmp_path: Path) -> None:
    store = FeatureStore.create(tmp_path / "some.zarr", index=make_index(5))
    store.add_feature_set(FeatureSetSpec("video", [ARC_ON], {}))
    _write(store, "video", [0, 1, 3], {}, onsets=[1.0, 2.0, 3.0])
    StoreWriter(store).report("video", 4, Status.ABSENT, reason="no film")
    store.follow(make_index(2))
    told = describe_store(store)
    assert (told["num_rows"], told["num_left_out"]) == (5, 3)
    assert told["classes"] == {"good": {"train": 2}}
    assert (told["health"]["num_complete"], told["health"]["complete_share"]) == (2, 1.0)
    assert told["health"]["problems"] == []
    assert "2 of 2 samples have everything" in _shown(store, width=200) and "3 of them are left out" in _shown(
        store, width=200
    )


def test_eighty_columns_hold_every_table(welds: FeatureStore) -> None:
    """Also of a store with long names: nothing is broken off, and only a model's name may be cut."""
    long = [
        ArraySpec("patch_tokens", (5, 196, 1280), ("view", "patch", "dim"), "bfloat16"),
        ArraySpec("views_present", (5,), ("view",), "uint8"),
    ]
    made_by = {"backbone": backbone(LONG_MODEL, random=True), "block": 12}
    welds.add_feature_set(FeatureSetSpec("image_dinov2/block_12", long, made_by))
    shown = _shown(welds, width=80)
    assert max(cell_len(line) for line in shown.splitlines()) <= 80
    for whole in (
        welds.fingerprint,
        "image_dinov2/block_12/views_present",
        "5 x 196 x 1280",
        "crop [0.1 0 0.9 1], views 2",
        "frames 16, sampling arc_on",
        "prompt a normal weld",
        "burnthrough",
        "66.6 %",
        "group size 8",
        "random-weight demo backbones",
    ):
        assert whole in shown, whole


def test_a_store_without_anything_is_described(tmp_path: Path, make_index: Callable[..., Index]) -> None:
    empty = FeatureStore.create(tmp_path / "empty.zarr", index=make_index(0))
    told = describe_store(empty)
    assert (told["num_rows"], told["feature_sets"], told["health"]["complete_share"]) == (0, {}, 0.0)
    assert "0 of 0 samples" in _shown(empty, width=80)


def _shown(store: FeatureStore, *, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    for part in store_tables(describe_store(store), details=True):
        console.print(part)
    return console.file.getvalue()  # type: ignore[attr-defined]
