"""The manifest says what there should be: read exactly, doubted wherever it contradicts itself."""

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest

from weldcache.errors import NotFoundError, SourceError
from weldcache.extract.sources.welds.manifest import ManifestSource

Row = Callable[..., dict[str, str]]
Write = Callable[..., Path]

CODED = ("good", "Excessive penetration", "burn-through", "porosity")


def test_a_row_becomes_a_sample_with_its_files(
    tmp_path: Path, row: Row, write_manifest: Write, make_run: Callable[..., Path]
) -> None:
    folder = make_run("day/10-04-22-0001-05")
    write_manifest([row("10-04-22-0001-05", "day", CATEGORY="undercut", SPLIT="TEST")])
    (sample,) = ManifestSource(tmp_path).samples()
    assert (sample.key, sample.group, sample.split) == ("day/10-04-22-0001-05", "day", "test")
    assert (sample.targets["class"], sample.targets["label"]) == ("undercut", 1)
    assert sample.files["video"] == (folder / "10-04-22-0001-05.avi",)
    assert [path.name[-9:] for path in sample.files["image"]] == [f"view{n}.jpg" for n in range(1, 6)]
    assert sample.absent == {}
    assert sample.attributes == {
        "WELD_TYPE": "butt",
        "THICKNESS_MM": 7.0,
        "STEEL_TYPE": "FE410",
        "CURRENT_A": 205.0,
        "VOLTAGE_V": 24.2,
        "GAS_BAR": 3.0,
        "ROBOT_SPEED_CPM": 40.0,
    }


def test_equal_run_names_in_two_sessions_stay_two_welds(
    tmp_path: Path, row: Row, write_manifest: Write, make_run: Callable[..., Path]
) -> None:
    run = "10-04-22-0001-00"
    folders = [make_run(f"{session}/{run}") for session in ("first", "second")]
    write_manifest([row(run, "first"), row(run, "second", SPLIT="VAL")])
    samples = ManifestSource(tmp_path).samples()
    assert [sample.key for sample in samples] == [f"first/{run}", f"second/{run}"]
    assert [sample.files["video"][0].parent for sample in samples] == folders


def test_the_order_is_the_manifests(tmp_path: Path, row: Row, write_manifest: Write) -> None:
    runs = ["10-04-22-0003-00", "10-04-22-0001-00", "10-04-22-0002-00"]
    write_manifest([row(run) for run in runs])
    assert [sample.key[-16:] for sample in ManifestSource(tmp_path).samples()] == runs


def test_what_is_missing_on_disk_is_absent_with_a_reason(tmp_path: Path, row: Row, write_manifest: Write) -> None:
    write_manifest([row()])
    (sample,) = ManifestSource(tmp_path).samples()
    assert sample.files == {}
    assert set(sample.absent) == {"video", "audio", "image", "sensor"}
    assert sample.absent["audio"] == "there is no folder 10-04-22_shift_1/10-04-22-0001-00"


@pytest.mark.parametrize("category", ["good", "Good", " GOOD ", "good_weld", "Good Weld", "good-welds"])
def test_good_in_any_writing_is_good(tmp_path: Path, row: Row, write_manifest: Write, category: str) -> None:
    write_manifest([row(CATEGORY=category)])
    (sample,) = ManifestSource(tmp_path).samples()
    assert (sample.targets["class"], sample.targets["label"]) == ("good", 0)


@pytest.mark.parametrize(
    ("category", "code", "class_name"),
    [
        ("Lack of fusion", "07", "lack_of_fusion"),
        ("burn_through", "02", "burnthrough"),
        ("Porosity w/ excessive penetration", "04", "porosity_w_excessive_penetration"),
        ("porosity with excessive penetration", "04", "porosity_w_excessive_penetration"),
        ("defect", "09", "defect"),
        ("pinhole", "02", "pinhole"),
    ],
)
def test_the_category_names_the_class_however_it_is_written(
    tmp_path: Path, row: Row, write_manifest: Write, category: str, code: str, class_name: str
) -> None:
    write_manifest([row(f"10-04-22-0001-{code}", CATEGORY=category)])
    (sample,) = ManifestSource(tmp_path).samples()
    assert (sample.targets["class"], sample.targets["label"]) == (class_name, 1)


@pytest.mark.parametrize(
    ("run", "category", "class_name"),
    [("weld_17", "Cold Lap", "cold_lap"), ("weld_17", "Spatter", "spatter"), ("10-04-22-0001-42", "Good", "good")],
)
def test_the_category_names_the_class_where_the_run_has_no_known_code(
    tmp_path: Path, row: Row, write_manifest: Write, run: str, category: str, class_name: str
) -> None:
    write_manifest([row(run, CATEGORY=category)])
    assert ManifestSource(tmp_path).samples()[0].targets["class"] == class_name


@pytest.mark.parametrize(("category", "code"), [("undercut", "06"), ("good", "06"), ("undercut", "00"), ("bad", "00")])
@pytest.mark.parametrize(("mode", "others", "refused"), [("auto", 10, True), ("auto", 9, False), ("check", 1, True)])
def test_a_code_that_contradicts_is_told_where_codes_are_class_codes(
    tmp_path: Path, row: Row, write_manifest: Write, category: str, code: str, mode: str, others: int, refused: bool
) -> None:
    coded = [row(f"10-04-22-{number:04}-0{number % 4}", CATEGORY=CODED[number % 4]) for number in range(others)]
    write_manifest([*coded, row(f"10-04-22-0100-{code}", CATEGORY=category)])
    source = ManifestSource(tmp_path, run_codes=mode)  # type: ignore[arg-type]
    if refused:
        with pytest.raises(SourceError, match=rf"line {others + 2}: CATEGORY is '{category}'.*run_codes=ignore"):
            source.samples()
    assert ManifestSource(tmp_path, run_codes="ignore").samples()[-1].targets["class"] == category
    if not refused:
        assert source.samples()[-1].targets["class"] == category


def test_digits_that_are_no_class_codes_do_no_harm(tmp_path: Path, row: Row, write_manifest: Write) -> None:
    """The layer of a seam, for example."""
    names = ["good", "good", "pinhole", "pinhole", "porosity"]
    write_manifest([row(f"10-04-22-{place:04}-0{place % 3 + 1}", CATEGORY=name) for place, name in enumerate(names)])
    assert [sample.targets["class"] for sample in ManifestSource(tmp_path).samples()] == names


@pytest.mark.parametrize(
    "names",
    [
        ["孔隙1", "裂纹1"],
        ["пора A", "трещина A"],
        ["Porosität", "Porositat"],
        ["Übermaß", "Untermaß"],
        ["दरार", "दरारे"],
        ["Riss <1mm", "Riss >1mm"],
    ],
)
def test_classes_in_any_script_stay_apart(tmp_path: Path, row: Row, write_manifest: Write, names: list[str]) -> None:
    write_manifest([row(f"naht_{place}", CATEGORY=name) for place, name in enumerate(names)])
    found = [sample.targets["class"] for sample in ManifestSource(tmp_path).samples()]
    assert len(set(found)) == len(names) and all(name.isprintable() and len(name) >= 3 for name in found)


@pytest.mark.parametrize(
    ("one", "other"),
    [("Porosität", "POROSITA\u0308T"), ("Über-Maß", "übermass"), ("Ｃｒａｃｋ２", "crack2"), ("孔隙 1", "孔隙_1")],
)
def test_writings_of_one_class_are_one(tmp_path: Path, row: Row, write_manifest: Write, one: str, other: str) -> None:
    write_manifest([row("naht_1", CATEGORY=one), row("naht_2", CATEGORY=other.replace("übermass", "über mass"))])
    found = {sample.targets["class"] for sample in ManifestSource(tmp_path).samples()}
    assert len(found) == 1


@pytest.mark.parametrize("category", ["OK", "Normal", "no defect", "No_Defects", "gut", "i.O.", "良好", "defect-free"])
def test_a_normal_weld_has_many_names(tmp_path: Path, row: Row, write_manifest: Write, category: str) -> None:
    write_manifest(
        [row("naht_1", CATEGORY=category), row("naht_2", CATEGORY="not good"), row("naht_3", CATEGORY="NOK")]
    )
    samples = ManifestSource(tmp_path).samples()
    assert [(sample.targets["class"], sample.targets["label"]) for sample in samples] == [
        ("good", 0),
        ("not_good", 1),
        ("nok", 1),
    ]


def test_other_names_of_a_normal_weld_are_a_setting(tmp_path: Path, row: Row, write_manifest: Write) -> None:
    rows = [row("naht_1", CATEGORY="Klasse B"), row("naht_2", CATEGORY="OK"), row("naht_3", CATEGORY="Good")]
    write_manifest(rows)
    samples = ManifestSource(tmp_path, normal_classes=("klasse-b", "none")).samples()
    assert [sample.targets["label"] for sample in samples] == [0, 1, 0]


def test_a_data_set_without_normal_welds_is_told(
    tmp_path: Path, row: Row, write_manifest: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    write_manifest([row("naht_1", CATEGORY="A"), row("naht_2", CATEGORY="B")])
    assert len(ManifestSource(tmp_path).samples()) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "no weld is normal; the classes are a, b" in told and "data.normal_classes" in told


@pytest.mark.parametrize("category", ["unknown", "Unlabelled", "n/a", "None", "unbekannt", "TBD", "未知"])
def test_a_weld_without_a_class_is_no_defect(
    tmp_path: Path, row: Row, write_manifest: Write, category: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_manifest([row("naht_1"), row("naht_2", CATEGORY=category), row("naht_3", CATEGORY="pore")])
    with pytest.raises(SourceError, match=rf"line 3: CATEGORY is '{category}'.*data.unlabelled=leave_out"):
        ManifestSource(tmp_path).samples()
    samples = ManifestSource(tmp_path, unlabelled="leave_out").samples()
    assert [sample.targets["class"] for sample in samples] == ["good", "pore"]
    write_manifest([row("naht_2", CATEGORY=category)])
    with pytest.raises(SourceError, match="lists no welds whose class is known"):
        ManifestSource(tmp_path, unlabelled="leave_out").samples()
    write_manifest([row("naht_1"), row("naht_2", CATEGORY=category), row("naht_3", CATEGORY="pore")])
    assert "1 weld without a class left out" in " ".join(capsys.readouterr().err.split())
    assert [sample.targets["label"] for sample in ManifestSource(tmp_path, normal_classes=(category,)).samples()] == [
        0,
        0,
        1,
    ]


@pytest.mark.parametrize(("in_manifest", "on_disk"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")])
def test_a_name_is_found_in_either_form_of_unicode(
    tmp_path: Path, row: Row, write_manifest: Write, make_run: Callable[..., Path], in_manifest: str, on_disk: str
) -> None:
    written, lies = (unicodedata.normalize(form, "schütte") for form in (in_manifest, on_disk))  # type: ignore[arg-type]
    folder = make_run(f"{lies}/10-04-22-0001-00")
    write_manifest([row(directory=written)])
    (sample,) = ManifestSource(tmp_path).samples()
    assert sample.files["video"] == (folder / "10-04-22-0001-00.avi",)
    assert (sample.key, sample.group) == ("sch\u00fctte/10-04-22-0001-00", "sch\u00fctte")


def test_two_forms_of_one_name_are_one_weld_listed_twice(tmp_path: Path, row: Row, write_manifest: Write) -> None:
    write_manifest([row(directory=unicodedata.normalize(form, "schütte")) for form in ("NFC", "NFD")])
    with pytest.raises(SourceError, match=r"line 3: SUBDIRS is .*as in .* line 2"):
        ManifestSource(tmp_path).samples()


def test_spaces_case_and_a_byte_order_mark_do_no_harm(tmp_path: Path, row: Row, write_manifest: Write) -> None:
    values = {name: f"{value}  " for name, value in row(SPLIT="Val").items()}
    write_manifest([values], columns=[f"{name} " for name in values], encoding="utf-8-sig")
    (sample,) = ManifestSource(tmp_path).samples()
    assert sample.key == "10-04-22_shift_1/10-04-22-0001-00"
    assert (sample.split, sample.attributes["STEEL_TYPE"]) == ("val", "FE410")


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ({"SPLIT": "holdout"}, r"line 3: SPLIT is 'holdout'; write TRAIN, VAL or TEST"),
        ({"CURRENT_A": "high"}, r"line 3: CURRENT_A is 'high'; write a number"),
        ({"VOLTAGE_V": "24,2"}, r"line 3: VOLTAGE_V is '24,2'"),
        ({"CURRENT_A": "1_000"}, r"line 3: CURRENT_A is '1_000'"),
        ({"CURRENT_A": "٢٠٥"}, r"line 3: CURRENT_A is '٢٠٥'"),
        ({"CURRENT_A": "inf"}, r"line 3: CURRENT_A is 'inf'"),
        ({"CURRENT_A": "9" * 400}, r"line 3: CURRENT_A is"),
        ({"CATEGORY": "?"}, r"line 3: CATEGORY is '\?'; write good or the name of a defect"),
        ({"SUBDIRS": "s/" + "x" * 300, "DIRECTORY": "s"}, r"line 3: SUBDIRS is .*at most 255 bytes"),
        ({"SUBDIRS": "s/a\0b", "DIRECTORY": "s"}, r"line 3: SUBDIRS is 's/a\\x00b'.*no NUL"),
        ({"GAS_BAR": ""}, r"line 3: GAS_BAR is ''"),
        ({"THICKNESS_MM": "nan"}, r"line 3: THICKNESS_MM is 'nan'"),
        ({"CATEGORY": " "}, r"line 3: CATEGORY is ''; write good or the name of a defect"),
        ({"SUBDIRS": "10-04-22_shift_1/10-04-22-0001-00"}, r"line 3: SUBDIRS is .*, as in .* line 2; remove one"),
        ({"SUBDIRS": "../10-04-22-0002-00", "DIRECTORY": ".."}, r"line 3: SUBDIRS is '\.\./.*below the data set"),
        ({"SUBDIRS": "/etc/10-04-22-0002-00", "DIRECTORY": "/etc"}, r"line 3: SUBDIRS is '/etc/.*below the data set"),
        ({"SUBDIRS": "C:/x/10-04-22-0002-00", "DIRECTORY": "C:/x"}, r"line 3: SUBDIRS is 'C:/x/.*below the data set"),
        ({"SUBDIRS": "a/../../10-04-22-0002-00", "DIRECTORY": "a/../.."}, r"line 3: .*below the data set"),
        ({"SUBDIRS": "", "DIRECTORY": ""}, r"line 3: SUBDIRS is ''"),
        ({"DIRECTORY": "other"}, r"line 3: SUBDIRS is .* and DIRECTORY is 'other'; SUBDIRS must be DIRECTORY/RUN"),
    ],
)
def test_a_bad_value_is_named_with_its_line(
    tmp_path: Path, row: Row, write_manifest: Write, replaced: dict[str, str], message: str
) -> None:
    path = write_manifest([row(), row("10-04-22-0002-00", **replaced)])
    with pytest.raises(SourceError, match=message) as caught:
        ManifestSource(tmp_path).samples()
    assert str(path) in str(caught.value)


def test_missing_columns_are_named(tmp_path: Path, row: Row, write_manifest: Write) -> None:
    write_manifest([row()], columns=[name for name in row() if name not in ("SPLIT", "GAS_BAR")])
    with pytest.raises(SourceError, match="line 1: the columns GAS_BAR, SPLIT are missing; there are CATEGORY"):
        ManifestSource(tmp_path).samples()


def test_a_repeated_column_is_refused(tmp_path: Path, row: Row, write_manifest: Write) -> None:
    write_manifest([row()], columns=[*row(), "SPLIT"])
    with pytest.raises(SourceError, match="the columns SPLIT occur more than once"):
        ManifestSource(tmp_path).samples()


@pytest.mark.parametrize("content", [b"", b"  \n\n"])
def test_an_empty_manifest_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.csv").write_bytes(content)
    with pytest.raises(SourceError, match="is empty"):
        ManifestSource(tmp_path).samples()


def test_a_manifest_without_rows_is_refused(tmp_path: Path, write_manifest: Write) -> None:
    write_manifest([])
    with pytest.raises(SourceError, match="lists no welds"):
        ManifestSource(tmp_path).samples()


def test_bytes_that_are_not_utf8_are_named_with_their_line(tmp_path: Path, row: Row, write_manifest: Write) -> None:
    write_manifest([row(), row("10-04-22-0002-00", STEEL_TYPE="Stähle")], encoding="latin-1")
    with pytest.raises(SourceError, match="line 3: the byte 0xe4 is not UTF-8"):
        ManifestSource(tmp_path).samples()


@pytest.mark.parametrize("line", ["good,butt,7", "good," * 30])
def test_a_row_of_another_length_is_refused(tmp_path: Path, row: Row, write_manifest: Write, line: str) -> None:
    path = write_manifest([row()])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(SourceError, match=r"line 3: .* values for 12 columns"):
        ManifestSource(tmp_path).samples()


def test_a_decimal_comma_cannot_push_values_to_their_neighbours(
    tmp_path: Path, row: Row, write_manifest: Write
) -> None:
    """Behind a column that may be empty, the value too many would be an empty one."""
    path = write_manifest([row(NOTE="")], columns=[*row(), "NOTE"])
    assert len(ManifestSource(tmp_path).samples()) == 1
    path.write_text(path.read_text().replace("24.2", "24,2"))
    with pytest.raises(SourceError, match="line 2: 14 values for 13 columns"):
        ManifestSource(tmp_path).samples()
    path = write_manifest([row()])
    path.write_text(path.read_text().replace("TRAIN", "TRAIN,,"))  # as some spreadsheets end a line
    assert ManifestSource(tmp_path).samples()[0].attributes["VOLTAGE_V"] == 24.2


def test_a_last_number_without_an_end_may_be_a_shorter_one(tmp_path: Path, row: Row, write_manifest: Write) -> None:
    columns = [name for name in row() if name != "VOLTAGE_V"]
    path = write_manifest([row()], columns=[*columns, "VOLTAGE_V"])
    assert ManifestSource(tmp_path).samples()[0].attributes["VOLTAGE_V"] == 24.2
    path.write_bytes(path.read_bytes().rstrip(b"2\r\n"))
    with pytest.raises(SourceError, match="line 2: the last line has no end, so its VOLTAGE_V may be cut short"):
        ManifestSource(tmp_path).samples()
    path = write_manifest([row()])
    path.write_bytes(path.read_bytes().rstrip())
    assert ManifestSource(tmp_path).samples()[0].split == "train"


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators_are_named(tmp_path: Path, row: Row, write_manifest: Write, separator: str) -> None:
    path = write_manifest([row()])
    path.write_text(path.read_text().replace(",", separator))
    with pytest.raises(SourceError, match=f"separated by {separator!r}".replace("\\", r"\\")):
        ManifestSource(tmp_path).samples()


@pytest.mark.parametrize("kind", ["folder", "pipe", "not allowed"])
def test_a_manifest_that_cannot_be_read_is_named(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "manifest.csv"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.touch()
        monkeypatch.setattr(os, "open", Mock(side_effect=PermissionError(13, "Permission denied", str(path))))
    with pytest.raises(SourceError, match=rf"{path} cannot be read"):
        ManifestSource(tmp_path).samples()


def test_an_unclosed_quotation_mark_is_refused(tmp_path: Path, row: Row, write_manifest: Write) -> None:
    path = write_manifest([row()])
    path.write_text(path.read_text() + 'good,"butt,7\n')
    with pytest.raises(SourceError, match="check the quotation marks"):
        ManifestSource(tmp_path).samples()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_every_end_of_line_is_read(tmp_path: Path, row: Row, write_manifest: Write, end: str, encoding: str) -> None:
    names = ["OK", "孔隙1", "Porosität"]
    path = write_manifest([row(f"naht_{place}", CATEGORY=name) for place, name in enumerate(names)])
    path.write_bytes(path.read_bytes().decode().replace("\r\n", end).encode(encoding))
    assert [sample.targets["class"] for sample in ManifestSource(tmp_path).samples()] == ["good", "孔隙1", "porosität"]
    path.write_bytes(path.read_bytes().replace("ä".encode(), b"\xe4"))
    with pytest.raises(SourceError, match="line 4: the byte 0xe4 is not UTF-8"):
        ManifestSource(tmp_path).samples()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_named(tmp_path: Path, row: Row, write_manifest: Write, encoding: str) -> None:
    write_manifest([row()], encoding=encoding)
    with pytest.raises(SourceError, match="text in UTF-16"):
        ManifestSource(tmp_path).samples()


@pytest.mark.parametrize("column", ["CATEGORY", "STEEL_TYPE", "SAMPLES"])
def test_quotation_marks_around_several_rows_swallow_no_weld(
    tmp_path: Path, row: Row, write_manifest: Write, column: str
) -> None:
    path = write_manifest([row("naht_1", **{column: "<good"}), row("naht_2", **{column: "good>"}), row("naht_3")])
    path.write_text(path.read_text().replace("<", '"').replace(">", '"'))
    with pytest.raises(SourceError, match=f"line 3: {column} goes over several lines"):
        ManifestSource(tmp_path).samples()


def test_a_value_in_two_lines_is_refused_where_it_is_used(tmp_path: Path, row: Row, write_manifest: Write) -> None:
    write_manifest([row(SAMPLES="coupon,\nof plate 7")])
    assert len(ManifestSource(tmp_path).samples()) == 1
    write_manifest([row(STEEL_TYPE="FE\n410")])
    with pytest.raises(SourceError, match="line 3: STEEL_TYPE goes over several lines"):
        ManifestSource(tmp_path).samples()


def test_no_manifest_names_the_way_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"data\.root.*weldcache synth"):
        ManifestSource(tmp_path).samples()


def test_what_a_generator_knows_of_its_welds_is_a_target(tmp_path: Path, row: Row, write_manifest: Write) -> None:
    runs = [f"10-04-22-000{number}-01" for number in range(3)]
    write_manifest([row(run, "day", CATEGORY="excessive penetration") for run in runs])
    assert [spec.name for spec in ManifestSource(tmp_path).targets()] == ["label", "class"]
    (tmp_path / "latents.csv").write_text(f"key,causal_break,fps\nday/{runs[0]},1,30\nday/{runs[1]},0,31\nelse,1,30\n")
    source = ManifestSource(tmp_path)
    assert [spec.name for spec in source.targets()] == ["label", "class", "causal_break"]
    assert [sample.targets.get("causal_break") for sample in source.samples()] == [1, 0, None]
    assert all("causal_break" not in sample.attributes for sample in source.samples())


def test_a_file_of_that_name_with_other_columns_says_nothing_and_one_that_cannot_be_read_is_named(
    tmp_path: Path, row: Row, write_manifest: Write
) -> None:
    write_manifest([row()])
    (tmp_path / "latents.csv").write_text("key,mine\nday/1,0.5\n")
    assert [spec.name for spec in ManifestSource(tmp_path).targets()] == ["label", "class"]
    (tmp_path / "latents.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SourceError, match=r"latents\.csv"):
        ManifestSource(tmp_path).targets()
