"""A table's columns become samples as the settings name them; what cannot be followed is refused with its row."""

import math
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from weldcache.errors import NotFoundError, SourceError
from weldcache.extract.sources.source import Sample, Source
from weldcache.extract.sources.table import TableSettings, TableSource
from weldcache.testing.sources import SourceContract

TABLE = """\
id,fold,batch,kind,photo,temperature,operator,s1,s2
a,train,b1,good,pictures/a.png,20.5,Ann,1,2
b,train,b1,good,pictures/b_*.png,21,Bob,3,4e-1
c,validation,b2,Good,pictures/c.png,,Bob,5,6
d,TEST,b3,deep scratch,pictures/d.png,19,,7,8
e,test,b3,unknown,,19,Eve,9,10
"""
FILES = ("a.png", "b_1.png", "b_2.png", "c.png", "d.png")
COLUMNS: dict[str, Any] = {
    "key": "id",
    "split": "fold",
    "group": "batch",
    "class_name": "kind",
    "attributes": ("temperature", "operator"),
    "streams": {"image": "photo"},
    "vectors": {"spectrum": ("s*",)},
}


def source(root: Path, text: str = TABLE, **given: Any) -> TableSource:
    (root / "pictures").mkdir(exist_ok=True)
    for name in FILES:
        (root / "pictures" / name).touch()
    settings = TableSettings(root=root, **{**COLUMNS, **given})
    (root / settings.table).write_text(text)
    return TableSource(settings)


def by_key(samples: list[Sample]) -> dict[str, Sample]:
    return {sample.key: sample for sample in samples}


class TestContract(SourceContract):
    def make(self, root: Path) -> Source:
        return source(root, noun="part")


class TestContractWithDrawnSplits(SourceContract):
    def make(self, root: Path) -> Source:
        rows = [f"g{n},,{n // 2},good,pictures/a.png,1,,0,0" for n in range(12)]
        rows += [f"s{n},,{n // 2 + 9},scratch,pictures/a.png,1,,0,0" for n in range(8)]
        return source(root, "\n".join([TABLE.splitlines()[0], *rows]), split=None)


def test_columns_become_what_the_settings_say(tmp_path: Path) -> None:
    samples = by_key(list(source(tmp_path).samples()))
    assert [samples[key].split for key in "abcde"] == ["train", "train", "val", "test", "test"]
    assert [samples[key].group for key in "abcde"] == ["b1", "b1", "b2", "b3", "b3"]
    assert [samples[key].targets.get("label") for key in "abcde"] == [0, 0, 0, 1, None]
    assert [samples[key].targets.get("class") for key in "abcd"] == ["good", "good", "good", "deep scratch"]
    assert samples["b"].files["image"] == (tmp_path / "pictures/b_1.png", tmp_path / "pictures/b_2.png")
    assert "image" not in samples["e"].files and "row 5" in samples["e"].absent["image"]
    assert samples["b"].vectors == {"spectrum": (3.0, 0.4)}
    assert samples["a"].attributes == {"temperature": 20.5, "operator": "Ann"}
    assert math.isnan(float(samples["c"].attributes["temperature"])) and samples["d"].attributes["operator"] == ""


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_other_separators_are_known_by_the_header(tmp_path: Path, separator: str) -> None:
    assert source(tmp_path, TABLE.replace(",", separator)).samples() == source(tmp_path).samples()


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("e,test", "a,test", r"row 5: id is 'a'; as in .*row 1"),
        ("e,test", ",test", r"row 5: id is ''"),
        ("d,TEST", "d,exam", r"row 4: fold is 'exam'; .*data\.splits"),
        ("pictures/c.png", "pictures/x.png", r"row 3: photo is 'pictures/x\.png'; there is no such file"),
        ("pictures/c.png", "pictures/x_*.png", r"row 3: photo is .*; there is no such file"),
        ("pictures/c.png", "../c.png", r"row 3: photo .*write a path below"),
        ("pictures/c.png", "/etc/passwd", r"row 3: photo .*write a path below"),
        ("pictures/c.png", "C:\\c.png", r"row 3: photo .*write a path below"),
        ("pictures/c.png", "..\\c.png", r"row 3: photo .*write a path below"),
        ("20.5", "20,5", r"row 1: 10 values for 9 columns"),
        ("Bob,5,6", "Bob,5,6,7", r"row 3: 10 values for 9 columns"),
        ("Bob,5,6", "Bob,5", r"row 3: 8 values for 9 columns"),
        ("Bob,5,6", 'Bob,"5,6', r"line \d: .*quotation"),
        ("id,fold", "name,fold", r"no column 'id', which data\.key names"),
        ("photo", "photos", r"no column 'photo', which data\.streams\.image names. Did you mean photos\?"),
        ("s1,s2", "t1,t2", r"no column 's\*', which data\.vectors\.spectrum names"),
        ("operator", "batch", r"no column 'operator'|several columns are called batch"),
        (TABLE, "id,fold\n", r"no row below its header"),
    ],
)
def test_what_cannot_be_followed_is_refused_with_its_place(
    tmp_path: Path, before: str, after: str, message: str
) -> None:
    assert before in TABLE
    with pytest.raises(SourceError, match=rf"table\.csv.*{message}"):
        source(tmp_path, TABLE.replace(before, after, 1)).samples()


def test_a_list_as_a_plant_keeps_it_is_read(tmp_path: Path) -> None:
    """Paths as Windows writes them, decimal commas, and a column whose name is none of an array."""
    text = TABLE.replace(",", ";").replace("20.5", "20,5").replace("/", "\\").replace("temperature", "Wärme [°C]")
    read = source(tmp_path, text, decimal="comma", attributes={"heat": "Wärme [°C]", "operator": "operator"})
    samples = by_key(list(read.samples()))
    assert [samples[key].attributes["heat"] for key in "abd"] == [20.5, 21.0, 19.0]
    assert samples["a"].attributes["operator"] == "Ann" and samples["b"].vectors["spectrum"] == (3.0, 0.4)
    assert [path.name for path in samples["b"].files["image"]] == ["b_1.png", "b_2.png"]


def test_numbers_of_the_other_writing_are_no_words(tmp_path: Path) -> None:
    text = TABLE.replace(",", ";").replace("20.5", "20,5")
    with pytest.raises(SourceError, match=r"row 1: temperature is '20,5'.*data\.decimal=comma"):
        source(tmp_path, text).samples()
    with pytest.raises(SourceError, match=r"row 1: temperature is '20\.5'.*data\.decimal=point"):
        source(tmp_path, decimal="comma").samples()


def test_a_column_that_is_no_name_in_a_store_is_given_one(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="thickness_mm: COLUMN"):
        source(tmp_path, attributes=("Stärke mm",))


@pytest.mark.parametrize("word", ["five", "", "nan"])
def test_a_number_that_is_none_costs_its_row_the_vector(tmp_path: Path, word: str) -> None:
    samples = by_key(list(source(tmp_path, TABLE.replace("Bob,5,6", f"Bob,{word},6")).samples()))
    assert "spectrum" in samples["c"].unreadable and "image" not in samples["c"].unreadable
    assert f"row 3: s1 is '{word}'; write a number" in samples["c"].absent["spectrum"]
    assert [key for key in "abcde" if "spectrum" in samples[key].vectors] == ["a", "b", "d", "e"]


def test_rows_share_what_they_have_in_common(tmp_path: Path) -> None:
    """Else a million of them are gigabytes."""
    rows = [f"k{n},train,b{n % 2},good,pictures/a.png,1,Ann,{n},0" for n in range(40)]
    samples = source(tmp_path, "\n".join([TABLE.splitlines()[0], *rows])).samples()
    for name in ("files", "targets", "absent", "unreadable", "notes", "masks", "drawn_from"):
        assert len({id(getattr(sample, name)) for sample in samples}) == 1, name
    assert len({id(sample.group) for sample in samples}) == 2


def test_all_missing_files_are_counted(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"row 1: .*\(3 more like that\)"):
        source(tmp_path, TABLE.replace("pictures/", "images/")).samples()


def test_words_for_splits_are_as_the_settings_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = TABLE.replace("validation", "fold 2").replace("TEST", "old")
    samples = by_key(list(source(tmp_path, text, splits={"fold 2": "val", "old": "leave_out"}).samples()))
    assert samples["c"].split == "val" and "d" not in samples
    assert "1 row left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "label"),
    [("0", 0), ("1", 1), ("0.0", 0), ("True", 1), ("no", 0), ("", None), ("-1", None), ("unbekannt", None)],
)
def test_a_column_of_labels(tmp_path: Path, word: str, label: int | None) -> None:
    text = TABLE.replace("a,train,b1,good", f"a,train,b1,{word}").replace("deep scratch", "1").replace("good", "0")
    text = text.replace("Good", "false")
    sample = source(tmp_path, text, class_name=None, label="kind").samples()[0]
    assert sample.targets.get("label") == label
    assert sample.targets.get("class") == {0: "good", 1: "defect", None: None}[label]


def test_a_label_counts_before_the_class_and_may_not_contradict_it(tmp_path: Path) -> None:
    lines = [f"{line},{label}" for line, label in zip(TABLE.splitlines(), ["bad", *"00001"], strict=True)]
    samples = source(tmp_path, "\n".join(lines), label="bad").samples()
    assert [sample.targets["label"] for sample in samples] == [0, 0, 0, 0, 1]
    with pytest.raises(SourceError, match=r"row 1: bad is '1'; and its class, good, is normal"):
        source(tmp_path, "\n".join([lines[0], lines[1][:-1] + "1", *lines[2:]]), label="bad").samples()
    with pytest.raises(SourceError, match=r"row 1: bad is 'maybe'"):
        source(tmp_path, "\n".join([lines[0], lines[1][:-1] + "maybe", *lines[2:]]), label="bad").samples()


def in_parquet(root: Path, frame: pd.DataFrame, **given: Any) -> TableSource:
    table = source(root, table="table.parquet", **given)
    frame.to_parquet(root / "table.parquet", index=False)
    return table


def test_parquet_says_the_same(tmp_path: Path) -> None:
    expected = source(tmp_path, vectors={}).samples()
    told = in_parquet(tmp_path, pd.read_csv(tmp_path / "table.csv"), vectors={}).samples()
    assert [sample.key for sample in told] == [sample.key for sample in expected]
    assert [sample.files for sample in told] == [sample.files for sample in expected]
    assert [sample.targets for sample in told] == [sample.targets for sample in expected]
    assert [str(sample.attributes) for sample in told] == [str(sample.attributes) for sample in expected]


def test_whole_numbers_in_parquet_stay_whole_beside_missing_ones(tmp_path: Path) -> None:
    source(tmp_path)
    frame = pd.read_csv(tmp_path / "table.csv")
    frame["batch"] = pd.array([7, None, 8, 8, 9], dtype="Int64")
    told = [sample.targets.get("lot") for sample in in_parquet(tmp_path, frame, targets={"lot": "batch"}).samples()]
    assert told == ["7", None, "8", "8", "9"]


@pytest.mark.parametrize("value", [[], [1, 2], np.array([]), np.array([1.0, 2.0])])
@pytest.mark.parametrize("column", ["kind", "temperature", "s1", "photo"])
def test_a_list_in_parquet_is_no_value_and_no_missing_one(tmp_path: Path, column: str, value: object) -> None:
    source(tmp_path)
    frame = pd.read_csv(tmp_path / "table.csv")
    frame["boxes"] = [[], [1], None, [2, 3], np.array([4])]  # which nothing names
    assert len(in_parquet(tmp_path, frame).samples()) == 5
    frame[column] = [None, None, value, None, None]
    with pytest.raises(SourceError, match=rf"row 3: {column} is .*one value a row"):
        in_parquet(tmp_path, frame).samples()


def test_parquet_without_its_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pd, "read_parquet", Mock(side_effect=ImportError("no engine")))
    with pytest.raises(SourceError, match=r"\.\[parquet\]"):
        source(tmp_path, table="table.parquet").samples()


def test_no_table_is_said(tmp_path: Path) -> None:
    for name in ("x.csv", "x.parquet"):
        with pytest.raises(NotFoundError, match=rf"no .*{name}.*data\.table"):
            TableSource(TableSettings(root=tmp_path, table=name, streams={"image": "photo"})).samples()


def test_further_targets_have_columns_of_their_own(tmp_path: Path) -> None:
    made = source(tmp_path, targets={"worker": "operator", "batch": "batch"})
    told = [sample.targets.get("worker") for sample in made.samples()]
    assert told == ["Ann", "Bob", "Bob", None, "Eve"]
    specs = {spec.name: spec.classes for spec in made.targets()}
    assert list(specs) == ["label", "class", "worker", "batch"]
    assert (specs["worker"], specs["batch"]) == (("Ann", "Bob", "Eve"), ("b1", "b2", "b3"))
    text = TABLE.replace("Ann", "").replace("Bob", "unknown").replace("Eve", "")
    assert [spec.name for spec in source(tmp_path, text, targets={"worker": "operator"}).targets()] == [
        "label",
        "class",
    ]
    for named, message in (
        ({"colour": "hue"}, "data.targets.colour"),
        ({"class": "kind"}, "colour"),
        ({"A": "b"}, "A"),
    ):
        with pytest.raises((SourceError, ValidationError), match=message):
            source(tmp_path, targets=named).samples()


class TestContractWithFurtherTargets(SourceContract):
    def make(self, root: Path) -> Source:
        return source(root, targets={"worker": "operator"})


def test_classes_of_which_none_is_normal_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples = source(tmp_path, TABLE.replace("good", "finch").replace("Good", "finch")).samples()
    assert not any("label" in sample.targets for sample in samples)
    assert "data.normal_classes" in (told := capsys.readouterr().err) and "finch" in told
