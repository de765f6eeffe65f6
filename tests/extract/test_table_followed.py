"""A table whose numbers are features: what is corrected beside them costs nothing, and a changed number is seen."""

from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from weldcache.cache.status import source_file
from weldcache.cache.store import FeatureStore
from weldcache.cache.writer import StoreWriter
from weldcache.errors import FingerprintError
from weldcache.extract.changes import CurrentFiles
from weldcache.extract.pipeline import extract
from weldcache.settings import Settings

TABLE = """\
key,split,class_name,x1,x2
a,train,good,1,2
b,train,good,3,4
c,val,good,5,6
d,test,scratch,7,8
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "table.csv").write_text(TABLE)
    return Settings.model_validate(
        {
            "data": {
                "source": "table",
                "root": tmp_path,
                "split": "split",
                "class_name": "class_name",
                "vectors": {"vector": ["x*"]},
            },
            "cache": {"path": tmp_path / "f.zarr"},
            "features": {"columns": {"kind": "vector", "size": 2}},
            "extract": {"workers": 0, "device": "cpu"},
        }
    )


def rewrite(settings: Settings, before: str, after: str) -> None:
    path = settings.data.root / "table.csv"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def test_a_corrected_class_is_taken_over_and_nothing_is_computed(settings: Settings) -> None:
    assert extract(settings).num_tried == 4
    rewrite(settings, "b,train,good", "b,val,scratch")
    with pytest.raises(FingerprintError, match="--relabel"):
        extract(settings)
    assert extract(settings, relabel=True).num_tried == 0
    index = FeatureStore.open(settings.cache.path).index
    assert index.parts.tolist() == ["train", "val", "val", "test"]
    assert index.targets["label"].values.tolist() == [0, 1, 0, 1]


def test_a_changed_number_is_seen_and_computed_again_alone(settings: Settings) -> None:
    extract(settings)
    rewrite(settings, "c,val,good,5,6", "c,val,good,5,60")
    with pytest.raises(FingerprintError, match="c: vector has other numbers"):
        extract(settings)
    assert extract(settings, refresh=True).num_tried == 1
    store = FeatureStore.open(settings.cache.path)
    np.testing.assert_array_equal(store.read("columns/values", [2]), [[5, 60]])


def test_a_number_that_is_lost_costs_its_row_and_no_other(settings: Settings) -> None:
    rewrite(settings, "c,val,good,5,6", "c,val,good,,6")
    summary = extract(settings)
    assert summary.counts == {"columns": {"complete": 3, "unreadable": 1}}
    (note,) = summary.notes
    assert note.key == "c" and note.reason.startswith("table.csv, row 3: x1")
    rewrite(settings, "c,val,good,,6", "c,val,good,5,6")
    assert extract(settings).counts == {"columns": {"complete": 4}}


def test_a_store_that_recorded_the_whole_table_goes_on_while_that_is_unchanged(settings: Settings) -> None:
    extract(settings)
    root, store = settings.data.root, FeatureStore.open(settings.cache.path)
    former = {row: [source_file(root / "table.csv", root=root)] for row in range(4)}
    StoreWriter(store).renew_sources("columns", former)
    assert extract(settings).num_tried == 0
    rewrite(settings, "b,train,good", "b,train,scratch")  # from now on its numbers are recorded
    assert extract(settings, relabel=True).num_tried == 0
    StoreWriter(store).renew_sources("columns", former)
    with pytest.raises(FingerprintError, match=r"table\.csv has other bytes .*whole table.*--refresh"):
        extract(settings)


def drawn(settings: Settings, **given: object) -> Settings:
    data = settings.data.model_copy(update={"split": None, "group": "split", **given})
    return settings.model_copy(update={"data": data})


def parts(settings: Settings) -> dict[str, str]:
    index = FeatureStore.open(settings.cache.path).index
    return dict(zip(index.keys.tolist(), index.parts.tolist(), strict=True))


def test_drawn_splits_of_rows_that_a_store_holds_stay_and_a_new_row_joins_its_group(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    (settings.data.root / "table.csv").write_text(TABLE.replace("scratch", "good"))
    extract(drawn(settings))
    before = parts(settings)
    assert set(before.values()) == {"train", "val", "test"}
    capsys.readouterr()
    table = "".join(f"{n},g{n},good,1,2\n" for n in range(20)) + "e,train,good,1,2\n"
    (settings.data.root / "table.csv").write_text(TABLE.replace("scratch", "good") + table)
    assert extract(drawn(settings, split_seed=3)).num_tried == 21
    after = parts(settings)
    assert {key: after[key] for key in before} == before and after["e"] == before["a"] == before["b"]
    assert "would be drawn into another part" in capsys.readouterr().err
    assert extract(drawn(settings, split_seed=4), relabel=True).num_tried == 0
    assert parts(settings) == after


def test_a_row_that_the_draw_keeps_out_of_train_leaves_it_only_with_relabel(settings: Settings) -> None:
    (settings.data.root / "table.csv").write_text(TABLE.replace("scratch", "good"))
    extract(drawn(settings))
    key = next(key for key, part in parts(settings).items() if part == "train")
    line = next(line for line in TABLE.splitlines() if line.startswith(f"{key},")).replace("scratch", "good")
    rewrite(settings, line, line.replace("good", "scratch"))
    with pytest.raises(FingerprintError, match="--relabel"):
        extract(drawn(settings))
    extract(drawn(settings), relabel=True)
    assert parts(settings)[key] in ("val", "test")


def test_rows_of_one_file_and_numbers_that_are_the_same_are_not_compared_one_by_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = settings.data.root
    for name in ("one.csv", "two.csv"):
        (root / name).write_text("Time,current\n" + "\n".join(f"{time},{time % 3}" for time in range(8)))
    lines = [
        "key,split,class_name,file,x1,x2",
        *(f"k{n},train,good,{('one', 'two')[n // 6]}.csv,{n},2" for n in range(12)),
    ]
    (root / "table.csv").write_text("\n".join(lines))
    told = settings.model_dump()
    told["data"]["streams"] = {"sensor": "file"}
    told["features"]["sensor"] = {"kind": "series_statistics", "channels": ["current"], "times": "seconds"}
    both = Settings.model_validate(told)
    assert extract(both).counts == {"columns": {"complete": 12}, "sensor": {"complete": 12}}
    compare = Mock(wraps=CurrentFiles(root).compare)
    monkeypatch.setattr(CurrentFiles, "compare", compare)
    assert extract(both).num_tried == 0
    assert [set(call.kwargs["present"]) for call in compare.call_args_list] == [{"one.csv"}, {"two.csv"}]
