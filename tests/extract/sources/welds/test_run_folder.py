"""Which file of a run belongs to which modality, and what is said of those that are missing."""

import errno
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from weldcache.extract.sources.welds.run_folder import collect_run

KEY = "day/10-04-22-0001-05"
RUN = "10-04-22-0001-05"


def test_every_modality_is_found(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    folder = make_run(KEY)
    found = collect_run(tmp_path, key=KEY)
    assert {name: [path.relative_to(folder).as_posix() for path in paths] for name, paths in found.files.items()} == {
        "video": [f"{RUN}.avi"],
        "audio": [f"{RUN}.flac"],
        "sensor": [f"{RUN}.csv"],
        "image": [f"images/{RUN}_view{view}.jpg" for view in range(1, 6)],
    }
    assert found.absent == {}
    assert found.masks == {}


@pytest.mark.parametrize(("suffix", "modality"), [(".avi", "video"), (".flac", "audio"), (".csv", "sensor")])
def test_a_missing_file_is_absent_and_the_rest_is_not(
    tmp_path: Path, make_run: Callable[..., Path], suffix: str, modality: str
) -> None:
    make_run(KEY, without=[suffix])
    found = collect_run(tmp_path, key=KEY)
    assert found.absent == {modality: f"no {suffix} in {KEY}"}
    assert set(found.files) == {"video", "audio", "sensor", "image"} - {modality}


def test_fewer_photographs_are_given_and_none_is_absent(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    make_run(KEY, views=(1, 2, 4))
    assert len(collect_run(tmp_path, key=KEY).files["image"]) == 3
    make_run("day/other", views=())
    assert collect_run(tmp_path, key="day/other").absent == {"image": "no .jpg in day/other/images"}
    (tmp_path / "day/other/images").mkdir()
    assert collect_run(tmp_path, key="day/other").absent == {"image": "no .jpg in day/other/images"}


def test_suffixes_in_capitals_and_hidden_files(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    folder = make_run(KEY, without=[".avi"], views=())
    (folder / f"{RUN}.AVI").touch()
    (folder / f"._{RUN}.avi").touch()
    (folder / "images").mkdir()
    for name in ("b.JPG", "a.jpeg", ".a.jpg", "notes.txt"):
        (folder / "images" / name).touch()
    found = collect_run(tmp_path, key=KEY)
    assert found.files["video"] == (folder / f"{RUN}.AVI",)
    assert [path.name for path in found.files["image"]] == ["a.jpeg", "b.JPG"]


def test_of_several_the_namesake_is_taken(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    folder = make_run(KEY)
    (folder / "another.flac").touch()
    assert collect_run(tmp_path, key=KEY).files["audio"] == (folder / f"{RUN}.flac",)


def test_of_several_strangers_none_is_guessed(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    folder = make_run(KEY, without=[".flac"])
    (folder / "one.flac").touch()
    (folder / "two.flac").touch()
    found = collect_run(tmp_path, key=KEY)
    assert "audio" not in found.files
    assert found.absent["audio"] == f"2 .flac files in {KEY}, and not exactly one is named {RUN}.flac"


def test_a_single_stranger_is_the_runs_own(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    folder = make_run(KEY, without=[".csv"])
    (folder / "sensors.csv").touch()
    assert collect_run(tmp_path, key=KEY).files["sensor"] == (folder / "sensors.csv",)


def test_masks_belong_to_the_photographs_that_have_one(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    folder = make_run(KEY)
    (folder / "masks").mkdir()
    for view in (2, 5, 9):
        (folder / "masks" / f"{RUN}_view{view}.png").touch()
    assert collect_run(tmp_path, key=KEY).masks == {
        folder / "images" / f"{RUN}_view{view}.jpg": folder / "masks" / f"{RUN}_view{view}.png" for view in (2, 5)
    }


@pytest.mark.parametrize(
    ("native", "suffix", "modality"),
    [(".avi", ".mp4", "video"), (".avi", ".MKV", "video"), (".flac", ".wav", "audio"), (".flac", ".ogg", "audio")],
)
def test_other_formats_count_where_the_usual_one_is_not_there(
    tmp_path: Path, make_run: Callable[..., Path], native: str, suffix: str, modality: str
) -> None:
    folder = make_run(KEY, without=[native])
    (folder / f"{RUN}{suffix}").touch()
    found = collect_run(tmp_path, key=KEY)
    assert found.files[modality] == (folder / f"{RUN}{suffix}",)
    assert found.notes == {}


def test_of_several_formats_the_usual_one_is_taken_and_the_others_are_told(
    tmp_path: Path, make_run: Callable[..., Path]
) -> None:
    folder = make_run(KEY)
    (folder / f"{RUN}.mp4").touch()
    (folder / "another.flac").touch()
    found = collect_run(tmp_path, key=KEY)
    assert found.files["video"] == (folder / f"{RUN}.avi",)
    assert found.files["audio"] == (folder / f"{RUN}.flac",)
    assert f"{RUN}.avi" in found.notes["video"][0]
    assert f"{RUN}.mp4" in found.notes["video"][0]
    assert "another.flac" in found.notes["audio"][0]
    assert set(found.notes) == {"video", "audio"}


@pytest.mark.parametrize("suffix", [".png", ".TIFF", ".bmp", ".webp"])
def test_photographs_of_other_formats_belong_to_the_others(
    tmp_path: Path, make_run: Callable[..., Path], suffix: str
) -> None:
    folder = make_run(KEY, views=(1, 3))
    (folder / "images" / f"{RUN}_view2{suffix}").touch()
    assert [path.name for path in collect_run(tmp_path, key=KEY).files["image"]] == [
        f"{RUN}_view1.jpg",
        f"{RUN}_view2{suffix}",
        f"{RUN}_view3.jpg",
    ]


def test_a_copy_of_a_photograph_in_another_format_is_no_further_view(
    tmp_path: Path, make_run: Callable[..., Path]
) -> None:
    folder = make_run(KEY)
    (folder / "images" / f"{RUN}_view2.png").touch()
    found = collect_run(tmp_path, key=KEY)
    assert [path.suffix for path in found.files["image"]] == [".jpg"] * 5
    assert f"{RUN}_view2.png" in found.notes["image"][0]


def test_names_of_kinds_that_are_not_read_are_told(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    folder = make_run(KEY, without=[".csv"], views=())
    (folder / "weld.xlsx").touch()
    (folder / "images").mkdir()
    for view in range(5):
        (folder / "images" / f"{view}.heic").touch()
    absent = collect_run(tmp_path, key=KEY).absent
    assert "weld.xlsx" in absent["sensor"]
    assert "0.heic, 1.heic, 2.heic and 2 more" in absent["image"]


def test_folders_in_other_cases(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    folder = make_run(KEY)
    (folder / "images").rename(folder / "Images")
    (folder / "MASKS").mkdir()
    (folder / "MASKS" / f"{RUN}_view2.PNG").touch()
    found = collect_run(tmp_path, key=KEY)
    assert len(found.files["image"]) == 5
    assert found.masks == {folder / "Images" / f"{RUN}_view2.jpg": folder / "MASKS" / f"{RUN}_view2.PNG"}


@pytest.mark.parametrize(("written", "on_disk"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_folder_in_the_other_normal_form_is_found(
    tmp_path: Path, make_run: Callable[..., Path], written: str, on_disk: str
) -> None:
    key, there = (unicodedata.normalize(form, "schütte/naht_ä") for form in (written, on_disk))
    folder = make_run(there)
    (folder / "another.csv").touch()  # so that the name of the run decides
    found = collect_run(tmp_path, key=key)
    assert found.absent == {}
    assert found.files["sensor"] == (folder / f"{folder.name}.csv",)


@pytest.mark.parametrize(("suffix", "modality"), [(".avi", "video"), (".flac", "audio"), (".csv", "sensor")])
def test_what_is_no_file_is_told_as_what_it_is(
    tmp_path: Path, make_run: Callable[..., Path], suffix: str, modality: str
) -> None:
    kinds = {"a named pipe": os.mkfifo, "a folder": os.mkdir, "a link": lambda path: path.symlink_to("nothing")}
    for number, (words, make) in enumerate(kinds.items()):
        key = f"day/{number}"
        folder = make_run(key, without=[suffix])
        make(folder / f"weld{suffix}")
        found = collect_run(tmp_path, key=key)
        assert set(found.files) == {"video", "audio", "sensor", "image"} - {modality}
        assert found.unreadable == {modality}
        assert f"weld{suffix} is {words}" in found.absent[modality]


def test_a_file_is_taken_and_the_pipe_beside_it_told(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    folder = make_run(KEY)
    os.mkfifo(folder / "another.csv")
    os.mkfifo(folder / "images" / f"{RUN}_view6.jpg")
    found = collect_run(tmp_path, key=KEY)
    assert found.files["sensor"] == (folder / f"{RUN}.csv",)
    assert len(found.files["image"]) == 5
    assert {modality: "named pipe" in notes[0] for modality, notes in found.notes.items()} == {
        "sensor": True,
        "image": True,
    }


@pytest.mark.parametrize(
    ("words", "make"),
    [
        ("a named pipe", os.mkfifo),
        ("a folder", os.mkdir),
        ("a link to nothing", lambda path: path.symlink_to("nothing")),
        ("a device", lambda path: path.symlink_to(os.devnull)),
    ],
)
def test_what_stands_in_a_photographs_place_is_told(
    tmp_path: Path, make_run: Callable[..., Path], words: str, make: Callable[[Path], None]
) -> None:
    folder = make_run(KEY, views=(1, 3))
    make(folder / "images" / f"{RUN}_view2.jpg")
    found = collect_run(tmp_path, key=KEY)
    assert len(found.files["image"]) == 2 and "image" not in found.absent
    assert found.notes == {"image": (f"{RUN}_view2.jpg is {words}, not a file",)}


@pytest.mark.parametrize(
    ("refused", "lost"),
    [("images", {"image"}), ("masks", set()), (RUN, {"video", "audio", "sensor", "image"})],
)
def test_a_folder_that_may_not_be_read_costs_what_is_in_it(
    tmp_path: Path, make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, refused: str, lost: set[str]
) -> None:
    folder = make_run(KEY)
    (folder / "masks").mkdir()
    scandir = os.scandir

    def guarded(path: Path) -> object:
        if path.name == refused:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    found = collect_run(tmp_path, key=KEY)
    assert found.unreadable == lost
    assert set(found.files) == {"video", "audio", "sensor", "image"} - lost
    told = found.absent.values() if lost else found.notes["image"]
    assert all("Permission denied" in reason for reason in told)


def test_links_that_lead_round_in_circles_are_told(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    folder = make_run(KEY, without=[".avi"], views=())
    (folder / f"{RUN}.avi").symlink_to(f"{RUN}.avi")
    (folder / "images").symlink_to("images")
    (folder / "up").symlink_to("..")
    (tmp_path / "day" / "circle").symlink_to("circle")
    found = collect_run(tmp_path, key=KEY)
    assert set(found.files) == {"audio", "sensor"}
    assert found.unreadable == {"video", "image"}
    assert collect_run(tmp_path, key="day/circle").unreadable == {"video", "audio", "sensor", "image"}


def test_a_name_that_is_too_long_is_told(tmp_path: Path) -> None:
    assert "too long" in collect_run(tmp_path, key="x" * 300).absent["video"]


def test_a_name_in_bytes_costs_that_file_alone(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    folder = make_run(KEY, without=[".flac"], views=(1, 2))
    (folder / "schwei\udcdfen.flac").touch()
    (folder / "images/schwei\udcdfen.jpg").touch()
    found = collect_run(tmp_path, key=KEY)
    assert "schwei\\udcdfen.flac is not named in UTF-8: rename it" in found.absent["audio"]
    assert len(found.files["image"]) == 2 and "rename it" in found.notes["image"][0]
    assert set(found.files) == {"video", "sensor", "image"}
