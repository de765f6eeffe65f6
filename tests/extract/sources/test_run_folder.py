"""Which file of a run belongs to which modality, and what is said of those that are missing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from weldcache.extract.sources.run_folder import collect_run

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
